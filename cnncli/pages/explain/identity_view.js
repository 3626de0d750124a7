import { shown } from "./colours.js";
import { fieldOf, formulaLine, placeView, valueAt } from "./place_view.js";

const DROPPED = { Dropout: "number", Dropout1d: "channel", Dropout2d: "map" };

/** Show what changes nothing once a network is trained, and what it did in training. */
export function identityView(stage) {
  const { layer, options } = stage.part;
  const share = options.dropped;
  const inTraining =
    DROPPED[layer] && share < 1
      ? `In training, ${layer} sets each ${DROPPED[layer]} to 0 with probability ${share}, anew for every image, and ` +
        `multiplies the others by 1 / (1 − ${share}) = ${shown(1 / (1 - share))}, so that sums stay about the same. `
      : "";
  const source = fieldOf(stage, stage.network.inputsOf(stage.part)[0], stage.unit);
  return placeView(stage, {
    words: `${inTraining}Now that the network is trained, ${layer} changes nothing: f(x) = x.`,
    sources: [source],
    numbers: (row, column, result) => formulaLine(`f(${shown(valueAt(source, row, column))})`, result),
  });
}

/** Show a map with cells around it, or without some on its sides. */
export function padView(stage) {
  const { network, part, unit } = stage;
  const [left, right, top, bottom] = part.options.padding;
  const shift = (row, column) => ({ rows: [row - top], columns: [column - left] });
  const source = fieldOf(stage, network.inputsOf(part)[0], unit, shift);
  const sides = `left ${left}, right ${right}, above ${top}, below ${bottom}`;
  const cut = Math.min(left, right, top, bottom) < 0 ? "; where there are less than none, cells are cut off" : "";
  const isInside = (row, column) => {
    const [y, x] = [row - top, column - left];
    return y >= 0 && y < source.height && x >= 0 && x < source.width;
  };
  return placeView(stage, {
    words: `Cells of ${shown(part.options.value)} are put around the map: ${sides}${cut}.`,
    sources: [source],
    numbers: (row, column, result) => {
      if (!isInside(row, column)) return formulaLine("put around", result);
      return formulaLine(`row ${row - top}, column ${column - left} of ${source.label}`, result);
    },
  });
}
