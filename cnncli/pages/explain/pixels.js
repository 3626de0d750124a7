import { greyOf } from "./colours.js";

/** Return the levels, 0 to 255, of a picture [C, H, W] that the network sees as these values. */
export function levelsOf(values, { channels, mean, std }) {
  const area = values.length / channels;
  return values.map((value, number) => {
    const channel = Math.floor(number / area);
    return (value * std[channel] + mean[channel]) * 255;
  });
}

/** Return what the network sees of the levels, 0 to 255, of a picture [C, H, W]. */
export function valuesOf(levels, { channels, mean, std }) {
  const area = levels.length / channels;
  return Float32Array.from(levels, (level, number) => {
    const channel = Math.floor(number / area);
    return (level / 255 - mean[channel]) / std[channel];
  });
}

/** Return levels [C, H, W] as ImageData: three channels are colours, of any other number the first is grey. */
export function imageOf(levels, side, channels) {
  const image = new ImageData(side, side);
  const area = side * side;
  for (let place = 0; place < area; place++) {
    const colours = [0, 1, 2].map((channel) => levels[(channels === 3 ? channel : 0) * area + place]);
    image.data.set([...colours.map(Math.round), 255], 4 * place);
  }
  return image;
}

/** Return levels [C, H, W] of ImageData; of one channel the grey. */
export function levelsIn({ data }, channels) {
  const area = data.length / 4;
  const levels = new Float32Array(channels * area);
  for (let place = 0; place < area; place++) {
    const colour = Array.from(data.subarray(4 * place, 4 * place + 3));
    const all = channels === 3 ? colour : Array(channels).fill(Math.round(greyOf(colour)));
    all.forEach((level, channel) => (levels[channel * area + place] = level));
  }
  return levels;
}

/** Return levels [C, S, S] moved down and to the right; what is left behind is filled with each channel's corner. */
export function shifted(levels, side, down, right) {
  const area = side * side;
  return levels.map((_, number) => {
    const start = Math.floor(number / area) * area;
    const [row, column] = [Math.floor((number - start) / side) - down, ((number - start) % side) - right];
    const isInside = row >= 0 && row < side && column >= 0 && column < side;
    return levels[start + (isInside ? row * side + column : 0)];
  });
}
