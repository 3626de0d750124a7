import { element } from "./dom.js";

const KEYS = [
  ["Tab", "to the overview, and on to what is below"],
  ["← →", "to the layer before or after, in the overview"],
  ["↑ ↓", "to the map or neuron above or below"],
  ["Home End", "to the first or the last layer"],
  ["Enter", "opens what has the focus"],
  ["Esc", "closes it"],
  ["Space, arrows", "in an animation: pause, and go step by step"],
  ["?", "shows this"],
];

/** Return a dialog that says which keys there are. */
export function keysDialog() {
  const rows = KEYS.map(([key, words]) =>
    element("tr", {}, element("th", { scope: "row" }, key), element("td", {}, words)),
  );
  const close = element("form", { method: "dialog" }, element("button", {}, "Close"));
  return element("dialog", { class: "keys" }, element("h2", {}, "Keys"), element("table", {}, ...rows), close);
}
