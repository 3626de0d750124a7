import { shown } from "./colours.js";
import { plusText } from "./formulas.js";
import { formulaLine, placeView } from "./place_view.js";

/** Show the result of an operation that has no view of its own: its numbers, as they were recorded. */
export function genericView(stage) {
  const { network, part } = stage;
  const given = network.inputsOf(part).map(({ id, shape }) => `${shape.join("×")} of ${id}`);
  return placeView(stage, {
    words:
      `What ${part.layer} made of ${given.join(" and ")}, ${part.shape.join("×")}: recorded as PyTorch had it; ` +
      "this page does not compute it anew.",
    sources: [],
    numbers: (row, column, result) => formulaLine(part.id, result),
  });
}

/** Show a channel of the picture, as the network sees it. */
export function inputView(stage) {
  const { network, unit } = stage;
  const { mean, std } = network.manifest.preprocess;
  return placeView(stage, {
    words: "What the network sees of the picture: (level / 255 − mean) / std of the channel, the level from 0 to 255.",
    sources: [],
    numbers: (row, column, result) => {
      const level = (result * std[unit] + mean[unit]) * 255;
      return formulaLine(`(${shown(level)} / 255${plusText(-mean[unit])}) / ${shown(std[unit])}`, result);
    },
  });
}
