import { element } from "./dom.js";
import { sheetOf } from "./sheet.js";
import { unitName } from "./unit_names.js";
import { viewOf } from "./views.js";

const LARGEST_PLAYED = 256; // pixels a side of the playground

/** Return why a route leads nowhere, in words, or null where it does lead somewhere. */
export function problemOf(network, route) {
  const { page, path, id, unit, place, image } = route;
  const { views, is_editable: isEditable } = network.manifest;
  if (image >= views.length) return `There is no image ${image} here: they are 0 to ${views.length - 1}.`;
  if (page === "unknown") return `“${path}” leads nowhere on this page.`;
  if (page === "editor" && !isEditable)
    return "The editor is for networks with at most 1 MB of weights, all of them shown.";
  if (page !== "part") return null;
  const part = network.byId.get(id);
  if (!part) return `There is no layer ${id} in this network.`;
  const units = `${part.shape[0]} ${part.shape.length === 1 ? "neurons" : "maps"}`;
  if (unit >= part.shape[0]) return `${id} has ${units}, from 0 on: there is no number ${unit}.`;
  if (unit !== null && network.placeOf(part, unit) < 0) {
    return `Of the ${units} of ${id} this page does not show number ${unit}: cnn explain --units all shows every one.`;
  }
  const size = network.size(part);
  if (place?.some((cell, axis) => cell >= size[axis])) {
    return `The maps of ${id} are ${size.join("×")}: there is no row ${place[0]}, column ${place[1]}.`;
  }
  return null;
}

/** Return the words of a route that leads nowhere. */
export function problemView(problem, { hashOf }) {
  const back = element("a", { href: hashOf({ page: "overview" }) }, "To the overview");
  return element("section", { class: "panel" }, element("p", { role: "alert" }, problem), element("p", {}, back));
}

/** Return the unit of a part that a route leads to: of the answer the likeliest class, else the first. */
export function unitOfRoute(network, part, unit) {
  if (unit !== null) return unit;
  return part.number >= network.logits.number ? network.ranking()[0] : network.unitsOf(part)[0];
}

/** Return the view of a part, with what it is, and ways to its neighbours; `stage` is as in `views.js`. */
export function partPanel(stage, page) {
  const { network, part, unit } = stage;
  const units = network.unitsOf(part);
  const options = units.map((number) => {
    return element("option", { value: number, selected: number === unit }, unitName(network, part, number));
  });
  const chooser = element("select", { onchange: ({ target }) => stage.go({ unit: Number(target.value) }) }, ...options);
  return element(
    "section",
    { class: "panel", "aria-label": part.id },
    headOf(network, part, page),
    factsOf(network, part, page),
    units.length > 1 ? element("label", { class: "panel-unit" }, "Shown: ", chooser) : null,
    viewOf(stage),
    sheetOf(page, part),
  );
}

function headOf(network, part, { hashOf }) {
  const step = (other, sign, name) => {
    if (!other) return element("span", {});
    return element("a", { href: hashOf({ id: other.id }), title: `${name} layer` }, sign(other.id));
  };
  const closing = {
    href: hashOf({ page: "overview" }),
    class: "panel-close",
    title: "Close (Esc)",
    "aria-label": "Close",
  };
  return element(
    "header",
    {},
    step(network.parts[part.number - 1], (id) => `‹ ${id}`, "Previous"),
    element("h2", {}, part.id, part.name ? element("small", {}, ` ${part.name}`) : null),
    step(network.parts[part.number + 1], (id) => `${id} ›`, "Next"),
    element("a", closing, "×"),
  );
}

function factsOf(network, part, { hashOf }) {
  const inputs = network.inputsOf(part);
  const sizes = inputs.map(({ shape }) => shape.join("×")).join(", ");
  const facts = [part.layer, `${sizes}${sizes ? " → " : ""}${part.shape.join("×")}`];
  if (part.formula && !facts.includes(part.formula)) facts.push(part.formula);
  const { kernel, padding, stride, dilation, ceil = false } = part.options;
  const pairs = stride && [network.size(inputs[0]), kernel, padding, stride, dilation];
  const fits = pairs && !ceil && pairs[0][0] <= LARGEST_PLAYED && pairs.every(([height, width]) => height === width);
  const sides = fits && pairs.map(([side]) => side);
  const link = fits ? element("a", { href: hashOf({ page: "playground", rest: sides }) }, "try other sizes") : null;
  return element("p", { class: "soft" }, facts.join(" · "), link ? " · " : null, link);
}
