import { answerOf } from "./answer.js";
import { readManifest } from "./archive.js";
import { chooserOf, controlsOf, fillChooser, leftOutOf } from "./controls.js";
import { element } from "./dom.js";
import { editorView } from "./editor.js";
import { keysDialog } from "./help.js";
import { Network } from "./network.js";
import { Overview } from "./overview.js";
import { partPanel, problemOf, problemView, unitOfRoute } from "./panel.js";
import { playground } from "./playground.js";
import { formatRoute, parseRoute } from "./routes.js";
import { SCALES, scaleIn } from "./scales.js";
import { selfTestView } from "./selftest.js";

/** The page: its network, where one is in it, and how it is shown. */
class Page {
  constructor(manifest) {
    this.network = new Network(manifest);
    this.mode = SCALES[1];
    this.isDetailed = false;
    this.showsCam = true;
    this.panel = document.getElementById("panel");
    this.links = element("nav", { "aria-label": "Pages" });
    this.answer = element("div", {});
    this.keys = keysDialog();
    this.hashOf = (changes) => formatRoute({ image: this.network.image, ...changes });
    this.scale = (part, unit) => scaleIn(this.mode, this.network, part, unit);
  }

  async start() {
    await this.network.open(this.imageOf(parseRoute(location.hash)));
    this.chooser = chooserOf(this);
    const answers = element("div", { class: "header-answers" }, this.answer, this.chooser);
    const parts = [this.links, answers, controlsOf(this), leftOutOf(this.network), this.keys];
    document.getElementById("header").append(...parts.filter(Boolean));
    this.drawAll();
    await this.follow();
    let last = Promise.resolve();
    addEventListener("hashchange", () => (last = last.catch(() => {}).then(() => this.follow()))); // one after the other
    addEventListener("keydown", (event) => this.obey(event));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.recolour());
    await this.overview.whenDrawn;
    document.documentElement.dataset.ready = Math.round(performance.now());
    if (this.chooser) await fillChooser(this.chooser, this.network);
  }

  /** Go where the address says. */
  async follow() {
    const before = this.route;
    this.route = parseRoute(location.hash);
    const image = this.imageOf(this.route);
    if (image !== this.network.image) {
      await this.network.open(image);
      this.drawAll();
    }
    this.drawPanel();
    if (before ? before.page !== this.route.page || before.id !== this.route.id : this.route.page !== "overview")
      this.arrive(before);
  }

  imageOf({ image }) {
    return image < this.network.manifest.views.length ? image : (this.network.image ?? 0);
  }

  /** Have the eye and the keyboard where one went: in the panel, or back at the unit in the overview. */
  arrive(before) {
    if (this.route.page === "overview") {
      const { cursor } = this.overview;
      if (before?.page === "part" && cursor) this.overview.focus(cursor);
      return;
    }
    this.panel.focus({ preventScroll: true });
    this.panel.scrollIntoView({ block: "start" });
  }

  /** Change how the page is shown: `mode`, `isDetailed` or `showsCam`. */
  set(changes) {
    Object.assign(this, changes);
    if ("isDetailed" in changes) this.drawOverview();
    if ("mode" in changes) this.recolour();
    if ("showsCam" in changes) this.drawAnswer();
  }

  drawAll() {
    this.drawOverview();
    this.drawAnswer();
    this.drawLinks();
    for (const [image, link] of Array.from(this.chooser?.children ?? []).entries()) {
      link.ariaCurrent = image === this.network.image ? "true" : null;
    }
  }

  drawOverview() {
    const { scrollLeft = 0 } = this.overview?.scroller ?? {};
    this.overview = new Overview(this, this.isDetailed);
    document.getElementById("overview").replaceChildren(this.overview.element);
    this.overview.scroller.scrollLeft = scrollLeft;
    this.overview.open(this.opened ?? null);
  }

  drawAnswer() {
    this.answer.replaceChildren(answerOf(this.network, this.showsCam));
  }

  /** Draw all numbers anew: they, or their colours, are others. */
  repaint() {
    this.overview.repaint();
    this.drawAnswer();
  }

  recolour() {
    this.repaint();
    if (this.route.page !== "editor") this.drawPanel(); // which would forget its brush
  }

  drawPanel() {
    document.body.dataset.page = this.route.page;
    const problem = problemOf(this.network, this.route);
    const pages = {
      selftest: () => selfTestView(this.network),
      editor: () => editorView(this.stage()),
      playground: () => this.playgroundView(),
      part: () => this.partView(),
    };
    const focused = this.panel.contains(document.activeElement) ? document.activeElement : null;
    if (this.route.page !== "part" || problem) this.overview.open((this.opened = null));
    this.panel.replaceChildren(); // so that nothing stale stays where a view fails
    const view = problem ? problemView(problem, this) : pages[this.route.page]?.();
    this.panel.replaceChildren(...(view ? [view] : []));
    const chooser = focused?.matches(".panel-unit select") ? this.panel.querySelector(".panel-unit select") : null;
    if (focused && view) (chooser ?? this.panel).focus({ preventScroll: true });
  }

  partView() {
    const part = this.network.byId.get(this.route.id);
    const unit = unitOfRoute(this.network, part, this.route.unit);
    this.overview.open((this.opened = { part, unit }));
    return partPanel({ ...this.stage(), part, unit, place: this.route.place, source: this.route.source }, this);
  }

  playgroundView() {
    const [size, kernel, padding, stride, dilation] = this.route.rest.map(Number);
    const settings = { size, kernel, padding, stride, dilation };
    return playground(settings, (changed) => this.note({ rest: Object.values(changed) }));
  }

  stage() {
    return {
      network: this.network,
      scale: this.scale,
      redraw: () => this.repaint(),
      go: (changes) => (location.hash = formatRoute({ ...this.route, ...changes })),
      note: (changes) => this.note(changes),
    };
  }

  note(changes) {
    this.route = { ...this.route, ...changes };
    history.replaceState(null, "", formatRoute(this.route));
  }

  drawLinks() {
    const link = (name, page) => element("a", { href: this.hashOf({ page }) }, name);
    const keys = element("button", { type: "button", onclick: () => this.keys.showModal() }, "Keys");
    const editor = this.network.manifest.is_editable ? link("Editor", "editor") : null;
    const links = [
      link("Overview", "overview"),
      editor,
      link("Playground", "playground"),
      link("Self-test", "selftest"),
      keys,
    ];
    this.links.replaceChildren(...links.filter(Boolean));
  }

  obey({ key, target, defaultPrevented, altKey, ctrlKey, metaKey }) {
    if (defaultPrevented || altKey || ctrlKey || metaKey || this.keys.open) return;
    if (key === "Escape" && this.route.page !== "overview") location.hash = this.hashOf({ page: "overview" });
    if (key === "?" && !target.matches("input, select, textarea")) this.keys.showModal();
  }
}

await new Page(readManifest()).start();
