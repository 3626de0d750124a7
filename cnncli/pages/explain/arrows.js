const ARROW_STEPS = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

/** Return the place that an arrow key leads to from [row, column], within [height, width]; null for any other key. */
export function placeAfter(key, place, size) {
  const step = ARROW_STEPS[key];
  return step ? place.map((cell, axis) => Math.max(0, Math.min(size[axis] - 1, cell + step[axis]))) : null;
}
