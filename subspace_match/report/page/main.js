// Start the page: controls, sections, and the state in the address.

import { drawn } from "./charts.js";
import { comparison } from "./compared.js";
import { runs } from "./data.js";
import { depth } from "./depth.js";
import { byId, h, say } from "./dom.js";
import { layer } from "./layer.js";
import { manyNetworks } from "./networks.js";
import { neurons } from "./neurons.js";
import { overview } from "./overview.js";
import { pairsAndMeasures } from "./pairs.js";
import { provenance } from "./provenance.js";
import { change, listen, run, start, state } from "./state.js";

function options(select, entries, chosen) {
  select.replaceChildren(...entries.map(([value, text]) => h("option", { value }, text)));
  select.value = chosen;
  select.parentElement.hidden = entries.length < 2;
}

function controls() {
  const [slider, exact] = [byId("epsilon"), byId("exact")];
  let waiting;
  // A slider sends more events than the screen has frames.
  slider.addEventListener("input", () => {
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(() => change({ epsilon: slider.valueAsNumber }));
  });
  exact.addEventListener("change", () => {
    const isValid = exact.checkValidity() && exact.value;
    if (isValid) change({ epsilon: exact.valueAsNumber });
    exact.value = state.epsilon;
    say("epsilon-error", isValid ? "" : `Expected a number from 0 to ${exact.max}; epsilon is still ${state.epsilon}.`);
  });
  byId("run").addEventListener("change", (event) => change({ run: Number(event.target.value), pair: Number.NaN }));
  byId("comparison").addEventListener("change", (event) => change({ comparison: event.target.value, pair: -1, neuron: "" }));
  byId("pair").addEventListener("change", (event) => change({ pair: Number(event.target.value), neuron: "" }));
  byId("layer").addEventListener("change", (event) => change({ layer: event.target.value, neuron: "" }));
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  byId("skip").addEventListener("click", (event) => {
    event.preventDefault(); // a jump would overwrite the state in the address
    byId("overview-heading").focus();
  });
  options(byId("run"), runs.map((own, number) => [number, own.name]), 0);
  listen(["run"], () => {
    const own = run();
    options(byId("comparison"), own.comparisons.map((name) => [name, name]), state.comparison);
    byId("grid").replaceChildren(...own.epsilons.map((value) => h("option", { value })));
  });
  listen(["run", "comparison"], () => {
    const own = run();
    const each = own.pairs.flatMap((pair, number) =>
      (pair.comparison === state.comparison ? [[number, own.pairName(pair)]] : []));
    options(byId("pair"), own.pairs.length > 1 ? [[-1, "all pairs"], ...each] : each, state.pair);
    // Every part of the page but the figures of all comparisons shows this one.
    const several = own.comparisons.length > 1;
    for (const part of document.querySelectorAll(".of-comparison"))
      part.textContent = several ? `: ${state.comparison}` : "";
  });
  listen(["run", "comparison", "pair", "layer"], () => {
    const known = run().layersOf(state.comparison, state.pair);
    options(byId("layer"), known.map((name) => [name, name]), state.layer);
    byId("run").value = state.run;
    byId("comparison").value = state.comparison;
    byId("pair").value = state.pair;
  });
  listen(["epsilon"], () => {
    say("epsilon-error", "");
    slider.value = state.epsilon;
    exact.value = state.epsilon;
    slider.setAttribute("aria-valuetext", String(state.epsilon));
  });
}

controls();
overview();
comparison();
depth();
layer();
pairsAndMeasures();
provenance();
neurons(runs);
manyNetworks();
start();
await drawn();
document.documentElement.dataset.ready = "true";
