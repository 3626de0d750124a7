/** Return a probability as it is shown, in percent. */
export function shownShare(share) {
  if (share > 0 && share < 5e-5) return "< 0.01 %";
  if (share < 1 && share >= 0.99995) return "> 99.99 %";
  return `${(100 * share).toFixed(2)} %`;
}
