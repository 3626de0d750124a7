/**
 * Where one is in the page, as it stands behind `#` in the address, so that every view can be linked to:
 *
 * nothing: the overview · `conv1`: a layer · `conv1/3`: its map 3 · `conv1/3/formula/4,5`: the number in row 4 and
 * column 5 of it, and `conv1/3/formula/4,5/2` for what comes of input map 2 · `playground/…`, `editor`, `selftest`.
 * `?image=1` behind it is the second image.
 */

const PAGES = ["playground", "editor", "selftest"];
const PART_PATH = /^([a-z_]+\d*)(?:\/(\d+)(?:\/formula\/(\d+),(\d+)(?:\/(\d+))?)?)?$/;

/** Return `{page, path, id, unit, place, source, rest, image}` of an address's hash; what is absent is null. */
export function parseRoute(hash) {
  const [path, query = ""] = decoded(hash.replace(/^#/, "")).split("?");
  const image = wholeNumber(new URLSearchParams(query).get("image")) ?? 0;
  const route = { page: "unknown", path, id: null, unit: null, place: null, source: null, rest: [], image };
  const [first, ...rest] = path.split("/");
  if (!path) return { ...route, page: "overview" };
  if (PAGES.includes(first)) return { ...route, page: first, rest };
  const [, id, unit, row, column, source] = PART_PATH.exec(path) ?? [];
  if (!id) return route;
  const place = row === undefined ? null : [Number(row), Number(column)];
  return { ...route, page: "part", id, unit: wholeNumber(unit), place, source: wholeNumber(source) };
}

/** Return the hash of a route; parts that are left out are none. */
export function formatRoute({
  page = "part",
  path,
  id,
  unit = null,
  place = null,
  source = null,
  rest = [],
  image = 0,
}) {
  const ways = { overview: [], unknown: [path], part: [id] };
  const way = ways[page] ?? [page, ...rest];
  if (page === "part" && unit !== null) {
    way.push(unit);
    if (place !== null) way.push("formula", place.join(","));
    if (place !== null && source !== null) way.push(source);
  }
  return `#${way.join("/")}${image ? `?image=${image}` : ""}`;
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a lone %
  }
}

function wholeNumber(text) {
  return /^\d+$/.test(text ?? "") ? Number(text) : null;
}
