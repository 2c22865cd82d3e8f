// Every layer against every layer, and the other measures.

import { mean, numbers, placeOfNearest } from "./data.js";
import { Chart, HEAT_MAP, heatMap, higherBy, measures } from "./charts.js";
import { Numbers, byId, h, percent } from "./dom.js";
import { change, listen, run, state } from "./state.js";

export function pairsAndMeasures() {
  let built = -1;
  let [made, updates] = [[], []]; // figures of the run, and functions that update its parts
  listen(["run", "comparison", "pair", "epsilon"], () => {
    if (built !== state.run) {
      built = state.run;
      made.forEach((chart) => chart.remove());
      byId("between").replaceChildren();
      const parts = [heatMaps(run()), otherMeasures(run())];
      made = parts.flatMap(({ charts: own }) => own);
      updates = parts.map(({ update }) => update);
    }
    updates.forEach((update) => update());
  });
}

const NOT_THERE = { charts: [], update: () => {} };

function heatMaps(own) {
  const found = own.heat_maps;
  if (!found.length) {
    byId("between").append(h("p", {}, "This run has no heat map of layer pairs: none was requested."));
    return NOT_THERE;
  }
  const readout = h("p", { class: "readout" });
  let shown;
  const place = () => placeOfNearest(shown.epsilons, state.epsilon);
  const select = (layer) => {
    if (own.matchesOf(layer).length) change({ layer, neuron: "" });
    else readout.textContent = `${layer} of A is not among the compared layers, so it cannot be selected.`;
  };
  const figure = () => {
    const [caption, box] = [h("figcaption"), h("div", { role: "img" })];
    const titles = { a: "Layer of network A", b: "Layer of network B" };
    const specify = (...more) => heatMap(shown.layers_a, shown.layers_b, titles)(...more);
    const chart = new Chart(box, specify, {
      renderer: "canvas",
      height: HEAT_MAP,
      pick: (datum) => datum?.a && select(datum.a),
      point: (datum) => {
        if (datum?.a) readout.textContent = `${datum.a} of A and ${datum.b} of B: ${percent(datum.value)}`;
      },
    });
    const show = (title, record) => {
      const values = numbers(record);
      const known = values.filter((value) => !Number.isNaN(value));
      const { layers_a: a, layers_b: b } = shown;
      caption.textContent = title;
      box.setAttribute("aria-label", `${title}: ${a.length} by ${b.length} layers,`
        + (known.length ? ` ${percent(Math.min(...known))} to ${percent(Math.max(...known))}` : " unknown"));
      const cells = Array.from(values, (value, place) =>
        ({ a: a[Math.floor(place / b.length)], b: b[place % b.length], value }));
      chart.show({ cells }, {}, true);
    };
    return { chart, element: h("figure", {}, caption, box), show };
  };
  const [ofMatch, ofCka] = [figure(), figure()];
  const details = h("details", {}, h("summary", {}, "The layer pairs as a table"));
  const table = new Numbers(details, "heat_map", () => {
    const { layers_a: a, layers_b: b } = shown;
    const at = place();
    const [similarity, cka] = [numbers(shown.similarity[at]), numbers(shown.cka)];
    const { pair } = shown;
    const of = [own.pairs[pair].comparison, own.pairName(own.pairs[pair])];
    return [["comparison", "pair", "layer_a", "layer_b", "epsilon", "similarity", "linear_cka"],
      ...Array.from(similarity, (value, cell) =>
        [...of, a[Math.floor(cell / b.length)], b[cell % b.length], shown.epsilons[at], value, cka[cell]])];
  });
  byId("between").append(
    h("h3", {}, "Every layer of A against every layer of B"),
    h("div", { class: "side-by-side" }, ofMatch.element, ofCka.element), readout, details,
  );
  let last = "";
  const update = () => {
    // With all pairs selected, the first of the comparison.
    const isOwn = ({ pair }) => (state.pair < 0 ? own.pairs[pair].comparison === state.comparison : pair === state.pair);
    shown = found.find(isOwn) ?? found[0];
    const at = place();
    const key = `${shown.pair} ${at}`;
    if (key === last) return;
    last = key;
    readout.textContent = "";
    const [a, b] = [own.pairs[shown.pair].a, own.pairs[shown.pair].b].map((one) => own.networks[one].name);
    ofMatch.show(`Maximum match at epsilon ${shown.epsilons[at]}, the nearest of the grid (${a} by ${b})`,
      shown.similarity[at]);
    ofCka.show("Linear CKA", shown.cka);
    table.update();
  };
  return { charts: [ofMatch.chart, ofCka.chart], update };
}

function otherMeasures(own) {
  if (!own.measures.length) {
    byId("between").append(h("p", {}, "This run has no other similarity measures."));
    return NOT_THERE;
  }
  const box = h("div", { role: "img", "aria-label": "Other measures by layer; the table below has the numbers" });
  const details = h("details", {}, h("summary", {}, "The measures as a table"));
  const caption = h("figcaption");
  byId("between").append(h("h3", {}, "Other similarity measures"), h("figure", {}, caption, box), details);
  const names = [...new Set(own.measures.map((one) => one.measure))];
  const series = ["match", ...names.map(measureWords)];
  const chart = new Chart(box, measures(own.layerNames, series), { height: 360 + higherBy(own.layerNames) });
  // With all pairs selected, those of the comparison that the other parts of the page show.
  const shownPairs = () => (state.pair < 0
    ? own.pairs.flatMap(({ comparison: one }, number) => (one === state.comparison ? [number] : []))
    : [state.pair]);
  const pairsInWords = () => {
    const [first, ...more] = shownPairs();
    return more.length ? `mean of ${more.length + 1} pairs` : own.pairName(own.pairs[first]);
  };
  const rows = () => {
    const pairs = shownPairs();
    const matches = own.layerNames.flatMap((name) => {
      const matched = own.matchesOf(name).filter((one) => pairs.includes(one.record.pair));
      return matched.length
        ? [{ series: "match", layer: name, value: mean(matched.map((one) => one.similarity(state.epsilon))) }]
        : [];
    });
    const others = names.flatMap((measure) => own.layerNames.flatMap((name, place) => {
      const values = own.measures
        .filter((one) => one.measure === measure && pairs.includes(one.pair))
        .map((one) => one.values[place])
        .filter((value) => value !== null);
      return values.length ? [{ series: measureWords(measure), layer: name, value: mean(values) }] : [];
    }));
    return [...matches, ...others];
  };
  const table = new Numbers(details, "measures", () =>
    [["comparison", "pairs", "measure", "layer", "value"],
      ...rows().map((row) => [state.comparison, pairsInWords(), row.series, row.layer, row.value])]);
  const update = () => {
    const of = `${pairsInWords()}${shownPairs().length > 1 ? ` (${state.comparison})` : ""}`;
    caption.textContent = `By layer, ${of}; the first curve is the maximum match at epsilon ${state.epsilon}`;
    chart.show({ curves: rows() });
    table.update();
  };
  return { charts: [chart], update };
}

function measureWords(name) {
  return name.split("_").map((word) => {
    if (/^[ab]$|cca$|cka$/.test(word)) return word.toUpperCase();
    return word === "procrustes" ? "Procrustes" : word;
  }).join(" ");
}
