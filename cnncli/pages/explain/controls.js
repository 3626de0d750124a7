import { element } from "./dom.js";
import { drawThumbnail } from "./picture.js";
import { formatRoute } from "./routes.js";
import { SCALES } from "./scales.js";

const SCALE_NAMES = { unit: "each map", layer: "each layer", global: "all maps" };

/** Return what one sets of the page, above the overview; `page` is that of `main.js`. */
export function controlsOf(page) {
  const { manifest } = page.network;
  const radios = SCALES.map((mode) => {
    const checked = mode === page.mode;
    const radio = element("input", {
      type: "radio",
      name: "scale",
      value: mode,
      checked,
      onchange: () => page.set({ mode }),
    });
    return element("label", {}, radio, ` ${SCALE_NAMES[mode]}`);
  });
  const hasCam = manifest.views.some(({ cam }) => cam !== null);
  return element(
    "div",
    { class: "controls" },
    element("fieldset", {}, element("legend", {}, "Colours reach to the largest number of"), ...radios),
    checkbox("Names and sizes", page.isDetailed, (isDetailed) => page.set({ isDetailed })),
    hasCam ? checkbox("Grad-CAM", page.showsCam, (showsCam) => page.set({ showsCam })) : null,
  );
}

function checkbox(name, checked, change) {
  const box = element("input", { type: "checkbox", checked, onchange: ({ target }) => change(target.checked) });
  return element("label", {}, box, ` ${name}`);
}

/** Return links to the images of the page, with thumbnails, or null where there is one image alone. */
export function chooserOf(page) {
  const { views } = page.network.manifest;
  if (views.length === 1) return null;
  const links = views.map(({ name }, image) => {
    const canvas = element("canvas", { "aria-hidden": "true", width: 1, height: 1 });
    const onclick = (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return; // which open it elsewhere
      event.preventDefault(); // for the view that one is in, of the other image
      location.hash = formatRoute({ ...page.route, image });
    };
    const link = { href: page.hashOf({ page: "overview", image }), title: name, onclick };
    return element("a", link, canvas, element("span", {}, name));
  });
  return element("nav", { class: "chooser", "aria-label": "Images" }, ...links);
}

/** Draw the thumbnails of a chooser, which takes unpacking every image. */
export async function fillChooser(chooser, network) {
  for (const [image, canvas] of Array.from(chooser.querySelectorAll("canvas")).entries()) {
    await drawThumbnail(canvas, network, image);
  }
}

/** Return what the page leaves out of a large network, in words, or null. */
export function leftOutOf(network) {
  const parts = network.parts.filter(({ units }) => units !== null);
  if (!parts.length) return null;
  const countOf = ({ units, shape }) => `${units.length} of ${shape[0]}`;
  const most = parts.reduce((best, part) => (part.shape.length > 1 && part.shape[0] > best.shape[0] ? part : best));
  const items = parts.map((part) => element("li", {}, `${part.id}: ${countOf(part)}`));
  return element(
    "details",
    { class: "left-out" },
    element(
      "summary",
      {},
      `Of large layers those units are shown that matter most for the answer, such as ${countOf(most)} ${most.shape.length > 1 ? "maps" : "neurons"} of ${most.id}; `,
      element("code", {}, "cnn explain --units"),
      " changes it.",
    ),
    element(
      "p",
      {},
      "What the others add to a sum is in it as “other channels”. Each layer has all its units as thumbnails. Shown are:",
    ),
    element("ul", {}, ...items),
  );
}
