import {
  ACTIVATIONS,
  adaptiveAverage,
  adaptiveMax,
  averagePool,
  batchNorm,
  channelWindow,
  dense,
  localResponse,
  maxPool,
  pad,
  radial,
  softmax,
  subsample,
} from "./arithmetic.js";

/** Return what a part makes of the results of the parts before it, [units shown, H, W] or [units shown]. */
export function compute(network, part) {
  return COMPUTE[part.kind](network, part);
}

const COMPUTE = {
  convolution: convolved,
  dense: (network, part) => {
    return plusOthers(
      network,
      part,
      dense(given(network, part), network.tensor(part, "weight"), network.tensor(part, "bias")),
    );
  },
  rbf: (network, part) => plusOthers(network, part, radial(given(network, part), network.tensor(part, "weight"))),
  activation: (network, part) => {
    const { apply } = ACTIVATIONS[part.options.function];
    return given(network, part).map((value) => apply(value, part.options));
  },
  pool: (network, part) =>
    mapByMap(network, part, (map, height, width, options) => {
      if (options.reduce === "max") return maxPool(map, height, width, options, options.ceil);
      return averagePool(map, height, width, options, options);
    }),
  adaptive: (network, part) => {
    const pool = part.options.reduce === "max" ? adaptiveMax : adaptiveAverage;
    return mapByMap(network, part, (map, height, width, { size }) => pool(map, height, width, size));
  },
  norm: normalised,
  lrn: locallyNormalised,
  subsample: (network, part) => {
    const [weight, bias] = [network.tensor(part, "weight"), network.tensor(part, "bias")];
    return mapByMap(network, part, (map, height, width, _, place) =>
      subsample(map, height, width, weight[place], bias[place]),
    );
  },
  pad: (network, part) =>
    mapByMap(network, part, (map, height, width, { padding, value }) => pad(map, height, width, padding, value)),
  identity: given,
  flatten: given,
  softmax: (network, part) => softmax(given(network, part)),
  add: (network, part) => combined(network, part, (left, right) => left + right),
  multiply: (network, part) => combined(network, part, (left, right) => left * right),
  concatenate: (network, part) => joined(network.inputsOf(part).map((input) => network.result(input))),
};

function given(network, part) {
  return network.result(network.inputsOf(part)[0]);
}

function joined(arrays) {
  const whole = new Float32Array(arrays.reduce((size, array) => size + array.length, 0));
  let start = 0;
  for (const array of arrays) {
    whole.set(array, start);
    start += array.length;
  }
  return whole;
}

function mapByMap(network, part, make) {
  const [input] = network.inputsOf(part);
  const [height, width] = network.size(input);
  const maps = network
    .unitsOf(input)
    .map((unit, place) => make(network.map(input, unit), height, width, part.options, place));
  return joined(maps);
}

function convolved(network, part) {
  const [height, width] = network.size(part);
  const bias = network.tensor(part, "bias");
  const result = new Float32Array(network.unitsOf(part).length * height * width);
  network.unitsOf(part).forEach((unit, place) => {
    const sums = new Float64Array(height * width).fill(bias[place]);
    for (const kernel of network.kernels(part, unit)) {
      network.intermediate(part, kernel).forEach((value, number) => (sums[number] += value));
    }
    result.set(sums, place * sums.length);
  });
  return plusOthers(network, part, result);
}

function plusOthers(network, part, sums) {
  const others = network.others(part);
  return others ? sums.map((sum, place) => sum + others[place]) : sums;
}

function normalised(network, part) {
  const names = ["mean", "variance", "weight", "bias"];
  const [mean, variance, weight, bias] = names.map((name) => network.tensor(part, name));
  const values = given(network, part);
  const size = values.length / mean.length;
  return values.map((value, number) => {
    const place = Math.floor(number / size);
    const statistics = { mean: mean[place], variance: variance[place], weight: weight[place], bias: bias[place] };
    return batchNorm(value, { ...statistics, eps: part.options.eps });
  });
}

function locallyNormalised(network, part) {
  const values = given(network, part);
  const [height, width] = network.size(part);
  const [area, others] = [height * width, network.others(part)];
  return values.map((value, number) => {
    const place = number % area;
    if (others) return localResponse([value], 0, part.options, others[number]);
    const channel = Math.floor(number / area);
    const [first, end] = channelWindow(channel, values.length / area, part.options.size);
    const around = Array.from({ length: end - first }, (_, step) => values[(first + step) * area + place]);
    return localResponse(around, channel - first, part.options);
  });
}

/** Combine two results number by number; where one has a single map, row or column, that goes with all of the other. */
function combined(network, part, make) {
  const [left, right] = network.inputsOf(part).map((input) => {
    const [values, count, [rows, columns]] = [
      network.result(input),
      network.unitsOf(input).length,
      network.size(input),
    ];
    return (place, row, column) => values[((place % count) * rows + (row % rows)) * columns + (column % columns)];
  });
  const [height, width] = network.size(part);
  const length = network.unitsOf(part).length * height * width;
  return Float32Array.from({ length }, (_, number) => {
    const cell = number % (height * width);
    const where = [Math.floor(number / (height * width)), Math.floor(cell / width), cell % width];
    return make(left(...where), right(...where));
  });
}
