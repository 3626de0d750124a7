import { shown } from "./colours.js";
import { element } from "./dom.js";
import { factorText } from "./formulas.js";
import { sourcesOf } from "./links.js";
import { fieldOf, formulaLine, placeView, valueAt } from "./place_view.js";
import { formatRoute } from "./routes.js";

const COMBINING = {
  add: { name: "sum", sign: "+" },
  multiply: { name: "product", sign: "×" },
};

/** Show how two branches are added or multiplied, number by number. */
export function combiningView(stage) {
  const { network, part, unit } = stage;
  const { name, sign } = COMBINING[part.kind];
  const sources = sourcesOf(network, part, unit).map(({ part: input, units }) => {
    const field = fieldOf(stage, input, units[0]);
    const windowOf = (row, column) => ({ rows: [row % field.height], columns: [column % field.width] });
    return { ...field, windowOf };
  });
  return placeView(stage, {
    words: `Each number is the ${name} of those that both branches made at its place.`,
    sources,
    numbers: (row, column, result) => {
      const [left, right] = sources.map((source) => valueAt(source, row, column));
      return formulaLine(`${shown(left)} ${sign} ${factorText(right)}`, result);
    },
  });
}

/** Show which map of which input a map is, of several that are laid one behind the other; of vectors, which number. */
export function concatenationView(stage) {
  const { network, part, unit } = stage;
  const originOf = (number) => {
    const { part: input, units } = sourcesOf(network, part, number).find((source) => source.units.length);
    return { input, from: units[0] };
  };
  const { input, from } = originOf(unit);
  const isVector = part.shape.length === 1;
  const units = network.unitsOf(part);
  const { width } = fieldOf(stage, part, unit);
  const whole = network.inputsOf(part).map(({ id, shape }) => `${shape[0]} of ${id}`);
  return placeView(stage, {
    words: `${whole.join(", ")}, one behind the other.${isVector ? "" : ` This one is map ${from} of ${input.id}.`}`,
    sources: isVector ? [] : [fieldOf(stage, input, from)],
    numbers: (row, column, result) => {
      if (!isVector) return formulaLine(`row ${row}, column ${column} of ${input.id}, map ${from}`, result);
      const { input: vector, from: number } = originOf(units[row * width + column]);
      const href = formatRoute({ id: vector.id, unit: number, image: network.image });
      const link = element("p", { class: "soft" }, "← ", element("a", { href }, `${vector.id}, neuron ${number}`));
      return element("div", {}, formulaLine(`neuron ${number} of ${vector.id}`, result), link);
    },
  });
}
