import { ACTIVATIONS } from "./arithmetic.js";
import { scaleOf, shown } from "./colours.js";
import { element, svg } from "./dom.js";
import { elementwise } from "./elementwise.js";
import { unitName } from "./unit_names.js";

const [CURVE_WIDTH, CURVE_HEIGHT] = [240, 140]; // of the curve, in its own units
const CURVE_STEPS = 120; // points of the curve

/** Show what an activation makes of each number, and where that is on its curve. */
export function activationView(stage) {
  const { network, part } = stage;
  const [input] = network.inputsOf(part);
  const { formula } = ACTIVATIONS[part.options.function];
  const curve = curveOf(part, network.result(input));
  const numbers = (unit, index) => {
    const [x, y] = [input, part].map((of) => network.map(of, unit)[index]);
    curve.mark(x, y);
    const where = part.shape.length === 1 ? `${unitName(network, part, unit)}: ` : "";
    return element("p", { class: "formula" }, `${where}${withNumber(formula, x)} = `, element("b", {}, shown(y)));
  };
  const options = ["slope", "alpha"].filter((name) => part.options[name] !== undefined);
  const settings = options.map((name) => `, ${name} = ${shown(part.options[name])}`);
  const title = `${part.options.function}(x) = ${formula}${settings.join("")}`;
  return element("div", { class: "activation" }, element("p", {}, title), curve.node, elementwise(stage, numbers));
}

/** Return a formula with a number in place of x. */
function withNumber(formula, x) {
  return formula.replace(/(\d?)(?<![a-z])x(?![a-z])/g, (_, factor) => `${factor}${factor ? " · " : ""}${shown(x)}`);
}

/** Return the curve of an activation over the range of values, with a point that `mark(x, y)` moves. */
function curveOf(part, values) {
  const { apply } = ACTIVATIONS[part.options.function];
  const { low, high } = scaleOf(values);
  const [left, right] = [Math.min(low, -1), Math.max(high, 1)];
  const xs = Array.from({ length: CURVE_STEPS + 1 }, (_, step) => left + ((right - left) * step) / CURVE_STEPS);
  const ys = xs.map((x) => apply(x, part.options));
  const [bottom, top] = [Math.min(0, ...ys), Math.max(0, ...ys)];
  const place = (x, y) => [
    ((x - left) / (right - left)) * CURVE_WIDTH,
    CURVE_HEIGHT - ((y - bottom) / (top - bottom || 1)) * CURVE_HEIGHT,
  ];
  const [zeroX, zeroY] = place(0, 0);
  const point = svg("circle", { r: 5, class: "curve-point" });
  const line = xs.map((x, step) => place(x, ys[step]).join(" ")).join("L");
  const node = svg(
    "svg",
    { viewBox: `-8 -8 ${CURVE_WIDTH + 16} ${CURVE_HEIGHT + 16}`, class: "curve", role: "img", "aria-label": "the curve" },
    svg("path", { d: `M0 ${zeroY}H${CURVE_WIDTH}M${zeroX} 0V${CURVE_HEIGHT}`, class: "curve-axes" }),
    svg("path", { d: `M${line}`, class: "curve-line" }),
    point,
  );
  const mark = (x, y) => {
    const [cx, cy] = place(x, y);
    point.setAttribute("cx", cx);
    point.setAttribute("cy", cy);
  };
  return { node, mark };
}
