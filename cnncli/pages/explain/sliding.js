import { pad } from "./arithmetic.js";
import { element, svg } from "./dom.js";
import { heatmap, legend, pointing } from "./heatmap.js";
import { player } from "./motion.js";

const NOTED_AFTER = 300; // milliseconds without a move, as browsers limit how often an address may change

/**
 * Show how windows slide over the maps `sources` and make the map `result` of them, an element.
 *
 * Maps are `{values, height, width, scale, label}`, those of `sources` also with `padding` [rows, columns] where there
 * is some, and with `windowOf(row, column)`, the `{rows, columns}` that a number of the result comes from, also those
 * in the padding. `numbers(row, column)` is the element that explains it. It plays, or stays at `place` [row, column],
 * and follows mouse, finger and keys; `note(place)` is called where one has paused it.
 */
export function sliding({ sources, result, numbers, place = null, note = () => {} }) {
  const [from, to] = [sources.map(markedMap), markedMap(result)];
  const shown = element("div", { class: "sliding-numbers" });
  const placeAt = (index) => [Math.floor(index / result.width), index % result.width];
  const show = (index) => {
    const [row, column] = placeAt(index);
    sources.forEach(({ windowOf }, number) => {
      const { rows, columns } = windowOf(row, column);
      from[number].mark(rows, columns);
    });
    to.mark([row], [column]);
    shown.replaceChildren(numbers(row, column));
  };
  const playing = place ? false : undefined;
  const motion = player(result.height * result.width, show, { columns: result.width, playing });
  if (place) motion.index = place[0] * result.width + place[1];
  const goTo = (row, column) => row !== null && motion.goTo(row * result.width + column);
  sources.forEach(({ windowOf }, number) => {
    const [rows, columns] = centresOf(result, windowOf);
    from[number].follow((row, column) => row !== null && goTo(nearestTo(rows, row), nearestTo(columns, column)));
  });
  to.follow(goTo);
  const drawn = [...from, to].map((map, number) => withLegend(map, sources[number] ?? result));
  const maps = element("div", { class: "sliding-maps" }, ...drawn);
  const view = element(
    "section",
    { class: "sliding", tabIndex: 0, role: "group", "aria-label": "The window: arrow keys move it" },
    maps,
    motion,
    shown,
  );
  motion.obey(view);
  noting(view, () => motion.playing || note(placeAt(motion.index)));
  return view;
}

/**
 * Return a heat map on which a window can be outlined: `node`, an element; `mark(rows, columns)` outlines these cells;
 * `follow(see)` calls `see(row, column)` for the cell under mouse or finger, and `see(null)` when they leave. Cells of
 * the padding are counted from below 0 on.
 */
export function markedMap({ values, height, width, scale, label = "", padding: [padY, padX] = [0, 0] }) {
  const [rows, columns] = [height + 2 * padY, width + 2 * padX];
  const canvas = heatmap(pad(values, height, width, [padX, padX, padY, padY], 0), rows, columns, scale);
  Object.assign(canvas, { role: "img", ariaLabel: label });
  const outlines = ["marked-halo", "marked-window"].map((name) => svg("path", { class: name }));
  const around = `M${-padX} ${-padY}h${columns}v${rows}h${-columns}zM0 0v${height}h${width}v${-height}z`;
  const border = padY || padX ? svg("path", { class: "marked-padding", d: around }) : null;
  const marks = svg("svg", { viewBox: `${-padX} ${-padY} ${columns} ${rows}` }, border, outlines);
  const frame = element("div", {}, canvas, marks);
  const style = { "--rows": rows, "--columns": columns };
  return {
    node: element("figure", { class: "marked", style }, frame, element("figcaption", {}, label)),
    mark: (rowCells, columnCells) => {
      const seen = [
        rowCells.filter((row) => row >= -padY && row < height + padY),
        columnCells.filter((column) => column >= -padX && column < width + padX),
      ];
      outlines.forEach((outline) => outline.setAttribute("d", outlineOf(...seen)));
    },
    follow: (see) => {
      const inside = (row, column) => (row === null ? see(null) : see(row - padY, column - padX));
      pointing(canvas, inside, inside);
    },
  };
}

/** Return the path around cells: one box, or a box each where they are apart. */
function outlineOf(rows, columns) {
  if (!rows.length || !columns.length) return "";
  const isWhole = [rows, columns].every((cells) => cells.at(-1) - cells[0] === cells.length - 1);
  if (isWhole) return `M${columns[0]} ${rows[0]}h${columns.length}v${rows.length}h${-columns.length}z`;
  return rows.flatMap((row) => columns.map((column) => `M${column} ${row}h1v1h-1z`)).join("");
}

/** Return the middles of all windows along the height and along the width. */
function centresOf({ height, width }, windowOf) {
  const middle = (cells) => (cells[0] + cells.at(-1)) / 2;
  return [
    Array.from({ length: height }, (_, row) => middle(windowOf(row, 0).rows)),
    Array.from({ length: width }, (_, column) => middle(windowOf(0, column).columns)),
  ];
}

function nearestTo(centres, cell) {
  const distances = centres.map((centre) => Math.abs(centre - cell));
  return distances.indexOf(Math.min(...distances));
}

function withLegend({ node }, { scale }) {
  node.append(legend(scale));
  return node;
}

/** Call `note` when mouse, finger or keys have moved something in a view and then rest. */
export function noting(view, note) {
  let timer = null;
  const wait = () => {
    clearTimeout(timer);
    timer = setTimeout(() => view.isConnected && note(), NOTED_AFTER);
  };
  for (const name of ["pointermove", "click", "keyup"]) view.addEventListener(name, wait);
}
