import { shown } from "./colours.js";
import { element } from "./dom.js";
import { legend } from "./heatmap.js";
import { markedMap } from "./sliding.js";

/** Show the result of an operation that has no view of its own: its map, as it was recorded. */
export function genericView({ network, part, unit, place, scale, note }) {
  const [height, width] = network.size(part);
  const [values, colours] = [network.map(part, unit), scale(part, unit)];
  const map = markedMap({ values, height, width, scale: colours, label: `${part.id}, ${unit}` });
  const said = element("p", { class: "formula", "aria-live": "polite" });
  const see = (row, column) => {
    map.mark([row], [column]);
    said.textContent = `Row ${row}, column ${column}: ${shown(values[row * width + column])}`;
  };
  map.follow((row, column) => {
    if (row === null) return;
    see(row, column);
    note({ unit, place: [row, column] });
  });
  see(...(place ?? [0, 0]));
  map.node.append(legend(colours));
  const origin =
    part.kind === "input"
      ? "What the network sees of the picture."
      : `What ${part.layer} made, as PyTorch had it; this page does not compute it anew.`;
  return element("div", { class: "generic" }, element("p", {}, origin), said, map.node);
}
