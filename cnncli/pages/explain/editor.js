import { element } from "./dom.js";
import { drawing } from "./drawing.js";
import { kernelEditor } from "./kernel_editor.js";
import { readPicture } from "./picture_file.js";
import { levelsOf, shifted, valuesOf } from "./pixels.js";
import { shownShare } from "./shares.js";

const NUM_LISTED = 10; // classes
const ARROWS = { "←": [0, -1], "↑": [-1, 0], "↓": [1, 0], "→": [0, 1] };

/**
 * Return the page `#editor`: draw on the picture, shift it, put in another, change kernels, and see all follow.
 *
 * `stage.redraw()` is called after edits, at most once a frame, to show the network's results anew.
 */
export function editorView({ network, redraw }) {
  const answers = element("div", { class: "editor-answers" });
  let isWaiting = false;
  const refresh = () => {
    if (isWaiting) return;
    isWaiting = true;
    requestAnimationFrame(() => {
      isWaiting = false;
      const start = performance.now();
      redraw();
      const took = Math.round(performance.now() - start);
      answers.replaceChildren(answersOf(network), element("p", { class: "soft" }, `Computed and drawn in ${took} ms.`));
    });
  };
  const reset = () => {
    network.reset();
    page.replaceChildren(...contents().filter(Boolean));
    page.querySelector(".editor-reset").focus();
    refresh();
  };
  const contents = () => [
    element("h2", {}, "Editor"),
    pictureEditor(network, refresh),
    network.parts.some(({ kind }) => kind === "convolution")
      ? element("section", {}, element("h3", {}, "Kernels"), kernelEditor(network, refresh))
      : null,
    element(
      "section",
      {},
      element("h3", {}, "Answer"),
      answers,
      element("button", { type: "button", class: "editor-reset", onclick: reset }, "Take back all edits"),
      element("p", { class: "soft" }, "Edits are forgotten when another image is opened."),
    ),
  ];
  answers.replaceChildren(answersOf(network));
  const page = element("div", { class: "editor" }, contents());
  return page;
}

/** Return the picture with its tools; `refresh()` is called after it was changed. */
function pictureEditor(network, refresh) {
  const { preprocess } = network.manifest;
  const [side, channels] = [preprocess.size, preprocess.channels];
  let levels = levelsOf(network.result(network.parts[0]), preprocess);
  const hint = "Point at a pixel to read it; drag to draw.";
  const pixel = element("output", { class: "soft editor-pixel" }, hint);
  const problem = element("p", { class: "editor-problem", role: "alert" });
  const tools = brushTools(channels, side);
  const put = (changed) => {
    levels = changed;
    network.setInput(valuesOf(levels, preprocess));
    board.show();
    refresh();
  };
  const replace = (other) => {
    network.label = null; // of another picture nobody said what is on it
    put(other);
    shift.restart();
    pixel.textContent = hint;
  };
  const see = (row, column) => {
    if (row === null) return;
    const all = Array.from({ length: channels }, (_, channel) =>
      Math.round(levels[(channel * side + row) * side + column]),
    );
    pixel.textContent = `row ${row}, column ${column}: ${all.join(", ")} of 255`;
  };
  const board = drawing(side, channels, { levels: () => levels, brush: tools.brush, changed: () => put(levels), see });
  const open = async (file) => {
    problem.textContent = "";
    try {
      replace(await readPicture(file, preprocess));
    } catch {
      problem.textContent = `${file.name} is no picture that this browser can read.`;
    }
  };
  const clear = () => replace(levels.map(() => 0));
  const shift = shiftTools((down, right) => put(shifted(levels, side, down, right)));
  const section = element(
    "section",
    { class: "editor-picture" },
    element("h3", {}, "Picture"),
    board.canvas,
    pixel,
    tools.fields,
    shift.fields,
    element("button", { type: "button", onclick: clear }, "Clear"),
    element(
      "label",
      { class: "editor-file" },
      "A picture of your own: ",
      element("input", {
        type: "file",
        accept: "image/*",
        onchange: ({ target }) => target.files[0] && open(target.files[0]),
      }),
      " or drop it here. The browser decodes and scales it, so numbers differ a little from those of cnn predict.",
    ),
    problem,
  );
  section.addEventListener("dragover", (event) => event.preventDefault());
  section.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files[0]) open(event.dataTransfer.files[0]);
  });
  return section;
}

/** Return the brush's fields, and `brush()`, its colour, a level a channel, and its width in pixels. */
function brushTools(channels, side) {
  const isColour = channels === 3;
  const colour = isColour
    ? element("input", { type: "color", value: "#ffffff" })
    : element("input", { type: "range", min: 0, max: 255, value: 255 });
  const width = element("input", {
    type: "range",
    min: 1,
    max: Math.max(2, Math.round(side / 8)),
    value: Math.ceil(side / 28),
  });
  const fields = element(
    "div",
    { class: "editor-brush" },
    element("label", {}, isColour ? "Colour " : "Level ", colour),
    element("label", {}, "Width ", width),
  );
  const hex = (start) => parseInt(colour.value.slice(start, start + 2), 16);
  const levels = () => (isColour ? [hex(1), hex(3), hex(5)] : Array(channels).fill(colour.valueAsNumber));
  return { fields, brush: () => ({ colour: levels(), width: width.valueAsNumber }) };
}

/** Return buttons that move the picture by a pixel and say how far it was moved, and `restart()` for another one. */
function shiftTools(move) {
  let moved = [0, 0];
  const output = element("output", {});
  const restart = (down = 0, right = 0) => {
    moved = [down, right];
    output.textContent = moved.join(", ");
  };
  const buttons = Object.entries(ARROWS).map(([arrow, [down, right]]) => {
    const onclick = () => {
      restart(moved[0] + down, moved[1] + right);
      move(down, right);
    };
    return element("button", { type: "button", "aria-label": `Shift ${arrow}`, onclick }, arrow);
  });
  restart();
  const words = "Shift by a pixel, and see the maps move with it: ";
  return { fields: element("div", { class: "editor-shift" }, words, ...buttons, " moved by ", output), restart };
}

/** Return the likeliest classes, with their probabilities before all edits and now. */
function answersOf(network) {
  const now = network.result(network.probabilities);
  const before = network.before ?? now;
  const rows = network
    .ranking()
    .slice(0, NUM_LISTED)
    .map((number) => {
      const shares = [before[number], now[number]].map((share) => element("td", {}, shownShare(share)));
      const bar = element("td", { class: "editor-bar", style: { "--before": before[number], "--now": now[number] } });
      return element("tr", {}, element("th", { scope: "row" }, network.classes[number]), ...shares, bar);
    });
  const heads = ["class", "before", "now", ""].map((name) => element("th", {}, name));
  return element("table", {}, element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...rows));
}
