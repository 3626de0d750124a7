import { shown } from "./colours.js";
import { element } from "./dom.js";
import { heatmap, legend, pointing } from "./heatmap.js";
import { markedMap } from "./sliding.js";
import { originIn } from "./sums.js";

/** Show how maps become one vector: row by row, one map behind the other; `unit` is a value of the vector. */
export function flattenView({ network, part, unit, scale, go, note }) {
  const [maps] = network.inputsOf(part);
  const [height, width] = network.size(maps);
  const colours = scale(part, unit);
  const sentence = element("p", { class: "flatten-formula", "aria-live": "polite" });
  const say = (number) => {
    const origin = originIn(network, maps, number);
    const value = network.result(part)[network.placeOf(part, number)];
    const [before, above] = [`${origin.unit} × ${height * width}`, `${origin.row} × ${width}`];
    sentence.textContent =
      `Value ${number} is row ${origin.row}, column ${origin.column} of map ${origin.unit}, ` +
      `as ${before} + ${above} + ${origin.column} = ${number}; it holds ${shown(value)}.`;
    for (const [other, picture] of pictures) {
      const isHere = other === origin.unit;
      picture.mark(isHere ? [origin.row] : [], isHere ? [origin.column] : []);
    }
  };
  const see = (number) => {
    say(number);
    note({ unit: number });
  };
  const pictures = new Map(
    network.unitsOf(maps).map((mapUnit) => {
      const values = network.map(maps, mapUnit);
      const picture = markedMap({ values, height, width, scale: colours, label: `map ${mapUnit}` });
      const open = (row, column) => go({ id: maps.id, unit: mapUnit, place: [row, column], source: null });
      const seeHere = (row, column) => row !== null && see((mapUnit * height + row) * width + column);
      pointing(picture.node.querySelector("canvas"), seeHere, open);
      return [mapUnit, picture];
    }),
  );
  const units = network.unitsOf(part);
  const strip = heatmap(network.result(part), 1, units.length, colours);
  pointing(strip, (row, column) => row !== null && see(units[column]));
  say(unit);
  const nodes = Array.from(pictures.values(), ({ node }) => node);
  return element(
    "div",
    { class: "flatten" },
    element("p", {}, `${maps.shape.join("×")} become ${part.shape[0]} values, row by row, one map behind the other.`),
    sentence,
    element("div", { class: "flatten-maps" }, nodes),
    strip,
    legend(colours),
  );
}
