import { activationView } from "./activation_view.js";
import { combiningView, concatenationView } from "./combining_view.js";
import { convolutionView } from "./convolution_view.js";
import { denseView } from "./dense_view.js";
import { flattenView } from "./flatten_view.js";
import { genericView, inputView } from "./generic_view.js";
import { identityView, padView } from "./identity_view.js";
import { localResponseView } from "./lrn_view.js";
import { normView } from "./norm_view.js";
import { adaptiveView, poolingView, subsampleView } from "./pooling_view.js";
import { softmaxView } from "./softmax_view.js";

/**
 * The views of a part by its kind of operation. Each is `view(stage)`, which returns an element, with
 * `stage = {network, part, unit, place, source, scale(part, unit), go(changes), note(changes)}`: `go` leads to another
 * route, which is this one with changes; `note` only writes it into the address, for what the view showed already.
 */
const VIEWS = {
  input: inputView,
  convolution: convolutionView,
  activation: activationView,
  pool: poolingView,
  adaptive: adaptiveView,
  subsample: subsampleView,
  norm: normView,
  lrn: localResponseView,
  pad: padView,
  identity: identityView,
  add: combiningView,
  multiply: combiningView,
  concatenate: concatenationView,
  flatten: flattenView,
  dense: denseView,
  rbf: denseView,
  softmax: softmaxView,
};

/** Return what shows a part's computation, for the unit and the place of the route. */
export function viewOf(stage) {
  return (VIEWS[stage.part.kind] ?? genericView)(stage);
}
