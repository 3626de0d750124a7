import { colourOf, greyOf } from "./colours.js";
import { element } from "./dom.js";

/** Return numbers [rows, columns] as a grid of cells, each a text or null, coloured by `shares` of the full colour. */
export function cellGrid(columns, texts, shares, label) {
  const cells = texts.map((text, number) => {
    const colour = colourOf(shares[number]);
    const style = { background: `rgb(${colour.join(" ")})`, color: greyOf(colour) < 140 ? "#fff" : "#14171b" };
    return element("span", { style }, text);
  });
  return element(
    "div",
    { class: "cells", role: "group", "aria-label": label, style: { "--columns": columns } },
    ...cells,
  );
}
