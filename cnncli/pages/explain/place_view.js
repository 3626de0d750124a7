import { scaleOf, shown } from "./colours.js";
import { element } from "./dom.js";
import { madeOf } from "./links.js";
import { formatRoute } from "./routes.js";
import { sliding } from "./sliding.js";
import { unitName } from "./unit_names.js";
import { vectorSize } from "./vector_size.js";

// What all operations share that make each number of a map of a few numbers of other maps.

/**
 * Return what of a part is gone over place by place, as `sliding` takes it: a unit's map, or of a vector all numbers,
 * a few in each row. By default a number is made of the one at its place.
 */
export function fieldOf({ network, scale }, part, unit, windowOf = samePlace) {
  const isVector = part.shape.length === 1;
  const values = isVector ? network.result(part) : network.map(part, unit);
  const [height, width] = isVector ? vectorSize(values.length) : network.size(part);
  const colours = isVector ? scaleOf(values) : scale(part, unit);
  return { part, unit, values, height, width, scale: colours, label: fieldName(part, unit), windowOf };
}

function samePlace(row, column) {
  return { rows: [row], columns: [column] };
}

function fieldName(part, unit) {
  return part.shape.length === 1 ? part.id : `${part.id}, map ${unit}`;
}

/** Return the number of a field at a place; a single row or column goes with each of a larger map. */
export function valueAt({ values, height, width }, row, column) {
  return values[(row % height) * width + (column % width)];
}

/** Return a line that ends in the number which it comes to, and may go on after it. */
export function formulaLine(text, result, rest = "") {
  return element("p", { class: "formula" }, `${text} = `, element("b", {}, shown(result)), rest);
}

/**
 * Show how the unit of a stage is made: `words` say it, `sources` are fields, and `numbers(row, column, result)` is the
 * element that says it of one number. A vector's place is its unit.
 */
export function placeView(stage, { words, sources, numbers }) {
  const { network, part, unit, note } = stage;
  const result = fieldOf(stage, part, unit);
  const isVector = part.shape.length === 1;
  const index = network.placeOf(part, unit);
  const own = isVector ? [Math.floor(index / result.width), index % result.width] : stage.place;
  const unitUnder = (row, column) => network.unitsOf(part)[row * result.width + column];
  const trail = new Trail(network, part, unit, sources);
  const view = sliding({
    sources,
    result,
    numbers: (row, column) => {
      trail.follow(row, column);
      const where = isVector ? unitName(network, part, unitUnder(row, column)) : `Row ${row}, column ${column}`;
      const explained = numbers(row, column, valueAt(result, row, column));
      return element("div", {}, element("div", { class: "soft" }, where), explained);
    },
    place: own ?? (sources.length ? null : [0, 0]),
    note: (place) => note(isVector ? { unit: unitUnder(...place) } : { unit, place }),
  });
  return element("div", { class: "place" }, element("p", {}, words), view, trail.element);
}

/** The links to what a unit is made of, to the place that is looked at, and to what is made of it. */
class Trail {
  constructor(network, part, unit, sources) {
    Object.assign(this, { network, sources });
    this.from = sources.map(({ label }) => element("a", {}, label));
    const on = madeOf(network, part, unit)
      .filter(({ units }) => units === null || units.length)
      .map(({ part: user, units }) => {
        const only = units?.length === 1 && user.shape.length > 1 ? units[0] : null;
        const href = formatRoute({ id: user.id, unit: only, image: network.image });
        return element("a", { href }, only === null ? user.id : fieldName(user, only));
      });
    this.element = element("p", { class: "soft" }, listed("← ", this.from), listed(" → ", on));
  }

  follow(row, column) {
    this.sources.forEach(({ part, unit, height, width, windowOf }, number) => {
      const { rows, columns } = windowOf(row, column);
      const [y, x] = [
        rows.find((cell) => cell >= 0 && cell < height),
        columns.find((cell) => cell >= 0 && cell < width),
      ];
      const isVector = part.shape.length === 1;
      const place = isVector || y === undefined || x === undefined ? null : [y, x];
      const to = isVector ? this.network.unitsOf(part)[y * width + x] : unit;
      this.from[number].href = formatRoute({ id: part.id, unit: to, place, image: this.network.image });
    });
  }
}

function listed(words, links) {
  return links.flatMap((link, number) => [number ? " and " : words, link]);
}
