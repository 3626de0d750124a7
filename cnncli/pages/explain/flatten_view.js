import { element } from "./dom.js";
import { shown } from "./colours.js";
import { heatmap, legend, pointing } from "./heatmap.js";
import { originIn } from "./sums.js";

/** Show how maps become one vector: row by row, one map behind the other; `unit` is a value of the vector. */
export function flattenView({ network, part, unit, scale, go, note }) {
  const [maps] = network.inputsOf(part);
  const [height, width] = network.size(maps);
  const colours = scale(maps, network.unitsOf(maps)[0]);
  const sentence = element("p", { class: "flatten-formula", "aria-live": "polite" });
  const strip = heatmap(network.result(part), 1, network.result(part).length, colours);
  const pictures = new Map();
  const say = (number) => {
    const origin = originIn(network, maps, number);
    const value = network.result(part)[network.placeOf(part, number)];
    sentence.textContent =
      `value ${number} = map ${origin.unit} × ${height * width} + row ${origin.row} × ${width} + column ${origin.column}` +
      `, and is ${shown(value)}`;
    for (const [other, picture] of pictures) picture.classList.toggle("flatten-here", other === origin.unit);
  };
  const see = (number) => {
    say(number);
    note({ unit: number });
  };
  for (const mapUnit of network.unitsOf(maps)) {
    const picture = heatmap(network.map(maps, mapUnit), height, width, colours);
    picture.setAttribute("aria-label", `map ${mapUnit}`);
    const open = (row, column) => go({ id: maps.id, unit: mapUnit, place: [row, column], source: null });
    pointing(picture, (row, column) => row !== null && see((mapUnit * height + row) * width + column), open);
    pictures.set(mapUnit, picture);
  }
  const units = network.unitsOf(part);
  pointing(strip, (row, column) => row !== null && see(units[column]));
  say(unit);
  return element(
    "div",
    { class: "flatten" },
    element("p", {}, `${maps.shape.join("×")} become ${part.shape[0]} values, row by row, one map behind the other.`),
    sentence,
    element("div", { class: "flatten-maps" }, ...pictures.values()),
    strip,
    legend(colours),
  );
}
