import { scaleOf, shown } from "./colours.js";
import { element } from "./dom.js";
import { heatmap, legend, pointing } from "./heatmap.js";
import { mapsBehind, originIn, sumOf } from "./sums.js";
import { unitName } from "./unit_names.js";
import { vectorSize } from "./vector_size.js";

const NUM_LARGEST = 12; // terms of a sum that are listed; the rest is added up
const WORDS = {
  dense: { formula: "Σ value × weight + bias", second: "weight", term: "value × weight" },
  rbf: { formula: "−Σ (value − code)²", second: "code", term: "−(value − code)²" },
};

/** Show what a neuron is the sum of: all terms as pictures, the largest ones in numbers. */
export function denseView(stage) {
  const { network, part, unit } = stage;
  const sum = sumOf(network, part, unit);
  const [vector] = network.inputsOf(part);
  const maps = mapsBehind(network, vector);
  const name = unitName(network, part, unit);
  return element(
    "div",
    { class: "dense" },
    element("p", {}, `${name} = ${WORDS[part.kind].formula}, over ${sum.values.length} of ${vector.shape[0]} values.`),
    element("p", { class: "dense-total" }, ...totalOf(sum)),
    pictures(stage, sum, maps ?? vector),
    largestTerms(network, part, vector, sum),
  );
}

/** Return the sum as one line that adds up. */
function totalOf({ listed, others, bias, result }) {
  const rest = others === null ? "" : ` + other units ${shown(others)}`;
  const last = bias === null ? "" : ` + bias ${shown(bias)}`;
  return [`Σ ${shown(listed)}${rest}${last} = `, element("b", {}, shown(result))];
}

/** Draw values, weights and terms, a row for each map; a vector that was none is a row of its own. */
function pictures({ network, part, go }, { values, weights, terms }, source) {
  const [height, width] = source.shape.length === 3 ? network.size(source) : vectorSize(values.length);
  const area = height * width;
  const kinds = ["value", WORDS[part.kind].second, WORDS[part.kind].term];
  const numbers = [values, weights, terms];
  const scales = numbers.map((all) => scaleOf(all));
  const status = element("p", { class: "soft", "aria-live": "polite" }, "Point at a pixel to read its term.");
  const rowOf = (name, start, open) => {
    const see = (row, column) => {
      if (row === null) return;
      const [value, weight, term] = numbers.map((all) => shown(all[start + row * width + column]));
      const where = area === values.length ? `value ${row * width + column}` : `${name}, row ${row}, column ${column}`;
      status.textContent = `${where}: value ${value}, ${kinds[1]} ${weight}, ${kinds[2]} = ${term}`;
    };
    const drawn = numbers.map((all, kind) => {
      const picture = heatmap(all.subarray(start, start + area), height, width, scales[kind]);
      picture.setAttribute("role", "img");
      picture.setAttribute("aria-label", `${kinds[kind]} of ${name}`);
      pointing(picture, see, open);
      return picture;
    });
    const share = terms.subarray(start, start + area).reduce((sum, term) => sum + term, 0);
    return element(
      "tr",
      {},
      element("th", { scope: "row" }, name),
      ...drawn.map((picture) => element("td", {}, picture)),
      element("td", {}, shown(share)),
    );
  };
  const rows =
    source.shape.length === 3
      ? network
          .unitsOf(source)
          .map((unit, place) =>
            rowOf(`map ${unit}`, place * area, (row, column) =>
              go({ id: source.id, unit, place: [row, column], source: null }),
            ),
          )
      : [rowOf(source.id, 0, null)];
  const heads = kinds.map((kind, number) => element("th", {}, kind, legend(scales[number])));
  return element(
    "div",
    {},
    status,
    element(
      "div",
      { class: "dense-pictures" },
      element(
        "table",
        {},
        element("thead", {}, element("tr", {}, element("td"), ...heads, element("th", {}, "Σ"))),
        element("tbody", {}, ...rows),
      ),
    ),
  );
}

/** List the terms that are furthest from zero, and what is left of the sum. */
function largestTerms(network, part, vector, { values, weights, terms, listed, others, bias, result }) {
  const order = Array.from(terms.keys()).sort((first, second) => Math.abs(terms[second]) - Math.abs(terms[first]));
  const largest = order.slice(0, NUM_LARGEST);
  const maps = mapsBehind(network, vector);
  const units = network.unitsOf(vector);
  const nameOf = (number) => {
    if (!maps) return unitName(network, vector, units[number]);
    const { unit, row, column } = originIn(network, maps, units[number]);
    return `map ${unit} at ${row}, ${column}`;
  };
  const line = (name, ...cells) =>
    element("tr", {}, element("th", { scope: "row" }, name), ...cells.map((cell) => element("td", {}, cell)));
  const rest = listed - largest.reduce((sum, number) => sum + terms[number], 0);
  const last = [
    order.length > largest.length ? line(`${order.length - largest.length} smaller ones`, "", "", shown(rest)) : null,
    others === null ? null : line("other units, not shown", "", "", shown(others)),
    bias === null ? null : line("bias", "", "", shown(bias)),
    line("sum", "", "", element("b", {}, shown(result))),
  ];
  const words = WORDS[part.kind];
  const heads = ["from", "value", words.second, words.term].map((name) => element("th", {}, name));
  return element(
    "table",
    { class: "dense-terms" },
    element("caption", {}, "The largest terms"),
    element("thead", {}, element("tr", {}, ...heads)),
    element("tbody", {}, ...largest.map((n) => line(nameOf(n), shown(values[n]), shown(weights[n]), shown(terms[n])))),
    element("tfoot", {}, ...last.filter(Boolean)),
  );
}
