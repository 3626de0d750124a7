import { element, svg } from "./dom.js";

// The controls of an animation. All views that move have the same ones, and the same keys.

const ALL_FRAMES = 20_000; // milliseconds that they take together, within what the eye can follow
const SHORTEST_FRAME = 80;
const LONGEST_FRAME = 700;
const PLAYER_ICONS = {
  play: "M4 2 14 8 4 14Z",
  pause: "M4 2h3v12h-3ZM9 2h3v12h-3Z",
  back: "M12 2 5 8 12 14ZM3 2h2v12h-2Z",
  on: "M4 2 11 8 4 14ZM11 2h2v12h-2Z",
};

/**
 * Return the controls of an animation of `length` frames, an element; `show(index)` draws one and is called at once
 * when the element enters the document. It plays from then until it is paused or leaves the document.
 *
 * Space plays and pauses; left and right go a frame, up and down `columns` frames, for frames that are the cells of a
 * grid. `obey(node)` has the keys work in another element too, but for its fields; `goTo(index)` pauses there; `index`
 * and `playing` say where it is. Where less motion is preferred it starts paused.
 */
export function player(length, show, { columns = 1, playing = !prefersStillness() } = {}) {
  return new StepPlayer(length, show, columns, playing && length > 1);
}

function prefersStillness() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}

class StepPlayer extends HTMLElement {
  index = 0;
  #timer = null;
  #last;
  #show;
  #moves;
  #slider;
  #toggle;
  #position = element("span", { class: "motion-position" });

  constructor(length, show, columns, playing) {
    super();
    this.playing = playing;
    this.#last = length - 1;
    this.#show = show;
    this.#moves = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
    this.#toggle = element("button", { type: "button", onclick: () => this.toggle() });
    const oninput = () => this.goTo(this.#slider.valueAsNumber);
    this.#slider = element("input", { type: "range", min: 0, max: this.#last, "aria-label": "Step", oninput });
    this.append(this.#toggle, this.#stepButton("back", -1), this.#stepButton("on", 1), this.#slider, this.#position);
    this.obey(this);
  }

  connectedCallback() {
    this.#draw();
    this.#keepTime();
  }

  disconnectedCallback() {
    clearInterval(this.#timer);
  }

  /** Show one frame, the first or the last where there is none of that index, and stay there. */
  goTo(index) {
    this.playing = false;
    this.index = Math.min(Math.max(index, 0), this.#last);
    this.#draw();
    this.#keepTime();
  }

  /** Play on, or pause. */
  toggle() {
    this.playing = !this.playing;
    this.#keepTime();
  }

  /** Have the keys work while the focus is in `node`, too. */
  obey(node) {
    node.addEventListener("keydown", (event) => this.#obeyKey(event));
  }

  #obeyKey(event) {
    const { key, target } = event;
    const isTaken = event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey;
    if (isTaken || (target.matches("input, select, textarea") && !this.contains(target))) return;
    if (key in this.#moves) this.goTo(this.index + this.#moves[key]);
    else if (key === " " && !target.matches("button, summary")) this.toggle();
    else return;
    event.preventDefault(); // of scrolling the page, and of the slider's own step
  }

  #keepTime() {
    const frame = Math.min(Math.max(ALL_FRAMES / (this.#last + 1), SHORTEST_FRAME), LONGEST_FRAME);
    clearInterval(this.#timer);
    if (this.playing && this.isConnected) this.#timer = setInterval(() => this.#advance(), frame);
    const name = this.playing ? "Pause" : "Play";
    this.#toggle.replaceChildren(playerIcon(this.playing ? "pause" : "play"));
    Object.assign(this.#toggle, { title: `${name} (space)`, ariaLabel: name });
  }

  #advance() {
    this.index = (this.index + 1) % (this.#last + 1);
    this.#draw();
  }

  #draw() {
    this.#position.textContent = `${this.index + 1} of ${this.#last + 1}`;
    this.#slider.value = this.index;
    this.#slider.ariaValueText = this.#position.textContent;
    this.#show(this.index);
  }

  #stepButton(name, step) {
    const title = step < 0 ? "Step back (←)" : "Step on (→)";
    const onclick = () => this.goTo(this.index + step);
    return element("button", { type: "button", title, "aria-label": title, onclick }, playerIcon(name));
  }
}

function playerIcon(name) {
  return svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, svg("path", { d: PLAYER_ICONS[name] }));
}

customElements.define("step-player", StepPlayer);
