import { numbersOf } from "./archive.js";
import { scaleOf } from "./colours.js";
import { element, svg } from "./dom.js";
import { heatmap, legend } from "./heatmap.js";

const CELLS_IN_ROW = 64; // of a vector's sheet

/** Return all units of a part that is shown in part, as thumbnails, with those shown marked; null of any other. */
export function sheetOf({ network, hashOf }, part) {
  const reference = network.view.sheets[part.number];
  if (!reference) return null;
  const body = element("div", {});
  const summary = `Showing ${part.units.length} of ${part.shape[0]}, those that matter most for the answer. All of them:`;
  const fill = () => {
    if (body.firstChild) return;
    const numbers = numbersOf(reference);
    const scale = scaleOf(numbers);
    const sheet =
      part.shape.length === 1
        ? cellSheet(part, numbers, scale)
        : mapSheet(part, numbers, reference.shape, scale, hashOf);
    body.append(legend(scale), sheet);
  };
  return element("details", { class: "sheet", ontoggle: fill }, element("summary", {}, summary), body);
}

function mapSheet(part, numbers, [, height, width], scale, hashOf) {
  const shownUnits = new Set(part.units);
  const thumbnails = Array.from({ length: part.shape[0] }, (_, unit) => {
    const area = height * width;
    const map = heatmap(numbers.subarray(unit * area, (unit + 1) * area), height, width, scale);
    const title = `map ${unit}`;
    if (!shownUnits.has(unit)) return element("span", { title }, map, unit);
    return element("a", { href: hashOf({ id: part.id, unit }), title: `${title}, shown` }, map, unit);
  });
  return element("div", { class: "sheet-maps" }, ...thumbnails);
}

function cellSheet(part, numbers, scale) {
  const width = Math.min(CELLS_IN_ROW, numbers.length);
  const height = Math.ceil(numbers.length / width);
  const map = heatmap(numbers, height, width, scale);
  const cells = part.units.map((unit) => `M${unit % width} ${Math.floor(unit / width)}h1v1h-1z`);
  const marks = svg(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" },
    svg("path", { d: cells.join("") }),
  );
  const words = `Row by row, ${width} in each; those shown have a frame.`;
  return element("div", {}, element("p", {}, words), element("div", { class: "sheet-cells" }, map, marks));
}
