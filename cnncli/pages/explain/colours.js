/** Colours of numbers: blue below zero, orange above, the paper's own at zero; told apart by all kinds of sight. */

const BELOW = [0, 114, 178]; // Okabe and Ito's blue, and
export const ABOVE = [213, 94, 0]; // vermilion
const LIGHT = [255, 255, 255];
const DARK = [20, 23, 27];

/** Return whether the page is dark now. */
export function isDark() {
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

/** Return red, green and blue of a share from -1 to 1 of the scale's end. */
export function colourOf(share, dark = isDark()) {
  const [paper, ink] = [dark ? DARK : LIGHT, share < 0 ? BELOW : ABOVE];
  const strength = Math.min(Math.abs(share), 1) || 0; // 0 also for what is not a number
  return paper.map((start, channel) => Math.round(start + (ink[channel] - start) * strength));
}

/** Return the grey of a colour, as ITU-R 601-2 and Pillow have it. */
export function greyOf([red, green, blue]) {
  return 0.299 * red + 0.587 * green + 0.114 * blue;
}

/** Return the scale of some maps: `{low, high, end}`, the range of their numbers and the larger distance from zero. */
export function scaleOf(...maps) {
  let [low, high] = [Infinity, -Infinity];
  for (const map of maps) {
    for (const value of map) {
      if (value < low && value !== -Infinity) low = value;
      if (value > high && value !== Infinity) high = value;
    }
  }
  if (low > high) [low, high] = [0, 0]; // no number is finite
  return { low, high, end: Math.max(Math.abs(low), Math.abs(high)) || 1 };
}

/** Return a number as it is shown: four digits or so, never wider than seven letters. */
export function shown(value) {
  if (value === 0) return "0";
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (size >= 1e5 || (size > 0 && size < 1e-3)) return value.toExponential(1).replaceAll("-", "−").replace("e+", "e");
  const digits = size >= 100 ? 1 : size >= 10 ? 2 : size >= 1 ? 3 : 4;
  return value.toFixed(digits).replace("-", "−");
}
