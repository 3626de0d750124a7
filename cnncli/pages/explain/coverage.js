import { outputSide } from "./arithmetic.js";

// What the windows of a convolution read of a square input, and what they leave, in numbers and in words.

/**
 * Return what `settings` {size, kernel, padding, stride, dilation} come to along one side.
 *
 * `windows` is the size of the output, 0 where the kernel does not fit; `padded` that of the input with its padding and
 * `reach` that of the kernel with its gaps. `unread` are the places that no window reads, the padding's too: those
 * before 0 and from `size` on. `left` is how many of them come after the last window.
 */
export function coverageOf({ size, kernel, padding, stride, dilation }) {
  const geometry = {
    kernel: [kernel, kernel],
    stride: [stride, stride],
    padding: [padding, padding],
    dilation: [dilation, dilation],
  };
  const windows = Math.max(0, outputSide(size, geometry, 0));
  const padded = size + 2 * padding;
  const reach = dilation * (kernel - 1) + 1;
  const read = new Set();
  for (let window = 0; window < windows; window++) {
    for (let tap = 0; tap < kernel; tap++) read.add(window * stride + tap * dilation - padding);
  }
  const places = Array.from({ length: padded }, (_, place) => place - padding);
  const unread = places.filter((place) => !read.has(place));
  return { windows, padded, reach, unread, left: windows > 0 ? (padded - reach) % stride : padded };
}

/** Return the formula of the output's size: with its letters, with the numbers filled in, and worked out. */
export function sizeFormula({ size, kernel, padding, stride, dilation }) {
  const span = size + 2 * padding - dilation * (kernel - 1) - 1;
  return [
    "⌊(n + 2p − d·(k − 1) − 1) / s⌋ + 1",
    `⌊(${size} + 2·${padding} − ${dilation}·(${kernel} − 1) − 1) / ${stride}⌋ + 1`,
    `⌊${withMinus(span)} / ${stride}⌋ + 1`,
    withMinus(Math.floor(span / stride) + 1),
  ];
}

/** Return sentences on whether the kernel fits, what of the input is never read, and what would keep the size. */
export function coverageWords(settings) {
  const coverage = coverageOf(settings);
  const fit = coverage.windows > 0 ? [leftWords(settings, coverage), gapWords(settings, coverage)] : [];
  return [misfitWords(settings, coverage), ...fit, sameWords(settings, coverage)].filter((words) => words !== null);
}

/** Return a sentence on what the window at a place, [row, column] of the output, reads. */
export function windowWords({ size, kernel, padding, stride, dilation }, [row, column]) {
  const starts = [row * stride - padding, column * stride - padding];
  const [rows, columns] = starts.map((start, axis) => rangeWords(start, kernel, dilation, ["row", "column"][axis]));
  const ends = starts.map((start) => start + dilation * (kernel - 1));
  const isOutside = Math.min(...starts) < 0 || Math.max(...ends) >= size;
  const outside = isOutside ? `; those before 0 or after ${size - 1} are padding, zeros` : "";
  return `Output [${row}, ${column}] reads input ${rows} and ${columns}${outside}.`.replace(/-/g, "−");
}

function misfitWords({ dilation, padding }, { windows, padded, reach }) {
  if (windows > 0) return null;
  const spans = `${dilation > 1 ? `with dilation ${dilation} ` : ""}it spans ${counted(reach)}`;
  const around = padding > 0 ? " with its padding" : "";
  return (
    `The kernel does not fit: ${spans}, and the input${around} has ${padded}. ` +
    "Take a smaller kernel or dilation, or a larger input or padding."
  );
}

function leftWords({ size, padding, stride }, { padded, reach, left }) {
  const division = `${padded - reach} / ${stride}`;
  if (left === 0) return stride === 1 ? null : `${division} divides evenly: no row or column is left over at the end.`;
  const uneven = `${division} does not divide evenly`;
  if (left <= padding) {
    return `${uneven}: the last ${counted(left)} of the padding are never read; of the input none is left over.`;
  }
  const around = padding > 0 ? ", nor is the padding after them" : "";
  return `${uneven}: the last ${counted(Math.min(left - padding, size))} are never read${around}.`;
}

function gapWords({ size, padding }, { padded, unread, left }) {
  const end = padded - left - padding; // of the last window
  const skipped = unread.filter((place) => place >= 0 && place < Math.min(size, end));
  return skipped.length > 0 ? `Between what the windows read, ${counted(skipped.length)} are skipped.` : null;
}

function sameWords({ size, kernel, padding, stride, dilation }, { reach }) {
  const side = Math.ceil(size / stride);
  const total = Math.max(0, (side - 1) * stride + reach - size); // of both ends, at least
  const half = Math.ceil(total / 2);
  if (stride > 1) {
    return `With stride ${stride}, p = ${half} gives ⌈n / s⌉ = ${side}, which is what “same” padding means then.`;
  }
  if (total % 2 === 1) {
    const ends = `${half - 1} before and ${half} after`;
    return `d·(k − 1) = ${total} is odd, so that no p keeps the size: “same” padding is ${ends}.`;
  }
  const now = padding === half ? "as is set now" : `${size} → ${size}`;
  return `“Same” padding, p = d·(k − 1) / 2 = ${dilation}·(${kernel} − 1) / 2 = ${half}, keeps the size: ${now}.`;
}

function rangeWords(start, kernel, dilation, name) {
  const end = start + dilation * (kernel - 1);
  if (kernel === 1) return `${name} ${start}`;
  if (dilation === 1) return `${name}s ${start} to ${end}`;
  const places = Array.from({ length: kernel }, (_, tap) => start + tap * dilation);
  return `${name}s ${(kernel > 4 ? [...places.slice(0, 2), `… ${end}`] : places).join(", ")}`;
}

function counted(number) {
  return number === 1 ? "1 row and column" : `${number} rows and columns`;
}

function withMinus(number) {
  return number < 0 ? `−${-number}` : `${number}`;
}
