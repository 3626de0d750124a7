import { levelsIn } from "./pixels.js";

/**
 * Return the levels [C, size, size] of a picture file, brought to a square as the network's preprocessing says.
 *
 * The browser decodes and scales it, so that numbers differ a little from those of `cnn predict`. Rejects where the
 * file is no picture that the browser knows.
 */
export async function readPicture(file, preprocess) {
  const bitmap = await createImageBitmap(file, { colorSpaceConversion: "none" });
  const canvas = document.createElement("canvas");
  const side = preprocess.canvas || preprocess.size;
  canvas.width = canvas.height = side;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.fillStyle = `rgb(${(preprocess.background ?? [255, 255, 255]).join(" ")})`;
  context.fillRect(0, 0, side, side);
  context.drawImage(bitmap, ...placement(bitmap.width, bitmap.height, side, preprocess.resize));
  bitmap.close();
  const start = Math.floor((side - preprocess.size) / 2);
  return levelsIn(context.getImageData(start, start, preprocess.size, preprocess.size), preprocess.channels);
}

/** Return the part of a picture that is taken, and where it goes: x, y, width and height, of each. */
function placement(width, height, side, resize) {
  if (resize === "crop") {
    const short = Math.min(width, height);
    return [Math.floor((width - short) / 2), Math.floor((height - short) / 2), short, short, 0, 0, side, side];
  }
  if (resize !== "pad") return [0, 0, width, height, 0, 0, side, side];
  const [across, down] = [width, height].map((length) =>
    Math.max(1, Math.round((length * side) / Math.max(width, height))),
  );
  return [0, 0, width, height, Math.floor((side - across) / 2), Math.floor((side - down) / 2), across, down];
}
