/**
 * Where one is in the page, as it stands behind `#` in the address, so that every view can be linked to:
 *
 * nothing: the overview · `conv1`: a layer · `conv1/3`: its map 3 · `conv1/3/formula/4,5`: the number in row 4 and
 * column 5 of it, and `conv1/3/formula/4,5/2` for what comes of input map 2 · `playground/…`, `editor`, `selftest`.
 * `?image=1` behind it is the second image.
 */

const PAGES = ["playground", "editor", "selftest"];

/** Return `{page, id, unit, place, source, rest, image}` of an address's hash; what is absent is null. */
export function parseRoute(hash) {
  const [path, query = ""] = decodeURIComponent(hash.replace(/^#/, "")).split("?");
  const [first = "", ...rest] = path.split("/");
  const image = wholeNumber(new URLSearchParams(query).get("image")) ?? 0;
  const empty = { page: "overview", id: null, unit: null, place: null, source: null, rest, image };
  if (PAGES.includes(first)) return { ...empty, page: first };
  if (!first) return empty;
  const place = rest[1] === "formula" ? (rest[2] ?? "0,0").split(",").map(wholeNumber) : null;
  const isPlace = place?.length === 2 && !place.includes(null);
  const [unit, source] = [wholeNumber(rest[0]), wholeNumber(rest[3])];
  return { ...empty, page: "part", id: first, unit, place: isPlace ? place : null, source };
}

/** Return the hash of a route; parts that are left out are none. */
export function formatRoute({ page = "part", id, unit = null, place = null, source = null, rest = [], image = 0 }) {
  let path = page === "overview" ? [] : page === "part" ? [id] : [page, ...rest];
  if (page === "part" && unit !== null) path = [id, unit];
  if (page === "part" && place !== null) path = [id, unit, "formula", place.join(",")];
  if (page === "part" && place !== null && source !== null) path.push(source);
  return `#${path.join("/")}${image ? `?image=${image}` : ""}`;
}

function wholeNumber(text) {
  return /^\d+$/.test(text ?? "") ? Number(text) : null;
}
