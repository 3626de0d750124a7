import { channelWindow } from "./arithmetic.js";
import { shown } from "./colours.js";
import { element } from "./dom.js";
import { elementwise } from "./elementwise.js";

/** Show batch normalisation: what its layer remembers of training, and what that makes of each number. */
export function normView(stage) {
  const { network, part } = stage;
  const [input] = network.inputsOf(part);
  const numbers = (unit, index) => {
    const place = network.placeOf(part, unit);
    const names = ["mean", "variance", "weight", "bias"];
    const [mean, variance, weight, bias] = names.map((name) => shown(network.tensor(part, name)[place]));
    const [x, y] = [input, part].map((of) => network.map(of, unit)[index]);
    const sentence = `(${shown(x)} − ${mean}) / √(${variance} + ${part.options.eps}) × ${weight} + ${bias} = `;
    return element("p", { class: "formula" }, sentence, element("b", {}, shown(y)));
  };
  return element(
    "div",
    {},
    element(
      "p",
      {},
      "(x − mean) / √(variance + ε) × weight + bias, with the mean and variance that training saw of a map.",
    ),
    elementwise(stage, numbers),
  );
}

/** Show local response normalisation: each number over a power of the squares of the maps around it. */
export function localResponseView(stage) {
  const { network, part } = stage;
  const [input] = network.inputsOf(part);
  const { size, alpha, beta, k } = part.options;
  const others = network.others(part);
  const numbers = (unit, index) => {
    const area = network.map(input, unit).length;
    const [x, y] = [input, part].map((of) => network.map(of, unit)[index]);
    const rest = others?.[network.placeOf(part, unit) * area + index] ?? null;
    const [first, end] = rest === null ? channelWindow(unit, input.shape[0], size) : [unit, unit + 1];
    const channels = Array.from({ length: end - first }, (_, step) => first + step);
    const squares = channels.map((channel) => network.map(input, channel)[index] ** 2);
    const sum = squares.reduce((total, square) => total + square, rest ?? 0);
    const written = squares.map((square, number) => `${shown(square)} (map ${channels[number]})`);
    if (rest !== null) written.push(`${shown(rest)} (other channels)`);
    const divided = `${shown(x)} / (${k} + ${shown(alpha)} / ${size} × ${shown(sum)})^${beta} = `;
    return element(
      "div",
      {},
      element("p", {}, `Σ x² = ${written.join(" + ")} = ${shown(sum)}`),
      element("p", { class: "formula" }, divided, element("b", {}, shown(y))),
    );
  };
  return element(
    "div",
    {},
    element(
      "p",
      {},
      `x / (k + α / ${size} × Σ x²)^β, the sum over the maps at most ${Math.floor(size / 2)} away, at the same place.`,
    ),
    elementwise(stage, numbers),
  );
}
