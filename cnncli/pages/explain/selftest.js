import { numbersOf } from "./archive.js";
import { compute } from "./compute.js";
import { element } from "./dom.js";

const TOLERANCE = 1e-4; // relative to the largest number of a result, or to 1

/**
 * Compare what the page computes with what PyTorch did: `[{part, num_numbers, error, passed}]`.
 *
 * Sums of convolutions and dense layers are compared with the results that are kept, all of them; of results that are
 * not kept the manifest has some numbers, as PyTorch had them, with their places.
 */
function selfTest(network) {
  return network.parts
    .filter((part) => part.kind !== "input" && part.kind !== "other")
    .map((part) => tested(network, part));
}

function tested(network, part) {
  const result = compute(network, part);
  const kept = network.view.outputs[part.number];
  const wanted = kept ? Array.from(numbersOf(kept).entries()) : network.view.checks[part.number];
  let [largest, error] = [1, 0];
  for (const [place, value] of wanted) {
    if (Object.is(result[place], value)) continue; // also where neither is finite
    largest = Math.max(largest, Number.isFinite(value) ? Math.abs(value) : 0);
    const difference = Math.abs(result[place] - value);
    error = Number.isNaN(difference) ? Infinity : Math.max(error, difference);
  }
  error /= largest;
  return { part, num_numbers: wanted.length, error, passed: error <= TOLERANCE };
}

/** Return the page `#selftest`: a table of all comparisons; what came out is also the root's `data-selftest`. */
export function selfTestView(network) {
  if (network.isEdited)
    return element("p", { role: "alert" }, "Numbers were edited: take back all edits to compare those of the page.");
  const results = selfTest(network);
  const failed = results.filter(({ passed }) => !passed);
  document.documentElement.dataset.selftest = failed.length ? "failed" : "passed";
  const rows = results.map(({ part, num_numbers, error, passed }) =>
    element(
      "tr",
      { class: passed ? "passed" : "failed" },
      element("th", { scope: "row" }, part.id),
      element("td", {}, String(num_numbers)),
      element("td", {}, error.toExponential(1)),
      element("td", {}, passed ? "✓" : "✗"),
    ),
  );
  const verdict = failed.length ? `${failed.length} of ${results.length} disagree` : `all ${results.length} agree`;
  return element(
    "section",
    { class: "selftest" },
    element("h2", {}, "Self-test"),
    element(
      "p",
      {},
      `What this page computes, compared with what PyTorch did: ${verdict}, to ${TOLERANCE} of the largest number.`,
    ),
    element(
      "table",
      {},
      element(
        "thead",
        {},
        element("tr", {}, ...["part", "numbers", "error", ""].map((name) => element("th", {}, name))),
      ),
      element("tbody", {}, ...rows),
    ),
  );
}
