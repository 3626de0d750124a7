import { windowAt } from "./arithmetic.js";
import { placeAfter } from "./arrows.js";
import { cellGrid } from "./cells.js";
import { scaleOf, shown } from "./colours.js";
import { element } from "./dom.js";
import { heatmap, legend, pointing } from "./heatmap.js";
import { markedMap, noting, sliding } from "./sliding.js";

const LARGEST_IN_NUMBERS = 25; // weights of a kernel that is written out

/** Show what a map of a convolution is the sum of; of one input map, if the route names it, each product. */
export function convolutionView(stage) {
  const { network, part, unit, source } = stage;
  const [input] = network.inputsOf(part);
  const kernels = network.kernels(part, unit);
  const numSeen = part.options.num_sources[network.placeOf(part, unit)];
  const left = kernels.length < numSeen ? `; ${kernels.length} of these are shown, and the others are one term` : "";
  const seen = `Map ${unit} sees ${numSeen} of ${input.shape[0]} maps${left}.`;
  const chosen = kernels.find((kernel) => kernel.unit === source);
  const sum = new ConvolutionSum(stage, input, kernels);
  return element(
    "div",
    { class: "conv" },
    element("p", {}, `${seen} Each is convolved with a kernel of its own, and all are added up with the bias.`),
    element("p", {}, geometryOf(part.options)),
    source !== null && !chosen ? element("p", { role: "alert" }, `Map ${source} is not among them.`) : null,
    chosen ? element("h3", {}, `What comes of map ${source}`) : null,
    chosen ? products(stage, input, chosen, sum) : null,
    element("h3", {}, "The sum"),
    sum.element,
  );
}

/** Return how the window moves, in words, e.g. "Kernel 3×3, stride 2, padding 1, dilation 1." */
function geometryOf({ kernel, groups, ...others }) {
  const moves = ["stride", "padding", "dilation"].map((name) => {
    const [down, across] = others[name];
    return `${name} ${down === across ? down : `${down} down, ${across} across`}`;
  });
  if (groups > 1) moves.push(`groups ${groups}`);
  return `Kernel ${[kernel.join("×"), ...moves].join(", ")}.`;
}

/** Show the window slide over one input map, with value × weight of each of its cells; the sum goes with it. */
function products({ network, part, unit, place, note, scale }, input, chosen, sum) {
  const { unit: source, kernel } = chosen;
  const [sourceSize, resultSize] = [network.size(input), network.size(part)];
  const values = network.map(input, source);
  const made = network.intermediate(part, chosen);
  const [colours, weights] = [scale(input, source), scaleOf(kernel)];
  const numbers = (row, column) => {
    sum.show(row, column);
    const window = windowAt(values, ...sourceSize, part.options, row, column);
    const shares = sharesOf(window.values, colours);
    const patch = window.values.map((value) => (value === null ? "0" : shown(value)));
    const terms = window.values.map((value, number) => (value ?? 0) * kernel[number]);
    const across = part.options.kernel[1];
    return element(
      "div",
      { class: "conv-products" },
      element("p", {}, "Σ value × weight = ", element("b", {}, shown(made[row * resultSize[1] + column]))),
      cellGrid(across, patch, shares, "values under the window"),
      operand("×", cellGrid(across, Array.from(kernel, shown), sharesOf(kernel, weights), "weights")),
      operand("=", cellGrid(across, terms.map(shown), sharesOf(terms, scaleOf(terms)), "products")),
    );
  };
  const view = sliding({
    sources: [
      {
        ...{ values, height: sourceSize[0], width: sourceSize[1], scale: colours, padding: part.options.padding },
        label: `${input.id}, map ${source}`,
        windowOf: (row, column) => windowAt(values, ...sourceSize, part.options, row, column),
      },
    ],
    result: {
      ...{ values: made, height: resultSize[0], width: resultSize[1], scale: scaleOf(made) },
      label: `what comes of it, before the sum`,
    },
    numbers,
    place,
    note: (where) => note({ unit, source, place: where }),
  });
  const motion = view.querySelector("step-player");
  sum.see = (row, column) => motion.goTo(row * resultSize[1] + column);
  return view;
}

/** Return a grid with the sign before it, which stay together where lines wrap. */
function operand(sign, grid) {
  return element("span", { class: "conv-operand" }, sign, grid);
}

/** Return numbers as shares of a scale's end; null, of the padding, as 0. */
function sharesOf(numbers, { end }) {
  return Array.from(numbers, (number) => number / end);
}

/** All terms of one map: a row for each input map, other channels and the bias; a place of it in numbers. */
class ConvolutionSum {
  constructor(stage, input, kernels) {
    Object.assign(this, { ...stage, input, kernels });
    const { network, part, unit } = stage;
    [this.height, this.width] = network.size(part);
    const at = network.placeOf(part, unit);
    const area = this.height * this.width;
    this.others = network.others(part)?.subarray(at * area, (at + 1) * area) ?? null;
    this.bias = network.tensor(part, "bias")[at];
    this.result = network.map(part, unit);
    this.made = kernels.map((kernel) => network.intermediate(part, kernel));
    this.weights = scaleOf(...kernels.map(({ kernel }) => kernel));
    this.terms = scaleOf(...this.made, this.result);
    this.marks = [];
    this.cells = [];
    this.total = element("p", { class: "conv-total", "aria-live": "polite" });
    const [high, wide] = part.options.kernel;
    const hint = high * wide > LARGEST_IN_NUMBERS ? "Point at a kernel to read its weights." : "";
    this.weight = element("span", { class: "conv-weight", "aria-live": "polite" }, hint);
    this.see = this.show; // which the window of the products takes over, where they are shown
    const [onkeydown, label] = [(event) => this.obey(event), "Sum at a place: arrow keys move it"];
    const around = { tabIndex: 0, role: "group", "aria-label": label, onkeydown };
    this.element = element("div", around, this.total, this.table(), this.legends());
    noting(this.element, () => this.note({ unit, place: this.place }));
    this.show(...(stage.place ?? [Math.floor(this.height / 2), Math.floor(this.width / 2)]));
  }

  table() {
    const rows = this.kernels.map((kernel, number) => this.row(kernel, this.made[number]));
    if (this.others) rows.push(this.plainRow("+ other channels, not shown", this.term(this.others, "other channels")));
    rows.push(this.plainRow("+ bias", this.cell()));
    rows.push(this.plainRow("= result", this.term(this.result, `map ${this.unit}`)));
    const names = ["", this.input.id, "", "kernel", "", "made of it", "here"];
    const heads = names.map((name) => element("th", {}, name));
    const head = element("thead", {}, element("tr", {}, ...heads));
    return element("div", { class: "conv-sum" }, element("table", {}, head, element("tbody", {}, ...rows)));
  }

  /** Return the row of one input map: its kernel, what both make, and the number here. */
  row({ unit: source, kernel }, made) {
    const [height, width] = this.network.size(this.input);
    const label = `map ${source}`;
    const map = { values: this.network.map(this.input, source), height, width, scale: this.scale(this.input, source) };
    const input = markedMap({ ...map, label, padding: this.part.options.padding });
    this.marks.push((row, column) => {
      const { rows, columns } = windowAt(map.values, height, width, this.part.options, row, column);
      input.mark(rows, columns);
    });
    const open = () => this.go({ unit: this.unit, source, place: this.place });
    const opening = { type: "button", class: "conv-open", title: "Each product of its window", onclick: open };
    const button = element("button", opening, label);
    const cells = [input.node, "∗", this.kernelOf(kernel, label), "=", ...this.term(made, `made of ${label}`, open)];
    return element("tr", {}, element("th", { scope: "row" }, button), ...cells.map((cell) => element("td", {}, cell)));
  }

  kernelOf(kernel, label) {
    const [height, width] = this.part.options.kernel;
    const name = `kernel of ${label}`;
    if (kernel.length <= LARGEST_IN_NUMBERS)
      return cellGrid(width, Array.from(kernel, shown), sharesOf(kernel, this.weights), name);
    const picture = Object.assign(heatmap(kernel, height, width, this.weights), { role: "img", ariaLabel: name });
    const see = (row, column) => {
      if (row === null) return;
      this.weight.textContent = `${name}, row ${row}, column ${column}: weight ${shown(kernel[row * width + column])}`;
    };
    pointing(picture, see, see);
    return picture;
  }

  plainRow(name, last) {
    const cells = [last].flat();
    const head = element("th", { scope: "row", colSpan: 7 - cells.length }, name);
    return element("tr", {}, head, ...cells.map((cell) => element("td", {}, cell)));
  }

  /** Return a term's map and the cell of its number here. */
  term(values, label, open = null) {
    const map = markedMap({ values, height: this.height, width: this.width, scale: this.terms, label });
    this.marks.push((row, column) => map.mark([row], [column]));
    map.follow((row, column) => row !== null && this.see(row, column));
    if (open) map.node.addEventListener("click", open);
    return [map.node, this.cell()];
  }

  /** Return a cell that `show` writes a term's number into, in their order. */
  cell() {
    this.cells.push(element("output", {}));
    return this.cells.at(-1);
  }

  /** Move the place by arrow keys, within the map. */
  obey(event) {
    const { key, altKey, ctrlKey, metaKey } = event;
    const next = placeAfter(key, this.place, [this.height, this.width]);
    if (!next || altKey || ctrlKey || metaKey) return;
    this.see(...next);
    event.preventDefault(); // of scrolling
  }

  /** Write all terms of one place. */
  show(row, column) {
    this.place = [row, column];
    const at = row * this.width + column;
    const numbers = this.made.map((values) => values[at]);
    if (this.others) numbers.push(this.others[at]);
    numbers.push(this.bias);
    const sum = numbers.reduce((all, number) => all + number, 0);
    [...numbers, this.result[at]].forEach((number, place) => (this.cells[place].textContent = shown(number)));
    for (const mark of this.marks) mark(row, column);
    const terms = numbers.length > 6 ? `${shown(sum - this.bias)} of ${numbers.length - 1} terms` : "";
    const added = terms ? [terms, shown(this.bias)] : numbers.map(shown);
    const written = added.join(" + ").replaceAll("+ −", "− ");
    const difference = Math.abs(sum - this.result[at]);
    this.total.replaceChildren(
      `Row ${row}, column ${column}: ${written} = ${shown(sum)}; the network has `,
      element("b", {}, shown(this.result[at])),
      difference > 0 ? ` (${shown(difference)} apart: float32)` : "",
    );
  }

  legends() {
    const legends = [legend(this.weights, "weights "), legend(this.terms, "terms and result ")];
    return element("p", { class: "conv-legends" }, ...legends, this.weight);
  }
}
