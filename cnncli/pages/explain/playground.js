import { coverageOf, coverageWords, sizeFormula, windowWords } from "./coverage.js";
import { element } from "./dom.js";
import { player } from "./motion.js";
import { inputGrid, outputGrid } from "./window_grids.js";

const PLAYGROUND_SETTINGS = [
  { name: "size", letter: "n", label: "Input size", least: 1, most: 256, usual: 8, sliderMost: 32 },
  { name: "kernel", letter: "k", label: "Kernel", least: 1, most: 32, usual: 3, sliderMost: 11 },
  { name: "padding", letter: "p", label: "Padding", least: 0, most: 32, usual: 0, sliderMost: 8 },
  { name: "stride", letter: "s", label: "Stride", least: 1, most: 32, usual: 2, sliderMost: 8 },
  { name: "dilation", letter: "d", label: "Dilation", least: 1, most: 32, usual: 1, sliderMost: 8 },
];

/**
 * Return the playground: settings of a convolution, the formula of its size, and its window, which moves.
 *
 * `settings` {size, kernel, padding, stride, dilation} are whole numbers; one that is missing or out of range is
 * replaced. `onChange(settings)` is called with all of them, in this order, when the reader has changed one.
 */
export function playground(settings, onChange) {
  let current = allowedSettings(settings);
  const words = element("div", { "aria-live": "polite" });
  const stage = element("div", {});
  const draw = () => {
    const coverage = coverageOf(current);
    const playing = stage.querySelector("step-player")?.playing;
    words.replaceChildren(...sizeExplanation(current));
    stage.replaceChildren(coverage.windows > 0 ? movingWindow(current, coverage, playing) : misfit(current, coverage));
  };
  const change = (name, value) => {
    current = { ...current, [name]: value };
    draw();
    onChange(current);
  };
  draw();
  const controls = PLAYGROUND_SETTINGS.map((setting) => settingControl(setting, current[setting.name], change));
  const heading = element("h2", {}, "Playground: the size of a convolution’s output");
  return element("section", { class: "pg" }, heading, element("div", { class: "pg-settings" }, controls), words, stage);
}

function allowedSettings(settings) {
  const values = PLAYGROUND_SETTINGS.map(({ name, least, most, usual }) => {
    const value = settings[name];
    return [name, Number.isInteger(value) ? Math.min(Math.max(value, least), most) : usual];
  });
  return Object.fromEntries(values);
}

/** A slider for the sizes that one tries, and a field for all that are possible. */
function settingControl({ name, letter, label, least, most, sliderMost }, value, change) {
  const id = `pg-${name}`;
  const slider = element("input", { type: "range", min: least, max: sliderMost, value, "aria-label": label });
  const field = element("input", { type: "number", id, min: least, max: most, required: true, value });
  let last = value;
  const set = (next) => change(name, (last = next));
  slider.addEventListener("input", () => {
    field.value = slider.value;
    set(slider.valueAsNumber);
  });
  field.addEventListener("input", () => {
    if (!field.validity.valid) return; // half typed
    slider.value = field.value;
    set(field.valueAsNumber);
  });
  field.addEventListener("change", () => (field.value = last));
  return element("div", {}, element("label", { htmlFor: id }, `${label} `, element("i", {}, letter)), slider, field);
}

function sizeExplanation(settings) {
  const [letters, numbers, worked, result] = sizeFormula(settings);
  const parts = [letters, `= ${numbers}`, `= ${worked}`, element("b", {}, `= ${result}`)];
  const formula = parts.flatMap((part) => [element("span", {}, part), " "]);
  return [
    element("p", { class: "pg-formula" }, formula),
    ...coverageWords(settings).map((sentence) => element("p", {}, sentence)),
  ];
}

/** The window on its way over the padded input, and which cell of the output it writes. */
function movingWindow(settings, coverage, playing) {
  const { windows, padded, unread } = coverage;
  const input = inputGrid(settings, coverage);
  const output = outputGrid(windows, input.cell);
  const words = element("p", { class: "pg-place" });
  const show = (index) => {
    const place = [Math.floor(index / windows), index % windows];
    input.show(place);
    output.show(place);
    words.textContent = windowWords(settings, place);
  };
  const motion = player(windows * windows, show, { columns: windows, playing });
  for (const kind of ["pointermove", "pointerdown"]) {
    output.drawing.addEventListener(kind, (event) => motion.goTo(indexUnder(event, windows)));
  }
  const around = settings.padding > 0 ? `, with its padding of zeros ${padded} × ${padded}` : "";
  const hatched = unread.length > 0 ? "; hatched: never read" : "";
  const drawings = element(
    "div",
    { class: "pg-grids" },
    captioned(input.drawing, `Input ${settings.size} × ${settings.size}${around}${hatched}`),
    captioned(output.drawing, `Output ${windows} × ${windows}`),
  );
  const view = element("div", {}, motion, words, drawings);
  motion.obey(view);
  return view;
}

/** The kernel over an input that it is too large for. */
function misfit(settings, coverage) {
  const input = inputGrid(settings, coverage);
  input.show([0, 0]);
  const drawing = captioned(input.drawing, `Input, and a window of ${coverage.reach} × ${coverage.reach}`);
  return element("div", { class: "pg-grids" }, drawing);
}

function captioned(drawing, caption) {
  return element("figure", {}, element("figcaption", {}, caption), drawing);
}

function indexUnder(event, windows) {
  const { left, top, width, height } = event.currentTarget.getBoundingClientRect();
  const cellAt = (share) => Math.min(Math.max(Math.floor(share * windows), 0), windows - 1);
  return cellAt((event.clientY - top) / height) * windows + cellAt((event.clientX - left) / width);
}
