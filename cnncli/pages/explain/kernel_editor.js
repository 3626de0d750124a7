import { element } from "./dom.js";
import { colourOf, scaleOf } from "./colours.js";

/** Return fields for the numbers of a convolution's kernels; `changed()` is called after a number was changed. */
export function kernelEditor(network, changed) {
  const convolutions = network.parts.filter((part) => part.kind === "convolution");
  let [part, unit, source] = [convolutions[0], 0, null];
  const grid = element("div", { class: "editor-kernel" });
  const chooser = (label, names, values, chosen, choose) => {
    const options = values.map((value, number) =>
      element("option", { value: number, selected: value === chosen }, names[number]),
    );
    const select = element(
      "select",
      {
        "aria-label": label,
        onchange: () => (
          choose(values[select.selectedIndex]),
          show(),
          choosers.querySelector(`[aria-label="${label}"]`).focus()
        ),
      },
      ...options,
    );
    return element("label", {}, `${label} `, select);
  };
  const choosers = element("div", { class: "editor-choosers" });

  function show() {
    const kernels = network.kernels(part, unit);
    source = kernels.some((kernel) => kernel.unit === source) ? source : kernels[0].unit;
    const units = network.unitsOf(part);
    const sources = kernels.map((kernel) => kernel.unit);
    const take = (other) => ([part, unit] = [other, 0]);
    choosers.replaceChildren(
      chooser(
        "layer",
        convolutions.map(({ id }) => id),
        convolutions,
        part,
        take,
      ),
      chooser("map", units, units, unit, (other) => (unit = other)),
      chooser("from map", sources, sources, source, (other) => (source = other)),
    );
    const { kernel } = kernels.find((candidate) => candidate.unit === source);
    const bias = network.tensor(part, "bias");
    const place = network.placeOf(part, unit);
    grid.style.setProperty("--columns", part.options.kernel[1]);
    grid.replaceChildren(
      ...Array.from(kernel, (_, number) => field(kernel, number, `weight ${number}`, "weight")),
      element("label", { class: "editor-bias" }, "bias ", field(bias, place, "bias", "bias")),
    );
  }

  function field(numbers, number, label, name) {
    const input = element("input", {
      type: "number",
      step: "any",
      value: Number(numbers[number].toPrecision(4)),
      "aria-label": label,
    });
    const tint = () => {
      const colour = colourOf(numbers[number] / scaleOf(numbers).end);
      input.style.setProperty("--colour", `rgb(${colour.join(" ")})`);
    };
    input.addEventListener("input", () => {
      const isNumber = Number.isFinite(Math.fround(input.valueAsNumber));
      input.setCustomValidity(isNumber ? "" : "Not a number: the network still has the one before.");
      input.reportValidity();
      if (!isNumber) return;
      numbers[number] = input.valueAsNumber;
      network.setTensor(part, name, network.tensor(part, name));
      tint();
      changed();
    });
    tint();
    return input;
  }

  show();
  return element("div", {}, choosers, grid);
}
