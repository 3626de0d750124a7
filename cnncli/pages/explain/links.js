import { channelWindow } from "./arithmetic.js";

// Which units a unit is made of, and which are made of it.

const SOURCES = {
  convolution: (network, part, unit) => part.options.sources[network.placeOf(part, unit)],
  dense: () => null,
  rbf: () => null,
  softmax: () => null,
  other: () => null,
  flatten: (network, part, unit, input) => {
    const area = input.shape.slice(1).reduce((product, side) => product * side, 1);
    return [Math.floor(unit / area)];
  },
  concatenate: (network, part, unit, input) => {
    const before = part.inputs.slice(0, part.inputs.indexOf(input.number));
    const own = unit - before.reduce((sum, number) => sum + network.parts[number].shape[0], 0);
    return own < 0 ? [] : [own];
  },
  lrn: (network, part, unit, input) => {
    const [first, end] = channelWindow(unit, input.shape[0], part.options.size);
    return Array.from({ length: end - first }, (_, step) => first + step);
  },
};

/** Return which of the units shown a unit is made of: `[{part, units}]`, one an input; `units` is null for all. */
export function sourcesOf(network, part, unit) {
  return network.inputsOf(part).map((input) => ({ part: input, units: unitsFrom(network, part, unit, input) }));
}

/** Return which of the units shown are made of a unit: `[{part, units}]`, one a part; `units` is null for all. */
export function madeOf(network, part, unit) {
  return network.usersOf(part).map((user) => {
    const isMade = (other) => unitsFrom(network, user, other, part).includes(unit);
    const all = unitsFrom(network, user, network.unitsOf(user)[0], part) === null;
    return { part: user, units: all ? null : network.unitsOf(user).filter(isMade) };
  });
}

function unitsFrom(network, part, unit, input) {
  const find = SOURCES[part.kind] ?? sameUnit;
  return find(network, part, unit, input)?.filter((source) => network.placeOf(input, source) >= 0) ?? null;
}

function sameUnit(network, part, unit, input) {
  return [input.shape[0] === part.shape[0] ? unit : 0]; // a single one goes with all
}
