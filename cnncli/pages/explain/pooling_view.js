import { SQUARES, adaptiveCells, averageDivisor, windowAt } from "./arithmetic.js";
import { cellGrid } from "./cells.js";
import { shown } from "./colours.js";
import { element } from "./dom.js";
import { bothText, factorText, plusText, sumText } from "./formulas.js";
import { fieldOf, formulaLine, placeView } from "./place_view.js";

const MOST_CELLS = 49; // of a window that is written out
const MOST_TERMS = 9; // of a sum that is

/** Show how each number is the largest or the mean of a window. */
export function poolingView(stage) {
  const { part } = stage;
  const { options } = part;
  const source = windowedField(stage, (row, column, map) =>
    windowAt(map.values, map.height, map.width, options, row, column),
  );
  return placeView(stage, {
    words: poolingWords(options),
    sources: [source],
    numbers: (row, column, result) => {
      const window = source.windowOf(row, column);
      if (options.reduce === "max") return largestOf(source, window, result);
      const divisor = averageDivisor(source.height, source.width, options, row, column, options);
      const rest = options.divisor === null ? countedIn(window.values, divisor) : "";
      return element(
        "div",
        {},
        windowGrid(source, window),
        formulaLine(meanText(window.values, divisor), result, rest),
      );
    },
  });
}

/** Show how each number is the largest or the mean of a part of the map, which is divided whatever its size. */
export function adaptiveView(stage) {
  const { network, part } = stage;
  const sides = network.size(part);
  const source = windowedField(stage, (row, column, { values, height, width }) => {
    const [rows, columns] = [adaptiveCells(height, sides[0], row), adaptiveCells(width, sides[1], column)];
    return { rows, columns, values: rows.flatMap((y) => columns.map((x) => values[y * width + x])) };
  });
  const isMax = part.options.reduce === "max";
  const parts = `The map of ${source.height}×${source.width} is divided into ${sides.join("×")} parts`;
  return placeView(stage, {
    words: `${parts}, and of each is taken the ${isMax ? "largest number" : "mean"}.`,
    sources: [source],
    numbers: (row, column, result) => {
      const window = source.windowOf(row, column);
      if (isMax) return largestOf(source, window, result);
      return element(
        "div",
        {},
        windowGrid(source, window),
        formulaLine(meanText(window.values, window.values.length), result),
      );
    },
  });
}

/** Show LeNet-5's subsampling: the sum of each square, times a coefficient, plus a bias, both of the map. */
export function subsampleView(stage) {
  const { network, part, unit } = stage;
  const [weight, bias] = ["weight", "bias"].map((name) => network.tensor(part, name)[network.placeOf(part, unit)]);
  const source = windowedField(stage, (row, column, map) =>
    windowAt(map.values, map.height, map.width, SQUARES, row, column),
  );
  return placeView(stage, {
    words:
      `Σ of each 2×2 square × coefficient + bias; map ${unit} has learnt the coefficient ${shown(weight)} ` +
      `and the bias ${shown(bias)}.`,
    sources: [source],
    numbers: (row, column, result) => {
      const window = source.windowOf(row, column);
      const sum = window.values.reduce((total, value) => total + value, 0);
      const scaled = `× ${factorText(weight)}${plusText(bias)}`;
      const steps = `(${sumText(window.values)}) ${scaled} = ${factorText(sum)} ${scaled}`;
      return element("div", {}, windowGrid(source, window), formulaLine(steps, result));
    },
  });
}

/** Return the field that a part was given for a unit, with the windows that `windowOf(row, column, field)` finds. */
function windowedField(stage, windowOf) {
  const field = fieldOf(stage, stage.network.inputsOf(stage.part)[0], stage.unit);
  const padding = stage.part.options.padding ?? [0, 0];
  return { ...field, padding, windowOf: (row, column) => windowOf(row, column, field) };
}

function poolingWords({ reduce, kernel, stride, padding, dilation, ceil, divisor, count_include_pad: countsPadding }) {
  const isMax = reduce === "max";
  const taken = isMax ? "largest number" : "mean";
  const around = isMax ? "and never the largest" : countsPadding ? "zeros that count" : "and does not count";
  return [
    `The ${taken} of each window of ${kernel.join("×")}; they are ${bothText(stride)} apart.`,
    dilation.some((step) => step > 1) ? ` Within a window the cells are ${bothText(dilation)} apart.` : "",
    padding.some(Boolean) ? ` The padding is ${bothText(padding)} wide, ${around}.` : "",
    ceil ? " A window that only begins inside is one, too (ceil mode)." : "",
    divisor ? ` The sum is always divided by ${divisor}.` : "",
  ].join("");
}

/** Say which cell of a window wins, and mark it. */
function largestOf(source, { values, rows, columns }, result) {
  const numbers = values.map((value) => value ?? -Infinity);
  const best = numbers.findIndex((value) => Object.is(value, Math.max(...numbers)));
  const grid = windowGrid(source, { values, columns });
  grid?.children[best].classList.add("cells-winner");
  const where = `, at row ${rows[Math.floor(best / columns.length)]}, column ${columns[best % columns.length]}`;
  const inside = values.filter((value) => value !== null);
  const text = inside.length > MOST_TERMS ? `largest of ${inside.length}` : `max(${inside.map(shown).join(", ")})`;
  return element("div", {}, grid, formulaLine(text, result, where));
}

function meanText(values, divisor) {
  const inside = values.filter((value) => value !== null);
  const sum = inside.reduce((total, value) => total + value, 0);
  const terms = inside.length > MOST_TERMS ? `Σ of ${inside.length} numbers` : `(${sumText(inside)})`;
  return `${terms} / ${divisor} = ${shown(sum)} / ${divisor}`;
}

/** Say of a window that is in part outside which of its cells are counted. */
function countedIn(values, divisor) {
  const numInside = values.filter((value) => value !== null).length;
  if (numInside === values.length) return "";
  return divisor === numInside ? `: ${divisor} cells are inside` : `: ${divisor} cells, those of the padding too`;
}

/** Return the numbers of a window as cells, or null of a large one. */
function windowGrid({ scale }, { values, columns }) {
  if (values.length > MOST_CELLS) return null;
  const texts = values.map((value) => (value === null ? "–" : shown(value)));
  const shares = values.map((value) => (value ?? 0) / scale.end);
  return cellGrid(columns.length, texts, shares, "values under the window");
}
