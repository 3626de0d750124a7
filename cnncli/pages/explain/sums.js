/**
 * Return what a neuron is the sum of: `{values, weights, terms, listed, others, bias, result}`.
 *
 * `terms` are values × weights, of radial units −(value − code)²; `listed` is their sum, `others` that of the units that
 * are not shown, null where all are.
 */
export function sumOf(network, part, unit) {
  const values = network.result(network.inputsOf(part)[0]);
  const place = network.placeOf(part, unit);
  const weights = network.tensor(part, "weight").subarray(place * values.length, (place + 1) * values.length);
  const term = part.kind === "rbf" ? (x, code) => -((x - code) ** 2) : (x, weight) => x * weight;
  const terms = Float32Array.from(values, (value, number) => term(value, weights[number]));
  return {
    values,
    weights,
    terms,
    listed: terms.reduce((sum, one) => sum + one, 0),
    others: network.others(part)?.[place] ?? null,
    bias: part.references.bias ? network.tensor(part, "bias")[place] : null,
    result: network.result(part)[place],
  };
}

/** Return the part whose maps a vector's values are, laid one behind the other; null where they are no maps' values. */
export function mapsBehind(network, vector) {
  if (vector.kind === "identity") return mapsBehind(network, network.inputsOf(vector)[0]);
  const [maps] = vector.kind === "flatten" ? network.inputsOf(vector) : [];
  return maps?.shape.length === 3 ? maps : null;
}

/** Return the map, row and column that value `number` of a vector is, of maps that it was flattened from. */
export function originIn(network, maps, number) {
  const [height, width] = network.size(maps);
  const within = number % (height * width);
  return { unit: Math.floor(number / (height * width)), row: Math.floor(within / width), column: within % width };
}
