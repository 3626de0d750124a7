import { shown } from "./colours.js";
import { element } from "./dom.js";
import { elementwise } from "./elementwise.js";
import { sliding } from "./sliding.js";

/** Show an operation that changes nothing once a network is trained, such as dropout. */
export function identityView(stage) {
  const { network, part } = stage;
  const share = part.options.dropped;
  const words = share
    ? `In training each number is dropped, set to 0, with probability ${share}, and the others are divided by ` +
      `${shown(1 - share)} to make up for it. A trained network drops nothing: what comes in goes out.`
    : "What comes in goes out.";
  const numbers = (unit, index) => {
    const value = shown(network.map(part, unit)[index]);
    return element("p", { class: "formula" }, `${value} → `, element("b", {}, value));
  };
  return element("div", {}, element("p", {}, words), elementwise(stage, numbers));
}

/** Show what is put around a map. */
export function padView({ network, part, unit, place, note, scale }) {
  const [input] = network.inputsOf(part);
  const [height, width] = network.size(input);
  const [rows, columns] = network.size(part);
  const [left, , top] = part.options.padding;
  const [values, result] = [network.map(input, unit), network.map(part, unit)];
  const isInside = (row, column) => row >= top && row < top + height && column >= left && column < left + width;
  const numbers = (row, column) => {
    const value = element("b", {}, shown(result[row * columns + column]));
    const from = isInside(row, column) ? `row ${row - top}, column ${column - left} of ${input.id}: ` : "put around: ";
    return element("p", { class: "formula" }, from, value);
  };
  return element(
    "div",
    {},
    element("p", {}, `${shown(part.options.value)} is put around each map.`),
    sliding({
      source: { values, height, width, scale: scale(input, unit), label: `${input.id}, map ${unit}` },
      result: {
        values: result,
        height: rows,
        width: columns,
        scale: scale(part, unit),
        label: `${part.id}, map ${unit}`,
      },
      windowOf: (row, column) =>
        isInside(row, column) ? { rows: [row - top], columns: [column - left] } : { rows: [], columns: [] },
      numbers,
      place,
      note: (where) => note({ unit, place: where }),
    }),
  );
}
