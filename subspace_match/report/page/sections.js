// All sections but those of depth, networks and neurons: comparison, layer, layer pairs and other
// measures, provenance.

import { layersOf } from "./answer.js";
import { countWithin, mean, numbers, placeOfNearest, runs } from "./data.js";
import { byEpsilon, Chart, criticals, HEAT_MAP, heatMap, higherBy, measures, MOST_NAMED, sizes } from "./charts.js";
import { areNamed, depth, levels } from "./depth.js";
import { Numbers, byId, counted, h, listed, neuronWords, percent, rangeOf, save, say, short } from "./dom.js";
import { change, listen, match, run, state } from "./state.js";

// What was compared

/** The names of layers with few images, in words. */
function layersWithFewSamples(own) {
  const all = own.layerNames.map((layer) => ({ layer }));
  const few = all.filter(({ layer }) => own.matchesOf(layer).some((one) => one.record.few_samples));
  return layersOf(few, all);
}

/** When a layer has few images for its neurons. */
const fewWords = ({ limits }) => `more than ${limits.neurons_per_image} neurons per image, or an area more than`
  + ` ${limits.gap} above the cross-fitted one`;

const FACTS = {
  "Data set": (own) => own.data_set,
  Architecture: (own) => own.models.map((model) => {
    const name = own.models.length > 1 ? `${model.name}: ` : "";
    const other = model.data_set === own.data_set ? "" : `, trained on ${model.data_set}`;
    return h("div", {}, `${name}${model.architecture}${other}`);
  }),
  Networks: (own) =>
    own.networks.map((network) => h("div", {}, network.accuracy === null
      ? network.name
      : `${network.name}: accuracy ${percent(network.accuracy)}`
        + (network.loss === null ? "" : `, loss ${short(network.loss, 3)} nats`)
        + (network.one_class ? "; the same class for every image, so nothing was learned" : ""))),
  Compared: (own) => own.comparisons.flatMap((comparison) => {
    const pairs = own.pairs.filter((pair) => pair.comparison === comparison);
    const networks = new Set(pairs.flatMap((pair) => [pair.a, pair.b]));
    return own.pairs.length > MOST_NAMED
      ? h("div", {}, `${comparison}: ${pairs.length} pairs of ${networks.size} networks`)
      : pairs.map((pair) => h("div", {}, `${comparison}: ${own.pairName(pair)}`));
  }),
  "Left out": (own) => {
    if (own.left_out === null) return "unknown";
    if (!own.left_out.length) return "nothing: every layer has a counterpart";
    return own.left_out.map(({ models: [a, b], layers }) =>
      h("div", {}, `between ${a} and ${b}, layers without a counterpart: ${listed(layers)}`));
  },
  Extraction: (own) => {
    const images = own.extraction.images === null ? "" : ` of ${own.extraction.images} images`;
    return `up to ${own.extraction.positions} positions per layer${images}, in up to `
      + counted(Math.max(...own.all.map((one) => one.draws)), "draw");
  },
  "Neurons per image": (own) => {
    const most = Math.max(...own.all.map((one) => Math.max(...one.record.neurons) / one.record.images));
    const names = layersWithFewSamples(own);
    return names
      ? h("strong", {}, `Warning: in ${names} part of the similarity is due to few images: ${fewWords(own)}`
        + ` (at most ${short(most, 2)} neurons per image)`)
      : `at most ${short(most, 2)}; up to ${own.limits.neurons_per_image} there are enough images`;
  },
  "Dead neurons": (own) => {
    const dead = own.all.flatMap((one) => Array.from(one.critical[0])).filter(Number.isNaN).length;
    return `${dead} of ${own.all.reduce((total, one) => total + one.count, 0)}, over all pairs at the first`
      + " draw; they are in no match but count as neurons";
  },
  Chance: (own) => {
    if (!own.permutations) return "unknown: this run has no permutations";
    const within = own.all.some((one) => one.record.labels)
      ? "any images, and as many of images within their classes"
      : `any images; none within classes (labels: ${own.labels ?? "none usable"})`;
    return `${own.permutations} permutations of one network's images: ${within}`;
  },
};

/** One line below the title: what was compared. */
function who() {
  byId("who").textContent = runs.map((own) => {
    const models = own.models.map(({ architecture }) => architecture);
    const known = own.networks.filter(({ accuracy }) => accuracy !== null).map(({ accuracy }) => accuracy);
    const accuracy = known.length ? `, accuracy ${rangeOf(known)}` : "";
    return `${listed([...new Set(models)])} on ${own.data_set}: ${counted(own.networks.length, "network")}${accuracy}`;
  }).join("; ");
}

function comparison() {
  who();
  const head = runs.length > 1
    ? [h("thead", {}, h("tr", {}, h("td", {}), runs.map((own) => h("th", { scope: "col" }, own.name))))]
    : [];
  const rows = Object.entries(FACTS).map(([name, describe]) =>
    h("tr", {}, h("th", { scope: "row" }, name), runs.map((own) => h("td", {}, describe(own)))));
  byId("compared").append(
    h("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "Table of what was compared" },
      h("table", { class: "facts" }, head, h("tbody", {}, rows))),
  );
}

// A layer

/** The steps of a curve; with more than 2000, only steps at least 1e-4 apart. */
function steps(ascending, total, series) {
  const rows = [{ epsilon: 0, value: 0, ...series }];
  const finite = countWithin(ascending, 1);
  let last = 0;
  for (let i = 0; i < finite; i++) {
    const epsilon = ascending[i];
    const isLast = i + 1 === finite;
    if (!isLast && (ascending[i + 1] === epsilon || (finite > 2000 && epsilon - last < 1e-4))) continue;
    rows.push({ epsilon, value: (i + 1) / total, ...series });
    last = epsilon;
  }
  rows.push({ epsilon: 1, value: finite / total, ...series });
  return rows;
}

function layer() {
  const curve = new Chart(byId("curve"), (...more) => byEpsilon(shownSeries(), !isNamed())(...more), {
    pick: (_, epsilon) => epsilon >= 0 && epsilon < 1 && change({ epsilon: thousandth(epsilon) }),
    point: (_, epsilon) => readCurve(epsilon),
  });
  const critical = new Chart(byId("critical"), criticals, {
    renderer: "canvas", // thousands of points
    pick: (datum) => datum?.name && change({ neuron: datum.name }),
    point: (datum) => datum?.name
      && say("critical-readout", `${neuronWords(datum.name)}: critical epsilon ${short(datum.critical)}`),
  });
  const size = new Chart(byId("sizes"), sizes, {
    point: (datum) => {
      if (!datum?.from) return;
      const [least, most] = [Math.ceil(datum.from), Math.floor(datum.to)];
      say("sizes-readout", `${counted(datum.neurons, "neuron")} of ${datum.network}: minimal matches of `
        + (most > least ? `${least} to ${most}` : least));
    },
  });
  for (const { element } of [curve, critical, size]) element.setAttribute("role", "img");
  curve.element.addEventListener("pointerleave", () => readCurve(state.epsilon));
  let data = {};
  listen(["run", "comparison", "pair", "layer", "epsilon", "neuron"], (names) => {
    const isNew = names.some((name) => ["run", "comparison", "pair", "layer"].includes(name));
    if (isNew) {
      data = { curve: curveRows(), critical: criticalRows() };
      say("critical-readout", "");
    }
    const parameters = { epsilon: state.epsilon, neuron: state.neuron };
    if (isNew) curve.show(data.curve, { epsilon: state.epsilon }, true);
    else curve.move({ epsilon: state.epsilon });
    if (isNew) critical.show(data.critical, parameters);
    else critical.move(parameters);
    if (isNew || names.includes("epsilon")) {
      facts();
      readCurve(state.epsilon);
      showSizes(size, isNew);
    }
  });
}

/** Rounded to the steps of the slider, and below 1. */
const thousandth = (epsilon) => Math.min(0.999, Number(epsilon.toFixed(3)));

/** The selected pair; with all pairs selected those of all comparisons, or of many comparisons those of the selected. */
const shownMatches = () => (state.pair < 0
  ? run().matchesOf(state.layer, areNamed(run()) ? undefined : state.comparison)
  : [match()]);
const isNamed = () => shownMatches().length <= MOST_NAMED;
/** Whether curves have the colour of their comparison, as in the figures by depth. */
const areOfComparisons = () => state.pair < 0 && run().comparisons.length > 1 && areNamed(run());
const seriesOf = (own) => (areOfComparisons() ? own.pair.comparison : run().pairName(own.pair));
const shownSeries = () => (areOfComparisons() ? run().comparisons : shownMatches().map(seriesOf));

function curveRows() {
  const own = match();
  return {
    curves: shownMatches().flatMap((one) =>
      steps(one.pooled, one.count * one.draws, { series: seriesOf(one), pair: one.record.pair })),
    draws: shownMatches().length > 1 || own.draws === 1
      ? []
      : own.ascending.flatMap((draw, number) => steps(draw, own.count, { draw: number })),
    fitted: shownMatches().flatMap((one) => (isNamed() && one.record.cross_fitted_draws
      ? steps(one.crossFitted, one.count * one.record.cross_fitted_draws,
        { series: seriesOf(one), pair: one.record.pair })
      : [])),
    chance: levelRows(own.chanceCurve),
    labels: levelRows(own.labelsCurve),
  };
}

const levelRows = (curve) =>
  Array.from(curve, (value, place) => ({ epsilon: run().level_epsilons[place], value }));

function criticalRows() {
  const own = match();
  const neurons = [];
  own.critical[0].forEach((critical, number) => {
    const name = own.name(number);
    // Equal values stay visible side by side; the golden ratio spreads them evenly.
    const jitter = (number * 0.618034) % 1;
    if (!Number.isNaN(critical)) neurons.push({ name, network: name[0].toUpperCase(), critical, jitter });
  });
  return { neurons };
}

function readCurve(epsilon) {
  if (!(epsilon >= 0 && epsilon <= 1)) return;
  const at = epsilon === state.epsilon ? epsilon : thousandth(epsilon);
  const shown = shownMatches();
  const range = (all) => rangeOf(all.map((one) => one.similarity(at)))
    + (all.length > 1 ? ` over ${all.length} pairs` : "");
  const of = shown.length > 1 ? ` in the order of the legend; ${run().pairName(match().pair)}: ` : ", ";
  const words = areOfComparisons()
    ? [...Map.groupBy(shown, seriesOf)].map(([name, all]) => `${name} ${range(all)}`).join("; ")
    : isNamed()
      ? `${listed(shown.map((one) => percent(one.similarity(at))))}${of}${levelsOf(match(), at)}`
      : range(shown);
  say("curve-readout", `At ${at}: ${words}`);
}

const levelsOf = (own, epsilon) => levels({
  crossFitted: own.crossFittedSimilarity(epsilon),
  chance: own.chance(epsilon),
  labels: own.labels(epsilon),
});

function facts() {
  const own = match();
  const { layer: name, node, kind } = run().layers[own.record.layer];
  const [first] = own.critical;
  const within = (from, to) => first.subarray(from, to).reduce((n, e) => n + (e <= state.epsilon), 0);
  const certificate = own.certificate(state.epsilon);
  say("layer-name", `Layer ${name}`);
  say("layer-facts", [
    `${kind}, node ${node}, ${run().pairName(own.pair)}.`,
    `${own.countA} + ${own.countB} neurons, ${counted(own.record.samples, "sample")}${imagesOf(own.record)},`,
    `${counted(own.draws, "draw")}.`,
    own.record.few_samples
      ? `Warning: few images for these neurons (${fewWords(run())}), so part of the similarity is due to chance.`
      : "",
    `At epsilon ${state.epsilon} the maximum match has ${within(0, own.countA)} neurons of A and`,
    `${within(own.countA, own.count)} of B (first draw). The similarity is`,
    `${percent(own.similarity(state.epsilon))} over all draws, ${levelsOf(own, state.epsilon)}. The area is`,
    `${percent(own.area)}, cross-fitted ${crossFittedArea(own.record)}. At ${certificate.epsilon}, the nearest epsilon of the grid,`,
    `the match is ${certificate.verified ? "verified by a new factorisation" : "NOT verified"};`,
    certificate.margin === null ? "" : `its margin is ${short(certificate.margin, 2)}:`,
    `rounding errors ${certificate.certain ? "cannot" : "could"} change it.`,
  ].filter(Boolean).join(" "));
  say("curve-caption", "Exact similarity at every epsilon"
    + (isNamed() && !areOfComparisons() ? "" : ", one line per pair")
    + (isNamed() && own.record.cross_fitted_draws ? "; dashed: cross-fitted" : "")
    + (shownMatches().length === 1 && own.draws > 1 ? "; thin: each draw" : "")
    + (own.chanceCurve.length ? "; grey: the chance level" : "")
    + (own.labelsCurve.length ? "; light: labels alone" : "")
    + (shownMatches().length > 1 && own.chanceCurve.length ? ` (of ${run().pairName(own.pair)})` : ""));
  say("critical-caption", "Critical epsilon of each neuron: the smallest at which it is in the maximum match"
    + ` (${run().pairName(own.pair)}, first draw)`);
  byId("critical").setAttribute("aria-label", "Critical epsilons of both networks' neurons; the table"
    + " of neurons below has the same numbers");
  byId("curve").setAttribute("aria-label", `Similarity of ${name} against epsilon;`
    + ` ${percent(own.similarity(state.epsilon))} at ${state.epsilon}`);
}

const imagesOf = ({ images, samples }) => (images < samples ? ` of ${counted(images, "image")}` : "");

/** The cross-fitted area over the draws that have one, or why there is none. */
const crossFittedArea = ({ cross_fitted_area: area, note }) =>
  (area === null ? `unknown: ${note}` : percent(area));

function showSizes(chart, isNew) {
  const minimal = match().minimal(state.epsilon);
  const element = chart.element;
  element.hidden = !minimal;
  if (!minimal) {
    say("sizes-readout", "");
    say("sizes-caption", "Sizes of minimal matches: this run has none in this layer. None were requested,"
      + " or no neuron is in a match.");
    return;
  }
  say("sizes-caption", `Sizes of minimal matches at epsilon ${minimal.epsilon}`);
  if (chart.minimal === minimal) return;
  chart.minimal = minimal;
  say("sizes-readout", "");
  const counts = new Map();
  const own = match();
  const total = (found) => minimal.size_a[found] + minimal.size_b[found];
  const most = Math.max(...minimal.size_a.map((_, found) => total(found)));
  const bin = Math.max(1, Math.ceil(most / 40));
  minimal.match_of.forEach((found, number) => {
    if (found < 0) return;
    const from = Math.floor(total(found) / bin) * bin;
    const network = number < own.countA ? "A" : "B";
    const key = `${network}${from}`;
    // Bars are centred on whole numbers.
    if (!counts.has(key)) counts.set(key, { network, from: from - 0.5, to: from + bin - 0.5, neurons: 0 });
    counts.get(key).neurons++;
  });
  const all = minimal.match_of.filter((found) => found >= 0).map(total).sort((p, q) => p - q);
  element.setAttribute("aria-label", `Sizes of ${all.length} neurons' minimal matches: ${all[0]} to`
    + ` ${all.at(-1)}, median ${all[all.length >> 1]}`);
  chart.show({ sizes: [...counts.values()] }, {}, isNew);
}

// Layer pairs and other measures

function pairsAndMeasures() {
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

// Provenance

function provenance() {
  const list = (entries) => h("dl", {}, Object.entries(entries).map(([name, value]) =>
    [h("dt", {}, name), h("dd", {}, typeof value === "string" ? value : JSON.stringify(value))]).flat());
  byId("provenance").append(...runs.flatMap((own) => {
    const { again, changed, config, default: rest, digests, runs: calls } = own.provenance;
    const saveConfig = () => save("config.json", JSON.stringify(config, null, 2), "application/json");
    const checkpoints = Object.fromEntries(own.networks.map((one) => [one.name, one.checkpoint]));
    return [
      h("h3", {}, own.name),
      h("p", {}, Object.keys(changed).length
        ? "Configuration values that differ from the default:"
        : "The configuration is the default."),
      list(changed),
      h("details", {}, h("summary", {}, "Other configuration values, which are the default"), list(rest)),
      h("details", {}, h("summary", {}, "Digests of code and inputs, and SHA-256 of the networks"),
        list({ ...digests, ...checkpoints })),
      h("p", {}, "Command that reproduces this run:"),
      h("pre", { tabindex: 0 }, again),
      config ? h("p", {}, h("button", { type: "button", onclick: saveConfig }, "Save its configuration")) : "",
      ...calls.flatMap((call) => [
        h("p", {}, `Command that ran the rules ${call.rules}:`),
        h("pre", { tabindex: 0 }, call.command),
        list({ commit: commitWords(call), ...call.versions }),
      ]),
      calls.length ? "" : h("p", {}, "The commands that made this run are unknown: it has no provenance record."),
    ];
  }));
}

function commitWords({ commit, changed }) {
  if (commit === null) return "unknown: the project was not a git checkout";
  return changed.length ? `${commit}, with changes to ${changed.join(", ")}` : commit;
}

export function sections() {
  comparison();
  depth();
  layer();
  pairsAndMeasures();
  provenance();
}
