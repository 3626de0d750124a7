// What layers compute, on maps: Float32Array, row by row, with height and width beside. Sums are added up in doubles
// and rounded once, when they are stored. A geometry is {kernel, stride, padding, dilation}, each [height, width].

/** Return how many windows fit along an axis, 0 or 1, of a side; with `ceil` also one that only begins inside. */
export function outputSide(side, geometry, axis, ceil = false) {
  const [stride, padding] = [geometry.stride[axis], geometry.padding[axis]];
  const reach = geometry.dilation[axis] * (geometry.kernel[axis] - 1) + 1;
  const steps = (side + 2 * padding - reach) / stride;
  if (!ceil) return Math.floor(steps) + 1;
  const last = Math.ceil(steps);
  return last * stride < side + padding ? last + 1 : last;
}

/** Return one kernel's sums of products over one map, zeros around it: [outputSide(height), outputSide(width)]. */
export function correlate(map, height, width, kernel, geometry) {
  const [rows, columns] = [height, width].map((side, axis) => outputSide(side, geometry, axis));
  const sums = new Float64Array(rows * columns);
  for (let i = 0; i < geometry.kernel[0]; i++) {
    for (let j = 0; j < geometry.kernel[1]; j++) {
      addShifted(sums, [rows, columns], map, [height, width], kernel[i * geometry.kernel[1] + j], [i, j], geometry);
    }
  }
  return new Float32Array(sums);
}

/** Add a map, times one weight of a kernel, to the sums, where the window's cell of that weight lies on it. */
function addShifted(sums, [rows, columns], map, [height, width], weight, cell, { stride, padding, dilation }) {
  const [top, left] = cell.map((place, axis) => place * dilation[axis] - padding[axis]);
  const first = Math.max(0, Math.ceil(-left / stride[1]));
  const end = Math.min(columns, Math.floor((width - 1 - left) / stride[1]) + 1);
  for (let row = 0; row < rows; row++) {
    const y = row * stride[0] + top;
    if (y < 0 || y >= height) continue;
    let source = y * width + first * stride[1] + left;
    for (let column = first; column < end; column++, source += stride[1]) {
      sums[row * columns + column] += weight * map[source];
    }
  }
}

/** Return a map with `value` around it, or cut where a width is negative: [left, right, top, bottom]. */
export function pad(map, height, width, [left, right, top, bottom], value) {
  return filled(top + height + bottom, left + width + right, (row, column) => {
    const [y, x] = [row - top, column - left];
    return y >= 0 && y < height && x >= 0 && x < width ? map[y * width + x] : value;
  });
}

/** Return the largest value of each window. */
export function maxPool(map, height, width, geometry, ceil = false) {
  const windows = [height, width].map((side, axis) => windowsAlong(side, geometry, axis, ceil));
  return pooled(...windows, (rows, columns) => largest(map, width, rows, columns));
}

/** Return the sum of each window, divided by `averageDivisor`. */
export function averagePool(map, height, width, geometry, options = {}) {
  const windows = [height, width].map((side, axis) => windowsAlong(side, geometry, axis, options.ceil));
  return pooled(...windows, (rows, columns, row, column) => {
    return total(map, width, rows, columns) / averageDivisor(height, width, geometry, row, column, options);
  });
}

/** Return what a window's sum is divided by: `divisor`, or the number of its cells, of the padding too or not. */
export function averageDivisor(height, width, geometry, row, column, options = {}) {
  const { count_include_pad = true, divisor = null } = options;
  if (divisor !== null) return divisor;
  const around = count_include_pad ? geometry.padding : [0, 0];
  const counts = [row, column].map((place, axis) => {
    const side = [height, width][axis];
    const start = place * geometry.stride[axis] - geometry.padding[axis];
    const end = Math.min(start + geometry.kernel[axis], side + around[axis]); // beyond the padding is nothing to count
    return end - Math.max(start, -around[axis]);
  });
  return counts[0] * counts[1];
}

/** Return the mean of each of `size` [rows, columns] parts of a map; null keeps a side. */
export function adaptiveAverage(map, height, width, size) {
  return pooled(...partsOf(height, width, size), (rows, columns) => {
    return total(map, width, rows, columns) / (rows.length * columns.length);
  });
}

/** Return the largest value of each of `size` [rows, columns] parts of a map; null keeps a side. */
export function adaptiveMax(map, height, width, size) {
  return pooled(...partsOf(height, width, size), (rows, columns) => largest(map, width, rows, columns));
}

/** Return which cells along a side the part `place` of `parts` has; parts may overlap. */
export function adaptiveCells(side, parts, place) {
  const [first, end] = [Math.floor((place * side) / parts), Math.ceil(((place + 1) * side) / parts)];
  return Array.from({ length: end - first }, (_, step) => first + step);
}

/** The windows of subsampling. */
export const SQUARES = { kernel: [2, 2], stride: [2, 2], padding: [0, 0], dilation: [1, 1] };

/** Return the sum of each 2×2 square, times a coefficient, plus a bias. */
export function subsample(map, height, width, coefficient, bias) {
  const windows = [height, width].map((side, axis) => windowsAlong(side, SQUARES, axis));
  return pooled(...windows, (rows, columns) => total(map, width, rows, columns) * coefficient + bias);
}

/** Return the source rows and columns of a window, and its values row by row: null where it lies outside of the map. */
export function windowAt(map, height, width, geometry, row, column) {
  const rows = windowCells(geometry, 0, row);
  const columns = windowCells(geometry, 1, column);
  const inside = (y, x) => y >= 0 && y < height && x >= 0 && x < width;
  const values = rows.flatMap((y) => columns.map((x) => (inside(y, x) ? map[y * width + x] : null)));
  return { values, rows, columns };
}

/** What each activation makes of a value, and how one writes it. */
export const ACTIVATIONS = {
  relu: { apply: (x) => Math.max(0, x), formula: "max(0, x)" },
  relu6: { apply: (x) => Math.min(Math.max(0, x), 6), formula: "min(max(0, x), 6)" },
  leaky_relu: { apply: (x, { slope }) => (x > 0 ? x : slope * x), formula: "x if x > 0, else slope · x" },
  elu: { apply: (x, { alpha }) => (x > 0 ? x : alpha * Math.expm1(x)), formula: "x if x > 0, else α(exp(x) − 1)" },
  tanh: { apply: Math.tanh, formula: "tanh(x)" },
  scaled_tanh: { apply: (x) => 1.7159 * Math.tanh((2 * x) / 3), formula: "1.7159 · tanh(2x / 3)" },
  sigmoid: { apply: sigmoid, formula: "1 / (1 + exp(−x))" },
  hardsigmoid: { apply: hardSigmoid, formula: "min(max(0, x + 3), 6) / 6" },
  hardswish: { apply: (x) => x * hardSigmoid(x), formula: "x · min(max(0, x + 3), 6) / 6" },
  silu: { apply: (x) => x * sigmoid(x), formula: "x / (1 + exp(−x))" },
  gelu: { apply: gelu, formula: "x · Φ(x), with Φ the normal distribution" },
};

/** Return a value less the mean, over the standard deviation, times the weight, plus the bias, each of its channel. */
export function batchNorm(value, { mean, variance, weight, bias, eps }) {
  return ((value - mean) / Math.sqrt(variance + eps)) * weight + bias;
}

/** Return which channels, [first, end), a channel is normalised with: `size` around it, of those that there are. */
export function channelWindow(channel, numChannels, size) {
  const first = channel - Math.floor(size / 2);
  return [Math.max(0, first), Math.min(first + size, numChannels)];
}

/**
 * Return the value of a channel over a power of the squares around it, (k + alpha / size · Σ squares)^beta.
 *
 * `values` are those of one place, a channel each; `othersSquares` is what is to be added of channels not among them.
 */
export function localResponse(values, channel, { size, alpha, beta, k }, othersSquares = 0) {
  let squares = othersSquares;
  const [first, end] = channelWindow(channel, values.length, size);
  for (let other = first; other < end; other++) squares += values[other] ** 2;
  return values[channel] / (k + (alpha / size) * squares) ** beta;
}

/** Return the probabilities [N] that logits [N] stand for. */
export function softmax(logits) {
  const most = Math.max(...logits); // or exp would overflow
  const powers = Float64Array.from(logits, (logit) => Math.exp(logit - most));
  const sum = powers.reduce((sum, power) => sum + power, 0);
  return Float32Array.from(powers, (power) => power / sum);
}

/** Return −log p of the class `label`, from logits [N]. */
export function crossEntropy(logits, label) {
  const most = Math.max(...logits);
  const sum = logits.reduce((sum, logit) => sum + Math.exp(logit - most), 0);
  return Math.log(sum) + most - logits[label];
}

/** Return for each of `bias` [M] what a row of the weights [M, N] makes of the input [N]. */
export function dense(input, weights, bias) {
  return Float32Array.from(bias, (value, row) => {
    let sum = value;
    for (let place = 0; place < input.length; place++) sum += weights[row * input.length + place] * input[place];
    return sum;
  });
}

/** Return the negated squared distances [M] of the input [N] from codes [M, N]. */
export function radial(input, codes) {
  return Float32Array.from({ length: codes.length / input.length }, (_, row) => {
    let sum = 0;
    for (let place = 0; place < input.length; place++) sum += (input[place] - codes[row * input.length + place]) ** 2;
    return -sum;
  });
}

/** Return the source cells along an axis of the window at `place`, also those outside. */
function windowCells({ kernel, stride, padding, dilation }, axis, place) {
  const start = place * stride[axis] - padding[axis];
  return Array.from({ length: kernel[axis] }, (_, step) => start + step * dilation[axis]);
}

/** Return the source cells of each window along an axis, without those outside. */
function windowsAlong(side, geometry, axis, ceil = false) {
  return Array.from({ length: outputSide(side, geometry, axis, ceil) }, (_, place) =>
    windowCells(geometry, axis, place).filter((cell) => cell >= 0 && cell < side),
  );
}

/** Return the source cells, along both axes, of the parts of adaptive pooling. */
function partsOf(height, width, size) {
  return [height, width].map((side, axis) => {
    const parts = size[axis] ?? side;
    return Array.from({ length: parts }, (_, place) => adaptiveCells(side, parts, place));
  });
}

/** Return a map of what `reduce` makes of the rows and the columns of each window. */
function pooled(rowWindows, columnWindows, reduce) {
  return filled(rowWindows.length, columnWindows.length, (row, column) => {
    return reduce(rowWindows[row], columnWindows[column], row, column);
  });
}

function largest(map, width, rows, columns) {
  let most = -Infinity;
  for (const y of rows) for (const x of columns) most = Math.max(most, map[y * width + x]);
  return most;
}

function total(map, width, rows, columns) {
  let sum = 0;
  for (const y of rows) for (const x of columns) sum += map[y * width + x];
  return sum;
}

function filled(height, width, valueAt) {
  const map = new Float32Array(height * width);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) map[row * width + column] = valueAt(row, column);
  }
  return map;
}

function sigmoid(x) {
  return 1 / (1 + Math.exp(-x));
}

function hardSigmoid(x) {
  return Math.min(Math.max(0, x + 3), 6) / 6;
}

function gelu(x, { approximate = "none" } = {}) {
  const inner = Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3);
  return (x / 2) * (1 + (approximate === "tanh" ? Math.tanh(inner) : errorFunction(x / Math.SQRT2)));
}

/** Return erf(x), by the series whose terms have all one sign. */
function errorFunction(x) {
  if (Math.abs(x) > 6) return Math.sign(x); // to the last digit
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}
