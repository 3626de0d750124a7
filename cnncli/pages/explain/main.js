import { readManifest } from "./archive.js";
import { element } from "./dom.js";
import { editorView } from "./editor.js";
import { Network } from "./network.js";
import { overview } from "./overview.js";
import { formatRoute, parseRoute } from "./routes.js";
import { SCALES, scaleIn } from "./scales.js";
import { selfTestView } from "./selftest.js";
import { viewOf } from "./views.js";

/** The page: its network, where one is in it, and how numbers are coloured. */
class Page {
  constructor(manifest) {
    this.network = new Network(manifest);
    this.mode = SCALES[1];
    this.overview = document.getElementById("overview");
    this.panel = document.getElementById("panel");
  }

  async start() {
    await this.follow();
    addEventListener("hashchange", () => this.follow());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    document.documentElement.dataset.ready = "yes";
  }

  /** Go where the address says. */
  async follow() {
    this.route = parseRoute(location.hash);
    const image = this.route.image < this.network.manifest.views.length ? this.route.image : 0;
    if (image !== this.network.image) {
      await this.network.open(image);
      this.drawOverview();
    }
    this.drawPanel();
  }

  draw() {
    this.drawOverview();
    this.drawPanel();
  }

  drawOverview() {
    this.overview.replaceChildren(overview(this.stage()));
  }

  drawPanel() {
    const pages = {
      selftest: () => selfTestView(this.network),
      editor: () => editorView(this.stage()),
      part: () => this.partView(),
    };
    const view = pages[this.route.page]?.();
    this.panel.replaceChildren(...(view ? [view] : []));
  }

  partView() {
    const part = this.network.byId.get(this.route.id);
    if (!part) return element("p", {}, `There is no layer ${this.route.id} here.`);
    const units = this.network.unitsOf(part);
    const unit = units.includes(this.route.unit) ? this.route.unit : units[0];
    const [height, width] = this.network.size(part);
    const [row, column] = this.route.place ?? [];
    const place = row < height && column < width ? [row, column] : null;
    return viewOf({ ...this.stage(), part, unit, place, source: this.route.source });
  }

  stage() {
    return {
      network: this.network,
      scale: (part, unit) => scaleIn(this.mode, this.network, part, unit),
      redraw: () => this.drawOverview(),
      go: (changes) => (location.hash = formatRoute({ ...this.route, ...changes })),
      note: (changes) => {
        this.route = { ...this.route, ...changes };
        history.replaceState(null, "", formatRoute(this.route));
      },
    };
  }
}

await new Page(readManifest()).start();
