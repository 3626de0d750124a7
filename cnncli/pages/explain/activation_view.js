import { ACTIVATIONS } from "./arithmetic.js";
import { shown } from "./colours.js";
import { element, svg } from "./dom.js";
import { factorText } from "./formulas.js";
import { fieldOf, formulaLine, placeView, valueAt } from "./place_view.js";

const NUM_STEPS = 120; // of the line that is a curve
const [WIDTH, HEIGHT, MARGIN] = [260, 180, 26]; // of its drawing

/** Show what a function makes of each number: its formula, and its curve with the number on it. */
export function activationView(stage) {
  const { part, unit, network } = stage;
  const { apply, formula } = ACTIVATIONS[part.options.function];
  const source = fieldOf(stage, network.inputsOf(part)[0], unit);
  const reach = Math.max(1, source.scale.end);
  const curve = new Curve((x) => apply(x, part.options), reach);
  return placeView(stage, {
    words: `${part.options.function}(x) = ${formula}${settingsOf(part.options)}`,
    sources: [source],
    numbers: (row, column, result) => {
      const value = valueAt(source, row, column);
      curve.mark(value, result);
      return element("div", {}, formulaLine(filledIn(formula, value, part.options), result), curve.element);
    },
  });
}

function settingsOf({ slope, alpha, approximate }) {
  if (slope !== undefined) return `, slope = ${slope}`;
  if (alpha !== undefined) return `, α = ${alpha}`;
  return approximate === "tanh" ? ", approximated with tanh" : "";
}

/** Write a formula with a number for x; of one with two cases, the one that it falls into. */
function filledIn(formula, value, { slope, alpha }) {
  const [positive, other] = formula.replace(/, with .*/, "").split(" if x > 0, else ");
  return (other === undefined || value > 0 ? positive : other)
    .replace("slope", slope)
    .replace("α", `${alpha} · `)
    .replace(/(, |\()?(\d?)(?<![a-z])x(?![a-z])/g, (_, before, times) => {
      if (before && !times) return before + shown(value); // which cannot be taken for a difference
      return `${before ?? ""}${times ? `${times} · ` : ""}${factorText(value)}`;
    });
}

/** The curve of a function from -reach to reach, and a point on it. */
class Curve {
  constructor(apply, reach) {
    const xs = Array.from({ length: NUM_STEPS + 1 }, (_, step) => ((2 * step) / NUM_STEPS - 1) * reach);
    const ys = xs.map(apply);
    const [low, high] = [Math.min(0, ...ys), Math.max(0, ...ys)];
    this.x = (value) => MARGIN + ((value + reach) / (2 * reach)) * (WIDTH - 2 * MARGIN);
    this.y = (value) => HEIGHT - MARGIN - ((value - low) / (high - low)) * (HEIGHT - 2 * MARGIN);
    const line = xs.map((x, number) => `${number ? "L" : "M"}${this.x(x).toFixed(1)} ${this.y(ys[number]).toFixed(1)}`);
    const axes = `M${MARGIN} ${this.y(0)}H${WIDTH - MARGIN}M${this.x(0)} ${MARGIN}V${HEIGHT - MARGIN}`;
    this.drops = svg("path", { class: "curve-drops" });
    this.point = svg("circle", { class: "curve-point", r: 5 });
    this.element = svg(
      "svg",
      {
        class: "curve",
        viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
        role: "img",
        "aria-label": "The curve, and the number on it",
      },
      svg("path", { class: "curve-axes", d: axes }),
      ...[-reach, reach].map((x) => axisLabel(this.x(x), this.y(0) + 14, shown(x))),
      ...[low, high].filter(Boolean).map((y) => axisLabel(this.x(0), this.y(y) + (y > 0 ? -6 : 14), shown(y))),
      svg("path", { class: "curve-line", d: line.join("") }),
      this.drops,
      this.point,
    );
  }

  mark(value, result) {
    const isOn = Number.isFinite(value) && Number.isFinite(result);
    const [x, y] = isOn ? [this.x(value), this.y(result)] : [-WIDTH, -HEIGHT]; // out of sight
    this.drops.setAttribute("d", `M${x} ${this.y(0)}V${y}H${this.x(0)}`);
    this.point.setAttribute("cx", x);
    this.point.setAttribute("cy", y);
  }
}

function axisLabel(x, y, words) {
  return svg("text", { x, y }, words);
}
