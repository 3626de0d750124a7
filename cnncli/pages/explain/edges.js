import { svg } from "./dom.js";
import { boxOf, boxesAround } from "./layout.js";
import { madeOf, sourcesOf } from "./links.js";

const MANY = 1500; // lines between two layers, from which on one sees no single one

/** The ways between the blocks of a layout: lines beneath them, and marks of one unit's sources and users above. */
export class Edges {
  constructor(network, layout) {
    this.network = network;
    this.layout = layout;
    const names = ["buses", "users-lines", "sources-lines", "users", "sources", "own"];
    this.paths = Object.fromEntries(names.map((name) => [name, svg("path", { class: `edge-${name}`, d: "" })]));
    this.ways = svg("g", {}); // a path for each way, so that one more repaints little
    const all = [this.ways, ...Object.values(this.paths)];
    const sides = { width: layout.width, height: layout.height, "aria-hidden": "true" };
    this.beneath = svg("svg", { ...sides, class: "edges" }, all.slice(0, 4));
    this.above = svg("svg", { ...sides, class: "edges edges-above" }, all.slice(4));
    this.paths.buses.setAttribute("d", layout.buses.flatMap((bus) => bus.to.map((to) => busLine(bus, to))).join(""));
  }

  /** Add the lines that lead to a part from the column before. */
  draw(part) {
    const to = this.layout.blocks[part.number];
    for (const input of this.network.inputsOf(part)) {
      const from = this.layout.blocks[input.number];
      if (to.depth > from.depth + 1) continue;
      const isFlattened = to.part.kind === "flatten";
      const pairs = isFlattened ? null : pairsOf(this.network, from, to);
      if (pairs)
        this.add(
          "lines",
          pairs.map(([source, unit]) => curve(boxOf(from, source), boxOf(to, unit))),
        );
      else this.add("fans", isFlattened ? stretches(from, to) : [fan(wholeOf(from), wholeOf(to))]);
    }
  }

  add(kind, shapes) {
    this.ways.append(svg("path", { class: `edge-${kind}`, d: shapes.join("") }));
  }

  /** Mark a unit, what it is made of, and what is made of it; with no part, nothing. */
  mark(part, unit) {
    const own = part && boxOf(this.layout.blocks[part.number], unit);
    this.paths.own.setAttribute("d", own ? outline(own) : "");
    this.markLinks("sources", own ? sourcesOf(this.network, part, unit) : [], (block, box) => {
      return this.wayBetween(block, this.layout.blocks[part.number], box, own);
    });
    this.markLinks("users", own ? madeOf(this.network, part, unit) : [], (block, box) => {
      return this.wayBetween(this.layout.blocks[part.number], block, own, box);
    });
  }

  markLinks(name, links, wayTo) {
    const blocks = links.map(({ part, units }) => [this.layout.blocks[part.number], units]);
    const boxes = blocks.flatMap(([block, units]) => boxesAround(block, units).map((box) => [block, box]));
    this.paths[`${name}-lines`].setAttribute("d", boxes.map(([block, box]) => wayTo(block, box)).join(""));
    this.paths[name].setAttribute("d", boxes.map(([, box]) => outline(box)).join(""));
  }

  wayBetween(from, to, start, end) {
    if (to.depth > from.depth + 1)
      return busLine(
        this.layout.buses.find((bus) => bus.from === from),
        to,
      );
    const isWide = [start, end].some(({ height }, side) => height > [from, to][side].cell[1]);
    return isWide ? fan(start, end) : curve(start, end);
  }
}

/** Return which units of two parts are joined, `[[source, unit]]`, or null where all are, or too many. */
function pairsOf(network, from, to) {
  const pairs = [];
  for (const unit of to.units) {
    const { units } = sourcesOf(network, to.part, unit).find(({ part }) => part === from.part);
    if (units === null || pairs.length > MANY) return null;
    pairs.push(...units.map((source) => [source, unit]));
  }
  return pairs;
}

/** Return the areas from each map to where its values are in the vector that they are laid into. */
function stretches(from, to) {
  const area = from.part.shape.slice(1).reduce((product, side) => product * side, 1);
  return from.units.flatMap((source) => {
    const values = to.units.filter((unit) => Math.floor(unit / area) === source);
    return boxesAround(to, values).map((box) => fan(boxOf(from, source), box));
  });
}

function wholeOf(block) {
  return boxesAround(block, null)[0];
}

/** A line from the right of a box to the left of another. */
function curve(from, to) {
  const [x, y, end, endY] = [from.x + from.width, from.y + from.height / 2, to.x, to.y + to.height / 2];
  const middle = (x + end) / 2;
  return `M${x} ${y}C${middle} ${y} ${middle} ${endY} ${end} ${endY}`;
}

/** The area between the right side of a box and the left side of another. */
function fan(from, to) {
  const [x, middle] = [from.x + from.width, (from.x + from.width + to.x) / 2];
  const [low, endLow] = [from.y + from.height, to.y + to.height];
  return (
    `M${x} ${from.y}C${middle} ${from.y} ${middle} ${to.y} ${to.x} ${to.y}V${endLow}` +
    `C${middle} ${endLow} ${middle} ${low} ${x} ${low}Z`
  );
}

/** A line below all blocks between, with an arrow at its end. */
function busLine({ from, y }, to) {
  const start = from.x + from.width;
  const [out, end] = [from.top + from.height / 2, to.top + to.height / 2 - 6];
  return `M${start} ${out}h10V${y}H${to.x - 14}V${end}h11m-5-4l5 4l-5 4`;
}

function outline({ x, y, width, height }) {
  return `M${x - 1} ${y - 1}h${width + 2}v${height + 2}h${-width - 2}Z`;
}
