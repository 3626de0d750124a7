/** Return what a unit is called: a class where the part answers, else a map or a neuron with its number. */
export function unitName(network, part, unit) {
  if (part.number >= network.logits.number) return network.classes[unit];
  return part.shape.length === 1 ? `neuron ${unit}` : `map ${unit}`;
}
