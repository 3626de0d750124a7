import { numbersOf, unpack } from "./archive.js";
import { correlate, softmax } from "./arithmetic.js";
import { compute } from "./compute.js";

/**
 * The network of the page, and the image on its way through it.
 *
 * A part is an operation: `{number, id, name, layer, kind, options, inputs, shape, units, formula}`; `inputs` are numbers
 * of parts. A unit is a map or a neuron by its number in the network, `place` its position among those shown.
 */
export class Network {
  constructor(manifest) {
    this.manifest = manifest;
    this.classes = manifest.classes;
    this.parts = manifest.parts.map(({ operation, ...part }, number) => ({
      ...part,
      number,
      kind: operation.kind,
      options: operation.options,
      references: operation.tensors,
    }));
    this.byId = new Map(this.parts.map((part) => [part.id, part]));
    this.weights = new Map(); // by part and name, as edited
    this.results = new Map();
    this.isEdited = false;
    this.view = null;
  }

  /** Load the image of this number, and forget edits of another. */
  async open(image) {
    const isFirst = this.view === null;
    this.view = this.manifest.views[image];
    this.image = image;
    await Promise.all([isFirst ? unpack("weights") : null, unpack(`image-${image}`)]);
    this.reset();
  }

  /** Take back all edits. */
  reset() {
    this.weights.clear();
    this.results.clear();
    this.input = null;
    this.before = null;
    this.label = this.view.label; // the true class, or null
    this.isEdited = false;
  }

  /** Put another image [C, H, W], as the network sees it, in place of the page's; all is computed anew. */
  setInput(values) {
    this.forget();
    this.input = values;
  }

  /** Put other numbers in place of a part's tensor; all is computed anew. */
  setTensor(part, name, values) {
    this.forget();
    this.weights.set(`${part.id}/${name}`, values);
  }

  /** Have all computed anew; `before` are the probabilities before all edits. */
  forget() {
    this.before ??= this.result(this.probabilities);
    this.isEdited = true;
    this.results.clear();
  }

  /** Return a part's tensor, such as weight or bias, of the units shown. */
  tensor(part, name) {
    const key = `${part.id}/${name}`;
    if (!this.weights.has(key)) this.weights.set(key, numbersOf(part.references[name]));
    return this.weights.get(key);
  }

  /** Return what a part made, [units shown, H, W] or [units shown]. */
  result(part) {
    if (!this.results.has(part.number)) this.results.set(part.number, this.made(part));
    return this.results.get(part.number);
  }

  made(part) {
    if (part.kind === "input" && this.input) return this.input;
    const kept = this.view.outputs[part.number];
    if (kept && !(this.isEdited && part.kind !== "input")) return numbersOf(kept);
    return compute(this, part);
  }

  /** Return what units that are not shown add to each result of a part, or null. */
  others(part) {
    const reference = this.view.others[part.number];
    return reference ? numbersOf(reference) : null;
  }

  /** Return the parts that a part was given. */
  inputsOf(part) {
    return part.inputs.map((number) => this.parts[number]);
  }

  /** Return the parts that were given a part's result. */
  usersOf(part) {
    return this.parts.filter((other) => other.inputs.includes(part.number));
  }

  /** Return height and width of a part's maps; of a vector 1 and 1, and of any other shape all in one row. */
  size(part) {
    const sides = part.shape.slice(1);
    return sides.length === 2 ? sides : [1, sides.reduce((product, side) => product * side, 1)];
  }

  /** Return the units shown, ascending. */
  unitsOf(part) {
    return part.units ?? Array.from({ length: part.shape[0] }, (_, unit) => unit);
  }

  /** Return where a unit is among those shown, or -1. */
  placeOf(part, unit) {
    return part.units ? part.units.indexOf(unit) : unit < part.shape[0] ? unit : -1;
  }

  /** Return the map of a shown unit, or its one number, as Float32Array. */
  map(part, unit) {
    const [height, width] = this.size(part);
    const start = this.placeOf(part, unit) * height * width;
    return this.result(part).subarray(start, start + height * width);
  }

  /**
   * Return what a convolution's unit is the sum of: `[{unit, kernel}]`, the units shown of its input, each with its
   * kernel [kh, kw] as a part of the weights, so that writing into it edits them.
   */
  kernels(part, unit) {
    const { sources, kernel } = part.options;
    const place = this.placeOf(part, unit);
    const size = kernel[0] * kernel[1];
    const before = sources.slice(0, place).reduce((sum, list) => sum + list.length, 0);
    const weight = this.tensor(part, "weight");
    return sources[place].map((source, number) => {
      const start = (before + number) * size;
      return { unit: source, kernel: weight.subarray(start, start + size) };
    });
  }

  /** Return the map that one kernel makes of one input map, before all are added up. */
  intermediate(part, { unit, kernel }) {
    const [input] = this.inputsOf(part);
    return correlate(this.map(input, unit), ...this.size(input), kernel, part.options);
  }

  /** Return the part whose result the logits are, and the one of the probabilities. */
  get logits() {
    return this.parts[this.parts.length - 2];
  }

  get probabilities() {
    return this.parts[this.parts.length - 1];
  }

  /** Return the class numbers from the likeliest on. */
  ranking() {
    const shares = softmax(this.result(this.logits));
    return Array.from(shares.keys()).sort((first, second) => shares[second] - shares[first]);
  }
}
