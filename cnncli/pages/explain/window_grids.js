import { svg } from "./dom.js";

// A window over a grid of cells. Drawings are in units of a cell, with the first of the map itself at 0, 0.

const LARGEST_GRID = 380; // pixels that the padded input takes at most
const LARGEST_CELL = 34; // pixels of a cell's side where they need not be smaller
const SMALLEST_OUTPUT = 170; // pixels; its cells may be larger than the input's, so that a pointer finds them
const SMALLEST_LINED = 4; // pixels of a cell's side that leave room for lines
const SMALLEST_LABELLED = 15; // and for a zero in it

/**
 * Return a drawing of the padded input, what no window reads hatched, and the function that moves the window over it.
 *
 * The window is larger than the input where the kernel does not fit. `cell` is a cell's side in pixels.
 */
export function inputGrid({ size, kernel, padding, stride, dilation }, { padded, reach, unread }) {
  const side = Math.max(padded, reach);
  const cell = Math.min(LARGEST_CELL, LARGEST_GRID / side);
  const taps = svg("path", { class: "pg-taps" });
  const outline = svg("rect", { class: "pg-window", width: reach, height: reach });
  const crossed = unread.map((place) => boxPath(-padding, place, padded, 1) + boxPath(place, -padding, 1, padded));
  const drawing = svg(
    "svg",
    { class: "pg-input", viewBox: `${-padding} ${-padding} ${side} ${side}`, width: side * cell, "aria-hidden": true },
    hatching(cell),
    svg("rect", { class: "pg-paper", width: size, height: size }),
    svg("path", { class: "pg-unread", d: crossed.join(""), fill: "url(#pg-hatch)" }),
    gridLines(-padding, padded, cell),
    padding > 0 && paddingAround(size, padding, cell),
    svg("rect", { class: "pg-edge", width: size, height: size }),
    taps,
    outline,
  );
  const show = (place) => {
    const [y, x] = place.map((step) => step * stride - padding);
    const offsets = Array.from({ length: kernel }, (_, tap) => tap * dilation);
    taps.setAttribute("d", offsets.flatMap((down) => offsets.map((on) => boxPath(x + on, y + down, 1, 1))).join(""));
    outline.setAttribute("x", x);
    outline.setAttribute("y", y);
  };
  return { drawing, show, cell };
}

/** Return a drawing of an output of `windows` × `windows`, and the function that says which of it is written. */
export function outputGrid(windows, inputCell) {
  const cell = Math.min(LARGEST_CELL, Math.max(inputCell, SMALLEST_OUTPUT / windows));
  const written = svg("path", { class: "pg-written" });
  const now = svg("rect", { class: "pg-window", width: 1, height: 1 });
  const drawing = svg(
    "svg",
    { class: "pg-output", viewBox: `0 0 ${windows} ${windows}`, width: windows * cell, tabindex: 0, role: "img" },
    svg("title", {}, "Point at a cell, or use the arrow keys, to move the window"),
    written,
    gridLines(0, windows, cell),
    svg("rect", { class: "pg-edge", width: windows, height: windows }),
    now,
  );
  const show = ([row, column]) => {
    written.setAttribute("d", boxPath(0, 0, windows, row) + boxPath(0, row, column + 1, 1));
    now.setAttribute("x", column);
    now.setAttribute("y", row);
  };
  return { drawing, show };
}

function hatching(cell) {
  const turned = `scale(${1 / cell}) rotate(45)`; // so that its lines are as far apart whatever a cell's size
  const pattern = { id: "pg-hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: turned };
  return svg("defs", {}, svg("pattern", pattern, svg("path", { d: "M0 0V6", class: "pg-hatch" })));
}

function gridLines(start, length, cell) {
  if (cell < SMALLEST_LINED) return null;
  const places = Array.from({ length: length - 1 }, (_, place) => start + place + 1);
  const paths = places.map((place) => `M${start} ${place}h${length}M${place} ${start}v${length}`);
  return svg("path", { class: "pg-lines", d: paths.join("") });
}

function paddingAround(size, padding, cell) {
  const places = Array.from({ length: size + 2 * padding }, (_, place) => place - padding);
  const isInside = (place) => place >= 0 && place < size;
  const edge = { x: -padding, y: -padding, width: places.length, height: places.length };
  const dashed = svg("rect", { class: "pg-padding", ...edge });
  if (cell < SMALLEST_LABELLED) return dashed;
  const cells = places.flatMap((y) => places.filter((x) => !isInside(x) || !isInside(y)).map((x) => [x, y]));
  const zeros = cells.map(([x, y]) => svg("text", { class: "pg-zero", x: x + 0.5, y: y + 0.5 }, "0"));
  return [dashed, zeros];
}

function boxPath(x, y, width, height) {
  return `M${x} ${y}h${width}v${height}h${-width}Z`;
}
