// The selected layer: its curve, its critical epsilons and the sizes of its minimal matches.

import { countWithin } from "./data.js";
import { byEpsilon, Chart, criticals, MOST_NAMED, sizes } from "./charts.js";
import { fewWords } from "./compared.js";
import { areNamed, levels } from "./depth.js";
import { byId, counted, listed, neuronWords, percent, rangeOf, say, short } from "./dom.js";
import { change, listen, match, run, state } from "./state.js";

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

export function layer() {
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
