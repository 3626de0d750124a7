import { scaleOf, shown } from "./colours.js";
import { element } from "./dom.js";
import { Edges } from "./edges.js";
import { heatmap, legend } from "./heatmap.js";
import { boxOf, layoutOf, unitAt } from "./layout.js";
import { sourcesOf } from "./links.js";
import { shownShare } from "./shares.js";
import { unitName } from "./unit_names.js";

const HEADS = { plain: 54, detailed: 138 }; // pixels above a block's units
const FOOT = 34; // and below

/** All layers side by side, a block each, and how they hang together. What is out of sight is not drawn. */
export class Overview {
  /** `page` is `{network, scale(part, unit), hashOf(changes)}`; `isDetailed` tells the layers' names and sizes, too. */
  constructor(page, isDetailed) {
    this.page = page;
    this.network = page.network;
    this.layout = layoutOf(this.network, isDetailed ? HEADS.detailed : HEADS.plain, FOOT);
    this.edges = new Edges(this.network, this.layout);
    this.drawn = new Set();
    this.inSight = new Set();
    this.bodies = this.layout.blocks.map(() => element("div", { class: "block-units" }));
    const blocks = this.layout.blocks.map((block, number) => blockElement(block, this.bodies[number], isDetailed));
    const { width, height } = this.layout;
    const strip = element(
      "div",
      { class: "strip", style: { width: `${width}px`, height: `${height}px` } },
      this.edges.beneath,
      ...blocks,
      this.edges.above,
    );
    this.scroller = element("div", { class: "scroller", role: "group", "aria-label": "Layers" }, strip);
    this.status = element("p", { class: "status", "aria-live": "polite" });
    this.element = element("section", { class: "overview", "aria-label": "Overview" }, this.scroller, this.status);
    this.listen();
    this.select(null);
    this.whenDrawn = new Promise((done) => this.watch(blocks, done));
  }

  /** Draw blocks as they come into sight; `done` is called when the first are. */
  watch(blocks, done) {
    const options = { root: this.scroller, rootMargin: "0px 400px" };
    const observer = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        const { part } = this.layout.blocks[blocks.indexOf(target)];
        if (isIntersecting) this.inSight.add(part);
        else this.inSight.delete(part);
        if (isIntersecting) this.draw(part);
      }
      done();
    }, options);
    blocks.forEach((block) => observer.observe(block));
  }

  /** Draw a part's units, where it is not done. */
  draw(part) {
    if (this.drawn.has(part)) return;
    if (!this.bodies[part.number].firstChild) this.edges.draw(part);
    this.drawn.add(part);
    this.bodies[part.number].replaceChildren(...this.unitsOf(this.layout.blocks[part.number]));
    this.tabTo(this.cursor ?? { part: this.network.parts[0], unit: 0 });
  }

  /** Draw anew what is in sight, and the rest when it comes there: the numbers, or their colours, are others. */
  repaint() {
    this.drawn.clear();
    for (const part of this.inSight) this.draw(part);
  }

  unitsOf(block) {
    const make = { maps: mapLinks, cells: cellsLink, bars: barLinks }[block.kind];
    return [...make(this.page, block), ...legendOf(this.page, block)];
  }

  listen() {
    this.scroller.addEventListener("pointerover", (event) => this.point(event));
    this.scroller.addEventListener("pointermove", (event) => this.point(event));
    this.scroller.addEventListener("pointerdown", (event) => this.point(event));
    this.scroller.addEventListener("pointerleave", () => this.select(this.opened));
    this.scroller.addEventListener("focusin", ({ target }) => {
      if (target.dataset.unit) this.select(this.unitOf(target));
    });
    this.scroller.addEventListener("keydown", (event) => this.obey(event));
  }

  point(event) {
    const link = event.target.closest("[data-unit]");
    if (!link) return;
    const { part } = this.unitOf(link);
    const block = this.layout.blocks[part.number];
    if (block.kind !== "cells") return this.select(this.unitOf(link));
    const box = link.getBoundingClientRect();
    this.lead(link, part, unitAt(block, event.clientX - box.left, event.clientY - box.top));
    return this.select(this.unitOf(link));
  }

  /** Have the one link of a part's cells lead to another of them. */
  lead(link, part, unit) {
    link.dataset.unit = unit;
    link.href = this.page.hashOf({ id: part.id, unit });
    link.ariaLabel = `${part.id}, ${unitName(this.network, part, unit)}`;
  }

  unitOf(link) {
    const { part } = this.layout.blocks[link.closest(".block").dataset.part];
    return { part, unit: Number(link.dataset.unit) };
  }

  /** Mark a unit `{part, unit}` and say what it is; null marks none. */
  select(chosen) {
    if (chosen && chosen.part === this.chosen?.part && chosen.unit === this.chosen.unit) return;
    this.chosen = chosen;
    this.edges.mark(chosen?.part, chosen?.unit);
    this.status.textContent = chosen
      ? wordsOf(this.page, chosen)
      : "Point at a map, or tap it, to see what it is made of.";
  }

  /** Mark what is opened below, `{part, unit}` or null, for when nothing is pointed at. */
  open(opened) {
    this.opened = opened;
    this.select(opened);
    if (!opened) return;
    this.cursor = opened;
    this.tabTo(opened);
    this.scrollTo(this.layout.blocks[opened.part.number]);
  }

  /** Scroll a block into sight, where it is not. */
  scrollTo({ x, width }) {
    const { scrollLeft, clientWidth } = this.scroller;
    if (x < scrollLeft || x + width > scrollLeft + clientWidth)
      this.scroller.scrollLeft = x + width / 2 - clientWidth / 2;
  }

  /** Go by arrows: up and down among the units of a column, left and right among the layers. */
  obey(event) {
    if (!event.target.dataset.unit || event.altKey || event.ctrlKey || event.metaKey) return;
    const from = this.unitOf(event.target);
    const to = this.beside(from, event.key);
    if (!to) return;
    event.preventDefault();
    this.focus(to);
  }

  beside({ part, unit }, key) {
    const { blocks } = this.layout;
    const block = blocks[part.number];
    const rows = { ArrowUp: -1, ArrowDown: 1 };
    if (key in rows) {
      const next = block.units[block.units.indexOf(unit) + rows[key]];
      if (next !== undefined) return { part, unit: next };
      const others = blocks.filter(
        (other) => other.depth === block.depth && Math.sign(other.y - block.y) === rows[key],
      );
      const other = others.sort((one, two) => Math.abs(one.y - block.y) - Math.abs(two.y - block.y))[0];
      return other ? { part: other.part, unit: rows[key] > 0 ? other.units[0] : other.units.at(-1) } : null;
    }
    const depths = { ArrowLeft: block.depth - 1, ArrowRight: block.depth + 1, Home: 0, End: blocks.at(-1).depth };
    const column = blocks.filter(({ depth }) => depth === depths[key]);
    return column.length ? nearest(column, boxOf(block, unit)) : null;
  }

  /** Give a unit the focus, which scrolls there. */
  focus({ part, unit }) {
    this.cursor = { part, unit };
    this.draw(part);
    this.tabTo(this.cursor)?.focus();
  }

  /** Have the tab key lead to this unit, of all. */
  tabTo({ part, unit }) {
    const body = this.bodies[part.number];
    const isCells = this.layout.blocks[part.number].kind === "cells";
    const link = body.querySelector(isCells ? "[data-unit]" : `[data-unit="${unit}"]`);
    if (!link) return null;
    if (isCells) this.lead(link, part, unit);
    if (this.tabbed) this.tabbed.tabIndex = -1;
    this.tabbed = link;
    link.tabIndex = 0;
    return link;
  }
}

function nearest(column, { y, height }) {
  const units = column.flatMap((block) =>
    block.units.map((unit) => ({ part: block.part, unit, box: boxOf(block, unit) })),
  );
  const distance = ({ box }) => Math.abs(box.y + box.height / 2 - y - height / 2) + box.x / 1e6; // the left of two as near
  return units.reduce((best, other) => (distance(other) < distance(best) ? other : best));
}

function blockElement({ part, x, y, top, width, units }, body, isDetailed) {
  const few = units.length < part.shape[0];
  const share = few ? element("small", {}, `${units.length} of ${part.shape[0]}`) : null;
  const lines = [part.name, part.layer].map((line) => element("small", { title: line }, line));
  lines.push(element("small", { class: "block-formula" }, part.formula));
  const title = element("h3", {}, part.id);
  const head = element(
    "header",
    {},
    title,
    element("small", {}, part.shape.join("×")),
    isDetailed ? lines : null,
    share,
  );
  const style = { left: `${x}px`, top: `${y}px`, "--top": `${top - y}px`, "--width": `${width}px` };
  return element(
    "section",
    { class: "block", style, dataset: { part: part.number }, "aria-label": part.id },
    head,
    body,
  );
}

function linkTo(page, part, unit, attributes, ...children) {
  const href = page.hashOf({ id: part.id, unit });
  return element("a", { href, tabIndex: -1, dataset: { unit }, draggable: false, ...attributes }, ...children);
}

function mapLinks(page, { part, units, rows, cell: [width, height] }) {
  const [mapHeight, mapWidth] = page.network.size(part);
  const links = units.map((unit) => {
    const map = heatmap(page.network.map(part, unit), mapHeight, mapWidth, page.scale(part, unit));
    return linkTo(page, part, unit, { "aria-label": `${part.id}, ${unitName(page.network, part, unit)}` }, map);
  });
  const style = { "--rows": rows, "--cell": `${width}px`, "--cell-height": `${height}px` };
  return [element("div", { class: "block-maps", style }, ...links)];
}

/** The numbers of a vector, one canvas for all: column by column, as its grid is. */
function cellsLink(page, { part, units, rows, columns, width, height }) {
  const numbers = page.network.result(part);
  const cells = new Float32Array(rows * columns);
  numbers.forEach((value, place) => (cells[(place % rows) * columns + Math.floor(place / rows)] = value));
  const strip = heatmap(cells, rows, columns, page.scale(part, units[0]));
  const style = { width: `${width}px`, height: `${height}px` };
  const label = `${part.id}, ${unitName(page.network, part, units[0])}`;
  return [linkTo(page, part, units[0], { class: "block-cells", style, "aria-label": label }, strip)];
}

function barLinks({ network, ...page }, { part, units }) {
  const shares = network.result(part);
  return units.map((unit) => {
    const [name, share] = [network.classes[unit], shares[network.placeOf(part, unit)]];
    const isTrue = unit === network.label;
    const attributes = { class: "block-bar", style: { "--share": share }, title: name };
    const mark = isTrue ? element("b", { title: "the true class" }, " ✓") : null;
    return linkTo(
      page,
      part,
      unit,
      attributes,
      element("span", {}, name),
      mark,
      element("span", {}, shownShare(share)),
    );
  });
}

function legendOf(page, { part, kind, units }) {
  if (kind === "bars") return [];
  if (page.mode === "unit" && kind === "maps" && part.kind !== "input") {
    return [element("small", { class: "block-legend" }, "each its own")];
  }
  return [element("div", { class: "block-legend" }, legend(page.scale(part, units[0])))];
}

function wordsOf({ network }, { part, unit }) {
  const map = network.map(part, unit);
  const { low, high } = scaleOf(map);
  const [height, width] = network.size(part);
  const numbers = map.length === 1 ? shown(map[0]) : `${height}×${width} numbers from ${shown(low)} to ${shown(high)}`;
  const sources = sourcesOf(network, part, unit).map((link) => `${link.part.id}: ${countOf(network, link)}`);
  const made = sources.length ? `; made of ${sources.join(", ")}` : "";
  return `${part.id}, ${unitName(network, part, unit)}: ${numbers}${made}`;
}

function countOf(network, { part, units }) {
  const count = (units ?? network.unitsOf(part)).length;
  if (count === 1) return unitName(network, part, (units ?? network.unitsOf(part))[0]);
  const all = part.shape[0];
  const noun = part.shape.length === 1 ? "neurons" : "maps";
  return count === all ? `all ${count} ${noun}` : `${count} of ${all} ${noun}`;
}
