import { scaleOf } from "./colours.js";

/** What a colour stands for: the full one is the largest number of a map, of its layer, or of all layers. */
export const SCALES = ["unit", "layer", "global"];

/** Return the scale of a unit's map in one of the modes of `SCALES`. */
export function scaleIn(mode, network, part, unit) {
  if (part.kind === "input" || mode === "layer") return scaleOf(network.result(part));
  if (mode === "unit") return scaleOf(network.map(part, unit));
  return scaleOf(...network.parts.filter(({ shape }) => shape.length === 3).map((other) => network.result(other)));
}
