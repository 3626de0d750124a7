import { element } from "./dom.js";
import { pointing } from "./heatmap.js";
import { imageOf } from "./pixels.js";

const STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

/**
 * Return a canvas on which one draws: `{canvas, show}`.
 *
 * `levels()` are those of the picture [C, S, S]; `brush()` is `{colour, width}`, a level a channel and pixels;
 * `changed()` is called after each stroke, `see(row, column)` for the pixel under the pointer.
 */
export function drawing(side, channels, { levels, brush, changed, see }) {
  const canvas = element("canvas", {
    class: "editor-drawing",
    width: side,
    height: side,
    tabIndex: 0,
    "aria-label": "The picture: draw on it",
  });
  const show = () => canvas.getContext("2d").putImageData(imageOf(levels(), side, channels), 0, 0);
  const stroke = (row, column) => {
    const { colour, width } = brush();
    const [reach, area] = [(width - 1) / 2, side * side];
    for (let y = Math.ceil(row - reach); y <= row + reach; y++) {
      for (let x = Math.ceil(column - reach); x <= column + reach; x++) {
        if (y < 0 || y >= side || x < 0 || x >= side) continue;
        for (let channel = 0; channel < channels; channel++) levels()[channel * area + y * side + x] = colour[channel];
      }
    }
    changed();
  };
  pointing(
    canvas,
    (row, column) => {
      see(row, column);
      if (row !== null && canvas.dataset.drawing) stroke(row, column);
    },
    stroke,
  );
  obeyKeys(canvas, side, see, stroke);
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    canvas.dataset.drawing = "yes";
  });
  canvas.addEventListener("pointerup", () => delete canvas.dataset.drawing);
  show();
  return { canvas, show };
}

/** Have arrow keys move from pixel to pixel, which `see` is told, and Enter and the space bar draw. */
function obeyKeys(canvas, side, see, stroke) {
  const here = [0, 0];
  canvas.addEventListener("keydown", (event) => {
    const step = STEPS[event.key];
    if (step) step.forEach((by, axis) => (here[axis] = Math.max(0, Math.min(side - 1, here[axis] + by))));
    else if (event.key === "Enter" || event.key === " ") stroke(...here);
    else return;
    event.preventDefault();
    see(...here);
  });
}
