import { crossEntropy } from "./arithmetic.js";
import { shown } from "./colours.js";
import { element } from "./dom.js";
import { factorText } from "./formulas.js";

/** Show how logits become probabilities: exp of each over the sum of all, from the likeliest class on. */
export function softmaxView({ network, part, unit, go }) {
  const logits = network.result(network.inputsOf(part)[0]);
  const probabilities = network.result(part);
  const most = Math.max(...logits);
  const powers = Array.from(logits, (logit) => Math.exp(logit - most));
  const total = powers.reduce((sum, power) => sum + power, 0);
  const label = network.label;
  const rows = network.ranking().map((number) =>
    element(
      "tr",
      {
        class: number === unit ? "softmax-here" : null,
        tabIndex: 0,
        onclick: () => go({ unit: number }),
        onkeydown: (event) => event.key === "Enter" && go({ unit: number }),
      },
      element("th", { scope: "row" }, network.classes[number], number === label ? " (true)" : ""),
      ...[logits[number], powers[number], probabilities[number]].map((value) => element("td", {}, shown(value))),
      element("td", { class: "softmax-bar", style: { "--share": probabilities[number] } }),
    ),
  );
  return element(
    "div",
    { class: "softmax" },
    element(
      "p",
      {},
      "The probability of a class is exp(z) over the sum of exp(z) of all classes, z being their logits. Of each the " +
        `largest, ${shown(most)}, is taken off first: the shares stay the same, and no number grows too large.`,
    ),
    element(
      "p",
      { class: "softmax-formula" },
      `${network.classes[unit]}: exp(${shown(logits[unit])} − ${factorText(most)}) / Σ = ${shown(powers[unit])} / ${shown(total)} = `,
      element("b", {}, shown(probabilities[unit])),
    ),
    label === null ? null : lossOf(network, logits, probabilities, label),
    element(
      "div",
      { class: "softmax-table" },
      element(
        "table",
        {},
        element(
          "thead",
          {},
          element(
            "tr",
            {},
            ...["class", "logit z", `exp(z − ${factorText(most)})`, "probability", ""].map((name) =>
              element("th", {}, name),
            ),
          ),
        ),
        element("tbody", {}, ...rows),
        element(
          "tfoot",
          {},
          element(
            "tr",
            {},
            element("th", { scope: "row" }, "sum"),
            element("td"),
            element("td", {}, shown(total)),
            element("td", {}, "1"),
            element("td"),
          ),
        ),
      ),
    ),
  );
}

/** Return what training would have made smaller for this image. */
function lossOf(network, logits, probabilities, label) {
  return element(
    "p",
    { class: "softmax-loss" },
    `The cross-entropy of the true class, ${network.classes[label]}, is −log ${shown(probabilities[label])} = `,
    element("b", {}, shown(crossEntropy(logits, label))),
  );
}
