import { adaptivePart, averageDivisor, windowAt } from "./arithmetic.js";
import { cellGrid } from "./cells.js";
import { shown } from "./colours.js";
import { element } from "./dom.js";
import { sliding } from "./sliding.js";

const SQUARES = { kernel: [2, 2], stride: [2, 2], padding: [0, 0], dilation: [1, 1] }; // of subsampling
const MOST_CELLS = 144; // of a window that is written out

/** Show how a window of the input becomes one number: its largest, its mean, or the sum that a coefficient scales. */
export function poolingView(stage) {
  const { network, part, unit, place, note, scale } = stage;
  const [input] = network.inputsOf(part);
  const [height, width] = network.size(input);
  const [rows, columns] = network.size(part);
  const [values, result] = [network.map(input, unit), network.map(part, unit)];
  const windowOf = windowsOf(part, height, width);
  const colours = scale(input, unit);
  const numbers = (row, column) => {
    const window = windowOf(row, column);
    const cells = window.rows.flatMap((y) => window.columns.map((x) => cellAt(values, height, width, y, x)));
    const made = result[row * columns + column];
    const [before, after] = poolingWords(stage, cells, [height, width], [row, column]);
    const sentence = element("p", { class: "formula" }, before, element("b", {}, shown(made)), after);
    return element("div", {}, windowGrid(part, window, cells, made, colours), sentence);
  };
  const { padding = [0, 0] } = part.kind === "pool" ? part.options : {};
  return element(
    "div",
    { class: "pooling" },
    element("p", {}, EXPLAINED[part.options.reduce ?? part.kind]),
    sliding({
      source: { values, height, width, scale: colours, padding, label: `${input.id}, map ${unit}` },
      result: {
        values: result,
        height: rows,
        width: columns,
        scale: scale(part, unit),
        label: `${part.id}, map ${unit}`,
      },
      windowOf,
      numbers,
      place,
      note: (where) => note({ unit, place: where }),
    }),
  );
}

const EXPLAINED = {
  max: "The largest number of each window is kept; what lies around a map never is.",
  average: "The mean of each window is kept.",
  subsample: "The four numbers of each square are added up, times a coefficient and plus a bias that each map has.",
};

/** Return the function that gives the source's rows and columns of a window. */
function windowsOf(part, height, width) {
  if (part.kind !== "adaptive") {
    const geometry = part.kind === "pool" ? part.options : SQUARES;
    return (row, column) => windowAt([], height, width, geometry, row, column);
  }
  const size = part.options.size.map((parts, axis) => parts ?? [height, width][axis]);
  const cells = (side, parts, place) => {
    const [first, end] = adaptivePart(side, parts, place);
    return Array.from({ length: end - first }, (_, step) => first + step);
  };
  return (row, column) => ({ rows: cells(height, size[0], row), columns: cells(width, size[1], column) });
}

/** Return a number of a map, or null outside of it. */
function cellAt(values, height, width, y, x) {
  return y >= 0 && y < height && x >= 0 && x < width ? values[y * width + x] : null;
}

/** Write the window's numbers; of a maximum the one that wins is framed. */
function windowGrid(part, window, cells, made, colours) {
  if (cells.length > MOST_CELLS) return null;
  const shares = cells.map((value) => (value ?? 0) / colours.end);
  const texts = cells.map((value) => (value === null ? "–" : shown(value)));
  const grid = cellGrid(window.columns.length, texts, shares, "the window");
  if (part.options.reduce === "max") grid.children[cells.indexOf(made)]?.classList.add("cells-winner");
  return grid;
}

/** Return how a window's number comes about, in words and numbers, before and after it. */
function poolingWords({ network, part, unit }, cells, [height, width], [row, column]) {
  const inside = cells.filter((value) => value !== null);
  const sum = inside.reduce((total, value) => total + value, 0);
  const few = inside.length <= 9;
  if (part.options.reduce === "max")
    return [few ? `max(${inside.map(shown).join(", ")}) = ` : `the largest of ${inside.length} = `, ""];
  const added = few ? inside.map(shown).join(" + ") : `Σ of ${inside.length} numbers`;
  if (part.kind === "subsample") {
    const [weight, bias] = ["weight", "bias"].map((name) => network.tensor(part, name)[network.placeOf(part, unit)]);
    return [
      `(${added}) × ${shown(weight)} + ${shown(bias)} = ${shown(sum)} × ${shown(weight)} + ${shown(bias)} = `,
      "",
    ];
  }
  const divisor =
    part.kind === "pool" ? averageDivisor(height, width, part.options, row, column, part.options) : inside.length;
  const counted = divisor === inside.length ? "" : `, divided by ${divisor}, the zeros around the map counted`;
  return [`(${added}) / ${divisor} = ${shown(sum)} / ${divisor} = `, counted];
}
