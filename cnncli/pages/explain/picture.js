import { numbersOf, unpack } from "./archive.js";
import { ABOVE, greyOf } from "./colours.js";
import { element } from "./dom.js";
import { imageOf, levelsOf } from "./pixels.js";

const CAM_STRENGTH = 0.75; // of its colour over the picture, where it is 1

/** Return the image as the network sees it, its normalisation undone. */
export function pictureOf(network) {
  const { size } = network.manifest.preprocess;
  const image = seenImage(network, network.result(network.parts[0]));
  return canvasOf(image, `The picture as the network sees it, ${size}×${size}`);
}

/** Return the image in grey with Grad-CAM, a tensor's reference, over it. */
export function camOver(network, cam) {
  const { size } = network.manifest.preprocess;
  const image = seenImage(network, network.result(network.parts[0]));
  layOver(image, enlarged(numbersOf(cam), ...cam.shape, size, size));
  return canvasOf(image, "Grad-CAM over the picture");
}

/** Fill a canvas with an image of the page that may not be open. */
export async function drawThumbnail(canvas, network, image) {
  await unpack(`image-${image}`);
  const seen = seenImage(network, numbersOf(network.manifest.views[image].outputs[0]));
  Object.assign(canvas, { width: seen.width, height: seen.height });
  canvas.getContext("2d").putImageData(seen, 0, 0);
}

/** Return a map [height, width] at another size, bilinear between the centres of its cells, as PyTorch does it. */
export function enlarged(map, height, width, newHeight, newWidth) {
  const rows = Array.from({ length: newHeight }, (_, row) => between(row, newHeight, height));
  const columns = Array.from({ length: newWidth }, (_, column) => between(column, newWidth, width));
  const mixed = rows.flatMap(([top, bottom, down]) =>
    columns.map(([left, right, across]) => {
      const [upper, lower] = [top, bottom].map((row) => {
        return map[row * width + left] * (1 - across) + map[row * width + right] * across;
      });
      return upper * (1 - down) + lower * down;
    }),
  );
  return Float32Array.from(mixed);
}

/** Return the two cells that a place lies between, and the second one's share. */
function between(place, newSide, side) {
  const position = Math.max(0, ((place + 0.5) * side) / newSide - 0.5);
  const first = Math.min(Math.floor(position), side - 1);
  return [first, Math.min(first + 1, side - 1), position - first];
}

function seenImage(network, values) {
  const { preprocess } = network.manifest;
  return imageOf(levelsOf(values, preprocess), preprocess.size, preprocess.channels);
}

function layOver({ data }, cam) {
  cam.forEach((share, place) => {
    const grey = greyOf(data.subarray(4 * place, 4 * place + 3));
    const colours = ABOVE.map((colour) => grey + (colour - grey) * share * CAM_STRENGTH);
    data.set(colours.map(Math.round), 4 * place);
  });
}

function canvasOf(image, label) {
  const { width, height } = image;
  const canvas = element("canvas", { class: "picture", width, height, role: "img", "aria-label": label });
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}
