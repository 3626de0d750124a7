import { shown } from "./colours.js";
import { element } from "./dom.js";
import { legend } from "./heatmap.js";
import { formatRoute } from "./routes.js";
import { markedMap } from "./sliding.js";
import { unitName } from "./unit_names.js";

const SIGNS = { add: "+", multiply: "×" };

/** Show how two branches become one, number by number: their sum or their product. */
export function combiningView({ network, part, unit, place, note, scale }) {
  const parts = [...network.inputsOf(part), part];
  const [height, width] = network.size(part);
  const sign = SIGNS[part.kind];
  const said = element("p", { class: "formula", "aria-live": "polite" });
  const maps = parts.map((of) => mapOf(network, of, unit, scale(of, unit)));
  const see = (row, column) => {
    const numbers = parts.map((of, number) => {
      const values = network.map(of, unit);
      const [rows, columns] = network.size(of);
      const cell = [Math.min(row, rows - 1), Math.min(column, columns - 1)]; // one number goes with all of a larger map
      maps[number].mark([cell[0]], [cell[1]]);
      return shown(values[cell[0] * columns + cell[1]]);
    });
    said.replaceChildren(
      `Row ${row}, column ${column}: ${numbers.slice(0, -1).join(` ${sign} `)} = `,
      element("b", {}, numbers.at(-1)),
    );
  };
  maps.forEach((map, number) => {
    const [rows, columns] = network.size(parts[number]);
    if (rows !== height || columns !== width) return;
    map.follow((row, column) => {
      if (row === null) return;
      see(row, column);
      note({ unit, place: [row, column] });
    });
  });
  see(...(place ?? [Math.floor(height / 2), Math.floor(width / 2)]));
  const signs = [...parts.slice(0, -2).map(() => sign), "=", ""];
  const pictures = maps.flatMap((map, number) => [map.node, signs[number]]);
  const links = network.inputsOf(part).map((of) => linkToMap(network, of, unit));
  return element(
    "div",
    { class: "combining" },
    element(
      "p",
      {},
      `Each number is ${part.kind === "add" ? "the sum" : "the product"} of those of `,
      links[0],
      " and ",
      links[1],
      ", at the same place.",
    ),
    said,
    element("div", { class: "combining-maps" }, pictures),
  );
}

/** Show which of the inputs a map was, of several that are laid one behind the other. */
export function concatenationView({ network, part, unit, scale }) {
  let first = 0;
  for (const input of network.inputsOf(part)) {
    if (unit < first + input.shape[0]) {
      const from = unit - first;
      const map = mapOf(network, part, unit, scale(part, unit));
      const sizes = network.inputsOf(part).map((of) => `${of.shape[0]} of ${of.id}`);
      const link = linkToMap(network, input, from);
      return element(
        "div",
        { class: "combining" },
        element("p", {}, `All maps stand one behind the other: ${sizes.join(", ")}. This one is `, link, "."),
        map.node,
      );
    }
    first += input.shape[0];
  }
  return null;
}

function mapOf(network, of, unit, scale) {
  const [height, width] = network.size(of);
  const map = markedMap({ values: network.map(of, unit), height, width, scale, label: of.id });
  map.node.append(legend(scale));
  return map;
}

function linkToMap(network, part, unit) {
  const href = formatRoute({ id: part.id, unit, image: network.image });
  return element("a", { href }, `${part.id}, ${unitName(network, part, unit)}`);
}
