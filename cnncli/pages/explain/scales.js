import { scaleOf } from "./colours.js";

/** What a colour stands for: the full one is the largest number of a map, of its layer, or of all layers. */
export const SCALES = ["unit", "layer", "global"];

const layerScales = new WeakMap(); // by a layer's numbers, which are others after an edit

/** Return the scale of a unit's map in one of the modes of `SCALES`. */
export function scaleIn(mode, network, part, unit) {
  if (mode === "layer" || part.kind === "input" || part.shape.length === 1) return layerScale(network, part);
  if (mode === "unit") return scaleOf(network.map(part, unit));
  const scales = network.parts.filter(({ shape }) => shape.length === 3).map((other) => layerScale(network, other));
  return scaleOf(scales.flatMap(({ low, high }) => [low, high]));
}

function layerScale(network, part) {
  const numbers = network.result(part);
  if (!layerScales.has(numbers)) layerScales.set(numbers, scaleOf(numbers));
  return layerScales.get(numbers);
}
