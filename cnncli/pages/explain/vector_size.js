/** Return rows and columns to draw a vector in: 84 as the 12×7 drawings of LeNet-5's digits, others nearly square. */
export function vectorSize(length) {
  if (length === 84) return [12, 7];
  const height = Array.from({ length }, (_, number) => number + 1).findLast(
    (side) => side * side <= length && length % side === 0,
  );
  return [height, length / height];
}
