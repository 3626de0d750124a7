import { channelWindow } from "./arithmetic.js";
import { shown } from "./colours.js";
import { element } from "./dom.js";
import { fieldOf, formulaLine, placeView, valueAt } from "./place_view.js";

/** Show local response normalisation: the squares of the maps around, at one place, and the power of their sum. */
export function localResponseView(stage) {
  const { network, part, unit } = stage;
  const [input] = network.inputsOf(part);
  const { size, alpha, beta, k } = part.options;
  const [first, end] = channelWindow(unit, input.shape[0], size);
  const others = othersOf(network, part, unit);
  const around = Array.from({ length: end - first }, (_, step) => first + step);
  const sources = (others ? [unit] : around).map((channel) => fieldOf(stage, input, channel));
  const own = sources.find((source) => source.unit === unit);
  const numbers = (row, column, result) => {
    const values = sources.map((source) => valueAt(source, row, column));
    const rest = others ? others[row * own.width + column] : 0;
    const sum = values.reduce((total, value) => total + value ** 2, rest);
    const terms = values.map((value, number) => termRow(`map ${sources[number].unit}`, value, value ** 2));
    if (others) terms.push(termRow("other channels, not shown", null, rest));
    const value = shown(valueAt(own, row, column));
    const power = (k + (alpha / size) * sum) ** beta;
    const written = `(${k} + ${alpha} / ${size} × ${shown(sum)})^${beta}`;
    const formula = formulaLine(`${value} / ${written} = ${value} / ${shown(power)}`, result);
    return element("div", {}, squaresTable(terms, sum), formula);
  };
  const whole = `x / (k + α / n × Σ squares)^β, with k = ${k}, α = ${alpha}, n = ${size}, β = ${beta}; `;
  const words = `${whole}the squares are those of maps ${first} to ${end - 1} at the same place.`;
  return placeView(stage, { words, sources, numbers });
}

/** Return the squares of maps that are not shown, [H, W], or null where all are shown. */
function othersOf(network, part, unit) {
  const all = network.others(part);
  if (!all) return null;
  const [height, width] = network.size(part);
  const start = network.placeOf(part, unit) * height * width;
  return all.subarray(start, start + height * width);
}

function termRow(name, value, square) {
  const cells = [value === null ? "" : shown(value), shown(square)].map((text) => element("td", {}, text));
  return element("tr", {}, element("th", { scope: "row" }, name), ...cells);
}

function squaresTable(terms, sum) {
  const heads = ["", "value", "square"].map((name) => element("th", {}, name));
  return element(
    "table",
    { class: "squares" },
    element("thead", {}, element("tr", {}, ...heads)),
    element("tbody", {}, ...terms),
    element("tfoot", {}, termRow("Σ", null, sum)),
  );
}
