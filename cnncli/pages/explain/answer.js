import { numbersOf } from "./archive.js";
import { crossEntropy } from "./arithmetic.js";
import { shown } from "./colours.js";
import { element } from "./dom.js";
import { camOver, pictureOf } from "./picture.js";
import { shownShare } from "./shares.js";

/** Return the picture and the network's answer to it; `showsCam` lays Grad-CAM over the picture, where there is one. */
export function answerOf(network, showsCam) {
  const { manifest, view } = network;
  const [best] = network.ranking();
  const probabilities = network.result(network.probabilities);
  const cam = showsCam && !network.isEdited ? view.cam : null;
  const words = element(
    "div",
    {},
    element(
      "p",
      { class: "answer-best" },
      element("b", {}, network.classes[best]),
      ` ${shownShare(probabilities[best])}`,
    ),
    network.label === null ? null : truthOf(network, best, probabilities),
    element("p", { class: "soft" }, network.isEdited ? "Edited: all numbers are computed anew." : view.name),
    element(
      "p",
      { class: "soft" },
      `${manifest.checkpoint}, ${manifest.num_weights.toLocaleString("en")} parameters, cnncli ${manifest.version}`,
    ),
    cam ? camWords(network.classes[best], cam) : null,
  );
  return element("div", { class: "answer" }, pictureOf(network), cam ? camOver(network, cam) : null, words);
}

function truthOf(network, best, probabilities) {
  const { label } = network;
  const loss = shown(crossEntropy(network.result(network.logits), label));
  return element(
    "p",
    {},
    best === label ? "Right: the true class is " : "Wrong: the true class is ",
    element("b", {}, network.classes[label]),
    `; cross-entropy −log ${shown(probabilities[label])} = ${loss}`,
  );
}

function camWords(name, cam) {
  const comes = numbersOf(cam).some((share) => share > 0)
    ? "comes from, 1 the most"
    : "comes from: no place speaks for it";
  return element(
    "p",
    { class: "answer-cam" },
    element("span", { class: "answer-cam-legend", "aria-hidden": "true" }, "0", element("i"), "1"),
    "Grad-CAM: where the answer ",
    element("b", {}, name),
    ` ${comes}. ${cam.shape.join("×")} numbers of the last maps, bilinear between. `,
    "(Selvaraju et al., ICCV 2017.)",
  );
}
