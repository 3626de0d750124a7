import { element } from "./dom.js";
import { heatmap } from "./heatmap.js";

/** Show all layers side by side, each with its maps; `stage` is as in `views.js`, less part and unit. */
export function overview({ network, scale, go }) {
  const columns = network.parts.map((part) => {
    const [height, width] = network.size(part);
    const maps = network.unitsOf(part).map((unit) => {
      const map = heatmap(network.map(part, unit), height, width, scale(part, unit));
      map.addEventListener("click", () => go({ page: "part", id: part.id, unit }));
      return map;
    });
    return element("div", { class: "column", id: `column-${part.id}` }, element("h3", {}, part.id), ...maps);
  });
  return element("div", { class: "overview" }, ...columns);
}
