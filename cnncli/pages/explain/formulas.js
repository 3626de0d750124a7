import { shown } from "./colours.js";

// Numbers within a formula, so that its signs can be told from theirs.

/** Return numbers as a sum: "0.5 − 0.3 + 2". */
export function sumText(values) {
  return Array.from(values, (value, number) => (number ? plusText(value) : shown(value))).join("");
}

/** Return a number that is added to what stands before it: " + 0.5" or " − 0.5". */
export function plusText(value) {
  return value < 0 ? ` − ${shown(-value)}` : ` + ${shown(value)}`;
}

/** Return steps along the height and the width: "2", or "2 and 1" where they differ. */
export function bothText([down, across]) {
  return down === across ? String(down) : `${down} and ${across}`;
}

/** Return a number that is multiplied or taken off: "0.5" or "(−0.5)". */
export function factorText(value) {
  return value < 0 ? `(${shown(value)})` : shown(value);
}
