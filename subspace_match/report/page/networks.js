// Many networks: the most and the least universal neurons of a layer, and networks by networks.

import { Chart, HEAT_MAP, heatMap } from "./charts.js";
import { placeOfNearest } from "./data.js";
import { Numbers, byId, h, percent, say, short } from "./dom.js";
import { strip } from "./neurons.js";
import { change, listen, run, state } from "./state.js";

/** Select a neuron of a network in the first pair of a comparison that has it, and go to it. */
function select(comparison, { network, neuron }) {
  const pair = run().pairs.findIndex((one, number) =>
    one.comparison === comparison && [one.a, one.b].includes(network) && run().match(number, state.layer));
  const side = run().pairs[pair].a === network ? "a" : "b";
  change({ pair, neuron: `${side}${neuron}` });
  byId("neuron-heading").focus();
}

function neuronOf(comparison, row) {
  const { epsilons, networks } = run();
  const place = placeOfNearest(epsilons, state.epsilon);
  const matched = Math.round(row.shares[place] * row.others);
  const together = row.consensus === null ? "" : `; in the consensus match from epsilon ${short(row.consensus)}`;
  return h("li", {},
    h("button", { type: "button", onclick: () => select(comparison, row) },
      `${networks[row.network].name}: neuron ${row.neuron}`),
    strip(row.network, state.layer, row.neuron),
    h("span", {}, `median critical epsilon ${short(row.median)}; matched in ${matched} of ${row.others} other`
      + ` networks at epsilon ${epsilons[place]}${together}`));
}

function universal() {
  const { comparison } = state;
  const layer = run().layerNames.indexOf(state.layer);
  const found = run().universality.find((one) => one.comparison === comparison && one.layer === layer);
  byId("universal").replaceChildren(...(found
    ? ["most", "least"].map((end) => h("div", {},
      h("h3", {}, `The ${end} universal neurons of ${state.layer}`),
      h("ul", { class: "partners" }, found[end].map((row) => neuronOf(comparison, row)))))
    : []));
  say("universal-about", found
    ? `A neuron is universal if most other networks have it: of the ${found.neurons} neurons of all networks`
      + ` (${comparison}, without dead ones), those with the smallest and the largest median critical epsilon`
      + " over the other networks. Select one to see its partners."
    : `No network has this layer and is compared with at least two others (${comparison}): choose another`
      + " comparison.");
}

/** The known areas of all networks by all networks. */
const cellsOf = ({ areas }, all) => areas.flatMap((value, place) => (value === null
  ? []
  : [{ a: all[Math.floor(place / all.length)], b: all[place % all.length], value }]));

export function manyNetworks() {
  let found;
  const names = () => found.networks.map((one) => run().networks[one].name);
  const chart = new Chart(byId("matrix"), (...more) => heatMap(names(), names(), { a: "Network", b: "Network" })(...more), {
    renderer: "canvas",
    height: HEAT_MAP,
    point: (datum) => datum?.a && say("matrix-readout", `${datum.a} and ${datum.b}: ${percent(datum.value)}`),
  });
  chart.element.setAttribute("role", "img");
  const table = new Numbers(byId("matrix-numbers"), "network_matrix", () => [["layer", "network_a", "network_b", "area"],
    ...cellsOf(found, names()).map(({ a, b, value }) => [state.layer, a, b, value])]);
  listen(["run", "comparison", "layer", "epsilon"], (changed) => {
    const own = run();
    byId("many").hidden = !own.universality.length && !own.network_matrix.length;
    if (byId("many").hidden) return;
    universal();
    if (!changed.some((name) => ["run", "layer"].includes(name))) return;
    found = own.network_matrix.find((one) => own.layerNames[one.layer] === state.layer);
    byId("matrix-figure").hidden = !found;
    byId("matrix-numbers").hidden = !found;
    if (!found) return;
    const all = names();
    const cells = cellsOf(found, all);
    const order = found.clustered
      ? "Networks that are alike are side by side (clusters by average linkage)."
      : "Not every two are compared, so they are not clustered.";
    say("matrix-caption", `Networks by networks in ${state.layer}: area under their similarity. ${order}`);
    const values = cells.map((cell) => cell.value);
    chart.element.setAttribute("aria-label", `${all.length} by ${all.length} networks, areas of`
      + ` ${percent(Math.min(...values))} to ${percent(Math.max(...values))}`);
    say("matrix-readout", "");
    chart.show({ cells }, {}, true);
    table.update();
  });
}
