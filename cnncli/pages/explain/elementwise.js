import { scaleOf } from "./colours.js";
import { element } from "./dom.js";
import { heatmap, legend, pointing } from "./heatmap.js";
import { sliding } from "./sliding.js";

/**
 * Show an operation whose numbers each come of one number of the input: maps side by side, or vectors above each other.
 *
 * `numbers(unit, index)` returns the element that explains one, by its place in the unit's map, row by row.
 */
export function elementwise(stage, numbers) {
  const { network, part, unit, place, note, scale } = stage;
  if (part.shape.length === 1) return vectors(stage, numbers);
  const [input] = network.inputsOf(part);
  const [height, width] = network.size(part);
  const map = (of) => ({
    ...{ values: network.map(of, unit), height, width, scale: scale(of, unit) },
    label: `${of.id}, map ${unit}`,
  });
  return sliding({
    source: map(input),
    result: map(part),
    windowOf: (row, column) => ({ rows: [row], columns: [column] }),
    numbers: (row, column) => numbers(unit, row * width + column),
    place,
    note: (where) => note({ unit, place: where }),
  });
}

/** Draw both vectors as strips; the neuron under the pointer is explained. */
function vectors({ network, part, unit, note }, numbers) {
  const [input] = network.inputsOf(part);
  const units = network.unitsOf(part);
  const said = element("div", { "aria-live": "polite" }, numbers(unit, 0));
  const see = (row, column) => {
    if (row === null) return;
    said.replaceChildren(numbers(units[column], 0));
    note({ unit: units[column] });
  };
  const strips = [input, part].flatMap((of) => {
    const values = network.result(of);
    const scale = scaleOf(values);
    const strip = heatmap(values, 1, values.length, scale);
    strip.setAttribute("role", "img");
    strip.setAttribute("aria-label", `the numbers of ${of.id}`);
    pointing(strip, see);
    return [element("p", { class: "soft" }, of.id, " ", legend(scale)), strip];
  });
  return element("div", { class: "strips" }, said, strips);
}
