import { shown } from "./colours.js";
import { factorText, plusText } from "./formulas.js";
import { fieldOf, formulaLine, placeView, valueAt } from "./place_view.js";

const STATISTICS = ["mean", "variance", "weight", "bias"];

/** Show batch normalisation as it is once trained: with the mean and the variance that were gathered in training. */
export function normView(stage) {
  const { network, part, unit } = stage;
  const source = fieldOf(stage, network.inputsOf(part)[0], unit);
  const { eps } = part.options;
  const isVector = part.shape.length === 1;
  const at = (index) => STATISTICS.map((name) => network.tensor(part, name)[index]);
  const own = at(network.placeOf(part, unit)).map((value, number) => `${STATISTICS[number]} ${shown(value)}`);
  const whose = isVector ? "each neuron has its own numbers" : `map ${unit} has ${own.join(", ")}`;
  return placeView(stage, {
    words: `(x − mean) / √(variance + ${eps}) × weight + bias; ${whose}, gathered and learnt in training.`,
    sources: [source],
    numbers: (row, column, result) => {
      const index = isVector ? row * source.width + column : network.placeOf(part, unit);
      const [mean, variance, weight, bias] = at(index);
      const centred = `(${shown(valueAt(source, row, column))} − ${factorText(mean)})`;
      return formulaLine(
        `${centred} / √(${shown(variance)} + ${eps}) × ${factorText(weight)}${plusText(bias)}`,
        result,
      );
    },
  });
}
