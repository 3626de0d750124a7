// Where everything is in the overview, in pixels: a column for each depth of the network, and in it a block for each
// part, a grid of its units that is filled column by column. Nothing is measured, so nothing has to be drawn first.

const COLUMN_GAP = 72;
const BLOCK_GAP = 20;
const MOST_HEIGHT = 624; // of a column's units
const BUS_GAP = 7;
const NUM_CLASSES = 10; // shown of more

/**
 * Return `{width, height, blocks, buses}`: of each part, by number, the block `{part, units, x, y, top, width, height,
 * rows, columns, cell, gap, depth, kind}`, and of each part that leads beyond the next column the bus `{from, to, y}`,
 * a way below the blocks between. `head` and `foot` are the heights of what stands above and below a block's units.
 */
export function layoutOf(network, head, foot) {
  const blocks = [];
  const bottoms = []; // of the columns
  let x = 0;
  for (const column of columnsOf(network.parts)) {
    const most = MOST_HEIGHT / column.parts.length;
    const placed = column.parts.map((part) => ({ part, depth: column.depth, ...gridOf(network, part, most) }));
    const height = (block) => head + block.height + foot + BLOCK_GAP;
    let y = 0;
    for (const block of inOrder(placed, blocks)) {
      blocks[block.part.number] = { ...block, x, y, top: y + head };
      y += height(block);
    }
    x += Math.max(...placed.map(({ width }) => width)) + COLUMN_GAP;
    bottoms.push(y);
  }
  const buses = busesOf(network, blocks, bottoms);
  const lowest = Math.max(...bottoms, ...buses.map((bus) => bus.y + BUS_GAP));
  return { width: x, height: lowest, blocks, buses };
}

/** Return the box of a unit in its block, `{x, y, width, height}`, or null where it is not shown. */
export function boxOf(block, unit) {
  const place = block.units.indexOf(unit);
  return place < 0 ? null : boxAt(block, place, 1);
}

/** Return boxes around units, as few as there can be; `units` null for all. */
export function boxesAround(block, units) {
  if (units === null) return [{ x: block.x, y: block.top, width: block.width, height: block.height }];
  const places = units.map((unit) => block.units.indexOf(unit)).filter((place) => place >= 0);
  const runs = [];
  for (const place of places) {
    const last = runs[runs.length - 1];
    if (block.gap === 0 && last && place === last.place + last.length && place % block.rows) last.length += 1;
    else runs.push({ place, length: 1 });
  }
  return runs.map(({ place, length }) => boxAt(block, place, length));
}

/** Return the unit at a point of a block's grid, the nearest one. */
export function unitAt(block, x, y) {
  const within = (position, size, count) => Math.max(0, Math.min(count - 1, Math.floor(position / size)));
  const column = within(x, block.cell[0] + block.gap, block.columns);
  const row = within(y, block.cell[1] + block.gap, block.rows);
  return block.units[Math.min(column * block.rows + row, block.units.length - 1)];
}

function boxAt({ x, top, rows, cell: [width, height], gap }, place, length) {
  const [column, row] = [Math.floor(place / rows), place % rows];
  return { x: x + column * (width + gap), y: top + row * (height + gap), width, height: length * height };
}

/** Return the parts by how many lie before them on the longest way. */
function columnsOf(parts) {
  const depths = [];
  const columns = [];
  for (const part of parts) {
    const depth = Math.max(-1, ...part.inputs.map((input) => depths[input])) + 1;
    depths.push(depth);
    columns[depth] ??= { depth, parts: [] };
    columns[depth].parts.push(part);
  }
  return columns;
}

/** Return blocks of a column so that ways cross little: each about as far down as those that lead to it. */
function inOrder(column, blocks) {
  const heights = new Map(
    column.map(({ part }) => [part, part.inputs.reduce((sum, input) => sum + blocks[input].y, 0) / part.inputs.length]),
  );
  return column.length === 1 ? column : column.sort((one, other) => heights.get(one.part) - heights.get(other.part));
}

function gridOf(network, part, most) {
  const units = network.unitsOf(part);
  if (part === network.probabilities) return grid("bars", classesShown(network), [208, 22], 0, Infinity);
  if (part.shape.length > 1) {
    const [height, width] = network.size(part);
    const side = units.length <= 24 ? 48 : units.length <= 96 ? 32 : 20;
    const flat = Math.max(6, Math.min(side, Math.round((side * height) / width)));
    return grid("maps", units, [side, flat], 4, most);
  }
  const side = units.length <= 28 ? 22 : units.length <= 64 ? 8 : 4;
  return grid("cells", units, [units.length * side > most ? side : 22, side], 0, most);
}

function grid(kind, units, cell, gap, most) {
  const columns = Math.max(1, Math.ceil(units.length / Math.max(1, Math.floor(most / (cell[1] + gap)))));
  const rows = Math.ceil(units.length / columns);
  const [width, height] = [columns * (cell[0] + gap) - gap, rows * (cell[1] + gap) - gap];
  return { kind, units, cell, gap, rows, columns, width, height };
}

/** Return the classes whose probabilities are shown: all of a few, else the likeliest and the true one. */
function classesShown(network) {
  if (network.classes.length <= NUM_CLASSES) return Array.from(network.classes.keys());
  const best = network.ranking().slice(0, NUM_CLASSES);
  const { label } = network.view;
  return label === null || best.includes(label) ? best : [...best, label];
}

/** Return the ways to columns beyond the next, one a part, so that no two that overlap are at the same height. */
function busesOf(network, blocks, bottoms) {
  const ends = []; // by lane, how far the last one goes
  const buses = [];
  for (const from of blocks) {
    const to = network
      .usersOf(from.part)
      .map(({ number }) => blocks[number])
      .filter(({ depth }) => depth > from.depth + 1);
    if (!to.length) continue;
    const free = ends.findIndex((end) => end <= from.depth);
    const lane = free < 0 ? ends.length : free;
    ends[lane] = Math.max(...to.map(({ depth }) => depth));
    const bottom = Math.max(...bottoms.slice(from.depth, ends[lane]));
    buses.push({ from, to, y: bottom + lane * BUS_GAP });
  }
  return buses;
}
