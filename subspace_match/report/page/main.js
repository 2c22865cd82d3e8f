// Start the page: controls, sections, and the state in the address.

import { drawn } from "./charts.js";
import { runs } from "./data.js";
import { byId, h, say } from "./dom.js";
import { manyNetworks } from "./networks.js";
import { neurons } from "./neurons.js";
import { overview } from "./overview.js";
import { sections } from "./sections.js";
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
    const each = own.pairs.map((pair, number) => [number, `${pair.comparison}: ${own.pairName(pair)}`]);
    options(byId("pair"), each.length > 1 ? [[-1, "all pairs"], ...each] : each, state.pair);
    byId("grid").replaceChildren(...own.epsilons.map((value) => h("option", { value })));
  });
  listen(["run", "pair", "layer"], () => {
    const own = run();
    const known = own.layerNames.filter((name) => state.pair < 0 || own.match(state.pair, name));
    options(byId("layer"), known.map((name) => [name, name]), state.layer);
    byId("run").value = state.run;
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
sections();
neurons(runs);
manyNetworks();
start();
await drawn();
document.documentElement.dataset.ready = "true";
