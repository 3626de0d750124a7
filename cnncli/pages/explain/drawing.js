import { placeAfter } from "./arrows.js";
import { element } from "./dom.js";
import { placeUnder } from "./heatmap.js";
import { imageOf } from "./pixels.js";

/**
 * Return a canvas on which one draws, by mouse, finger or keys: `{canvas, show}`.
 *
 * `levels()` are those of the picture [C, S, S]; `brush()` is `{colour, width}`, a level a channel and pixels;
 * `changed()` is called after the picture was, `see(row, column)` for the pixel under the pointer.
 */
export function drawing(side, channels, { levels, brush, changed, see }) {
  const label = "The picture: drag to draw, or arrow keys and Enter";
  const canvas = element("canvas", {
    class: "editor-drawing",
    width: side,
    height: side,
    tabIndex: 0,
    "aria-label": label,
  });
  const show = () => canvas.getContext("2d").putImageData(imageOf(levels(), side, channels), 0, 0);
  const draw = (...places) => {
    for (const place of places) dab(levels(), side, channels, place, brush());
    changed();
  };
  obeyPointer(canvas, see, draw);
  obeyKeys(canvas, side, see, draw);
  show();
  return { canvas, show };
}

/** Put the brush's colour on the pixels around a place. */
function dab(levels, side, channels, [row, column], { colour, width }) {
  const first = [row, column].map((place) => Math.max(0, Math.ceil(place - (width - 1) / 2)));
  const last = [row, column].map((place) => Math.min(side - 1, Math.floor(place + (width - 1) / 2)));
  for (let channel = 0; channel < channels; channel++) {
    for (let y = first[0]; y <= last[0]; y++) {
      for (let x = first[1]; x <= last[1]; x++) levels[(channel * side + y) * side + x] = colour[channel];
    }
  }
}

function obeyPointer(canvas, see, draw) {
  let before = null; // where the stroke is; null while none is drawn
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return; // which has a menu
    canvas.setPointerCapture(event.pointerId);
    before = placeUnder(canvas, event);
    draw(before);
    see(...before);
  });
  canvas.addEventListener("pointermove", (event) => {
    const here = placeUnder(canvas, event);
    if (before) draw(...placesBetween(before, here));
    if (before) before = here;
    see(...here);
  });
  for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, () => (before = null));
}

/** Return the places of a straight line after its first: a mouse that is quick leaves some out. */
function placesBetween(start, end) {
  const count = Math.max(...end.map((place, axis) => Math.abs(place - start[axis])));
  return Array.from({ length: count }, (_, step) =>
    start.map((place, axis) => Math.round(place + ((end[axis] - place) * (step + 1)) / count)),
  );
}

/** Have arrow keys move from pixel to pixel, which `see` is told, and Enter and the space bar draw. */
function obeyKeys(canvas, side, see, draw) {
  let here = [0, 0];
  canvas.addEventListener("keydown", (event) => {
    const next = placeAfter(event.key, here, [side, side]);
    if (next) here = next;
    else if (event.key === "Enter" || event.key === " ") draw(here);
    else return;
    event.preventDefault();
    see(...here);
  });
}
