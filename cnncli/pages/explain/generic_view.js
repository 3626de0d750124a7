import { element } from "./dom.js";
import { heatmap, legend } from "./heatmap.js";

/** Show the result of an operation that has no view of its own: its map and its shape. */
export function genericView({ network, part, unit, scale }) {
  const [height, width] = network.size(part);
  const colours = scale(part, unit);
  return element(
    "div",
    { class: "generic" },
    element("p", {}, `${part.layer} makes ${part.shape.join("×")}. Unit ${unit}:`),
    heatmap(network.map(part, unit), height, width, colours),
    legend(colours),
  );
}
