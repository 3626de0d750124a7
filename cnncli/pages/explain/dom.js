// Building elements. Strings become text nodes, never markup, so that a stranger's class name can do nothing.

const SVG_NAMESPACE = "http://www.w3.org/2000/svg";

/**
 * Return a new HTML element with its attributes and children, e.g. `element("p", { class: "soft" }, "Hello ", name)`.
 *
 * An attribute is a property of the element (`value`, `disabled`, `htmlFor`) or, where there is none of that name, an
 * attribute of HTML (`class`, `for`, `aria-label`); they are set in the order given. Functions listen (`onclick`),
 * `style` and `dataset` may be objects (`{ "--row": 2 }`); null and undefined are left out, and so are children that
 * are null, undefined or false. Children may be nodes, strings, numbers, and arrays of these.
 */
export function element(tag, attributes, ...children) {
  return completed(document.createElement(tag), attributes, children);
}

/** Return a new SVG element as `element` does; what is neither a function nor an object is an attribute of SVG. */
export function svg(tag, attributes, ...children) {
  return completed(document.createElementNS(SVG_NAMESPACE, tag), attributes, children);
}

function completed(node, attributes, children) {
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value !== null && value !== undefined) setOn(node, name, value);
  }
  return node; // with the children first, so that the value of a <select> finds its option
}

function setOn(node, name, value) {
  if (typeof value === "function") node.addEventListener(name.slice("on".length).toLowerCase(), value);
  else if (name === "dataset") Object.assign(node.dataset, value);
  else if (name === "style" && typeof value === "object") setStyle(node.style, value);
  else if (node instanceof HTMLElement && name in node) node[name] = value;
  else node.setAttribute(name, value);
}

function setStyle(style, values) {
  for (const [name, value] of Object.entries(values)) {
    if (name.startsWith("--")) style.setProperty(name, value);
    else style[name] = value;
  }
}
