import { colourOf, isDark } from "./colours.js";
import { element } from "./dom.js";

/**
 * Return a canvas with a map [height, width] in the colours of a scale, a pixel a number; CSS makes it larger.
 *
 * `scale.end` is the number that has the full colour.
 */
export function heatmap(values, height, width, scale) {
  const canvas = element("canvas", { class: "heatmap", width, height });
  paint(canvas, values, scale);
  return canvas;
}

const COLOUR_STEPS = 255; // from the paper's colour to the full one
const palettes = new Map();

/** Return the colours of all steps, each the four bytes of a pixel: a map has as many numbers, but few colours. */
function paletteOf(dark) {
  if (!palettes.has(dark)) {
    const bytes = Array.from({ length: 2 * COLOUR_STEPS + 1 }, (_, step) => [
      ...colourOf(step / COLOUR_STEPS - 1, dark),
      255,
    ]);
    palettes.set(dark, new Uint32Array(Uint8Array.from(bytes.flat()).buffer));
  }
  return palettes.get(dark);
}

/** Paint a map anew on its canvas, whose size stays. */
function paint(canvas, values, scale) {
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  const pixels = new Uint32Array(image.data.buffer);
  const palette = paletteOf(isDark());
  for (let number = 0; number < values.length; number++) {
    const step = Math.round((values[number] / scale.end) * COLOUR_STEPS) || 0; // 0 also for what is not a number
    pixels[number] = palette[COLOUR_STEPS + Math.max(-COLOUR_STEPS, Math.min(step, COLOUR_STEPS))];
  }
  context.putImageData(image, 0, 0);
}

/**
 * Call `see(row, column)` for the number under the mouse or finger on a canvas, and `see(null)` when it leaves; call
 * `pick(row, column)` when it is clicked.
 */
export function pointing(canvas, see, pick = null) {
  canvas.addEventListener("pointermove", (event) => see(...placeUnder(canvas, event)));
  canvas.addEventListener("pointerleave", () => see(null));
  if (pick) canvas.addEventListener("click", (event) => pick(...placeUnder(canvas, event)));
}

/** Return row and column of the number under an event's pointer, on a canvas with a pixel a number. */
export function placeUnder(canvas, event) {
  const box = canvas.getBoundingClientRect();
  const place = (position, length, count) => Math.max(0, Math.min(count - 1, Math.floor((position / length) * count)));
  return [
    place(event.clientY - box.top, box.height, canvas.height),
    place(event.clientX - box.left, box.width, canvas.width),
  ];
}

/** Return a bar with the colours of a scale and its numbers. */
export function legend(scale, label = "") {
  const steps = Array.from({ length: 65 }, (_, step) => step / 32 - 1).map((share) => share * scale.end);
  const within = steps.filter((value) => value >= Math.min(scale.low, 0) && value <= Math.max(scale.high, 0));
  const bar = heatmap(Float32Array.from(within), 1, within.length, scale);
  const [low, high] = [Math.min(scale.low, 0), Math.max(scale.high, 0)].map(shownEnd);
  return element("span", { class: "legend" }, label, low, bar, high);
}

function shownEnd(value) {
  return String(Number(value.toPrecision(3))).replace("-", "−");
}
