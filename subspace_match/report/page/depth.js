// Similarity by depth: at an epsilon, and the area, which needs none; the first sentences follow it.

import { answersOf } from "./answer.js";
import { byDepth, Chart, higherBy, linesOf, MOST_NAMED } from "./charts.js";
import { runs } from "./data.js";
import { Numbers, byId, h, listed, percent, say, short } from "./dom.js";
import { change, listen, run, state } from "./state.js";

export function depth() {
  const table = new Numbers(byId("depth-numbers"), "similarity_by_depth", () => [
    ["run", "comparison", "layer", "epsilon", "similarity", "cross_fitted", "interval_over", "low", "high",
      "chance", "labels", "consensus", "area", "area_cross_fitted", "area_low", "area_high", "area_chance",
      "area_labels", "area_p_value"],
    ...runs.flatMap((own) => own.curves(state.epsilon).map((row, place) => {
      const area = own.areas[place];
      return [own.name, row.series, row.layer, state.epsilon, row.value, row.crossFitted, row.over ?? "none",
        row.low, row.high, row.chance, row.labels, row.consensus, area.value, area.crossFitted, area.low,
        area.high, area.chance, area.labels, area.pValue];
    })),
  ]);
  const figures = runs.map((own, number) => figureOfDepth(own, number));
  say("depth-legend", legend());
  listen(["run", "comparison", "pair", "layer", "epsilon"], () => {
    figures.forEach((update) => update());
    table.update();
    answer();
    readDepth(run(), state.layer);
  });
}

function answer() {
  byId("answer").replaceChildren(...runs.flatMap((own) => answersOf(own, state.epsilon, state.comparison).map((words) =>
    h("p", {}, `${runs.length > 1 ? `${own.name}: ` : ""}${words}`))));
}

const INTERVALS = {
  networks: "over networks (jackknife)",
  images: "over images, for these networks (half-sampling)",
};

/** Explain the lines and bands that the figures of these runs have. */
function legend() {
  const rows = runs.flatMap((own) => own.areas);
  const has = (key) => rows.some((row) => !Number.isNaN(row[key]));
  const over = Object.keys(INTERVALS).filter((name) => rows.some((row) => row.over === name));
  const grid = [...new Set(runs.flatMap((own) => own.epsilons))].sort((p, q) => p - q);
  return [
    has("crossFitted") && "Cross-fitted similarity is measured on images on which nothing was fitted, so few"
      + " images do not raise it as they raise the in-sample one.",
    has("chance") && "The chance level is that of the first draw: a similarity above it has p at most 0.05 when the images of"
      + " one network are permuted.",
    has("labels") && "Labels alone: the same level when images are permuted within their classes, which keeps what labels"
      + " explain.",
    over.length ? `The band is the 95% interval of the mean ${over.map((name) => INTERVALS[name]).join(" or ")},`
      + ` which is known at ${grid.length > 1 ? "epsilons" : "epsilon"} ${listed(grid)} and for the area.`
      : "There is no interval: it needs three networks, or permutations.",
    runs.some((own) => own.summary.some(({ consensus }) => consensus.some((value) => value !== null)))
      && "The consensus is the share of all networks' neurons in sets, one per network, that all match each"
      + " other; it is known at the same epsilons.",
    runs.some((own) => own.pairs.length > 1) && `Thin lines are single pairs of the selected comparison${
      runs.every(areNamed) ? "" : ", and other comparisons"}.`,
  ].filter(Boolean).join(" ");
}

/** Whether each comparison of a run has a colour and a name in figures. */
export const areNamed = (own) => own.comparisons.length <= MOST_NAMED;

/** The selected comparison, or the first one of a run that lacks it. */
const comparisonOf = (own) => (own.comparisons.includes(state.comparison) ? state.comparison : own.comparisons[0]);

/** Describe a layer: in the selected comparison with all levels, in the others, if they are few, briefly. */
function readDepth(own, layer) {
  const comparison = comparisonOf(own);
  const describe = (row, more) => {
    const series = own.comparisons.length > 1 ? `${row.series}: ` : "";
    const band = Number.isNaN(row.low)
      ? ""
      : ` (${percent(row.low)} to ${percent(row.high)}, 95% interval over ${row.over})`;
    const details = row.series === comparison ? `${band}, ${levels(row)}${more(row)}` : "";
    return `${series}${percent(row.value)}${details}`;
  };
  const words = (rows, more) => rows
    .filter((row) => row.layer === layer && (areNamed(own) || row.series === comparison))
    .toSorted((p, q) => (q.series === comparison) - (p.series === comparison))
    .map((row) => describe(row, more)).join("; ");
  const consensus = (row) => (Number.isNaN(row.consensus) ? "" : `, consensus ${percent(row.consensus)}`);
  const pValue = (row) => (Number.isNaN(row.pValue) ? "" : `, p at most ${short(row.pValue, 2)}`);
  const name = runs.length > 1 ? `${own.name}: ${layer}` : layer;
  say("depth-readout", `${name} at epsilon ${state.epsilon}: ${words(own.curves(state.epsilon), consensus)}`);
  say("area-readout", `${name}, area: ${words(own.areas, pValue)}`);
}

/** What a similarity is to be compared with. */
export const levels = (row) => `cross-fitted ${percent(row.crossFitted)}, chance level ${percent(row.chance)},`
  + ` labels alone ${percent(row.labels)}`;

/** Where another run has a layer. */
const placeIn = (own, number, layer) => ({
  run: number,
  pair: Number.NaN,
  comparison: (own.matchesOf(layer, comparisonOf(own))[0] ?? own.matchesOf(layer)[0]).pair.comparison,
});

/** Create the figure of one run; return the function that updates it. */
function figureOfDepth(own, number) {
  const slider = h("div", {
    tabindex: 0,
    role: "slider",
    "aria-label": runs.length > 1 ? `Layer of ${own.name}` : "Layer",
    "aria-valuemin": 1,
    "aria-valuemax": own.layerNames.length,
  });
  const named = runs.length > 1 ? ` (${own.name})` : "";
  const box = h("div", { role: "img", "aria-label": `Area by layer${named}; the table below has the numbers` });
  const caption = h("figcaption");
  byId("depth").append(h("figure", {}, caption, slider),
    h("figure", {}, h("figcaption", {}, `Area under the similarity, which needs no epsilon${named}`), box));
  // The pairs of another run are others.
  const select = (layer) => layer
    && change({ layer, neuron: "", ...(state.run === number ? {} : placeIn(own, number, layer)) });
  // Some lines are only known at the epsilons of the grid.
  const figures = [[slider, own.curves(own.epsilons[0]), "Similarity"], [box, own.areas, "Area"]];
  const [chart, areas] = figures.map(([element, rows, title]) => {
    const lines = [...new Set(linesOf(rows).map(({ line }) => line))];
    element.addEventListener("pointerleave", () => readDepth(run(), state.layer));
    return new Chart(element, byDepth(own.layerNames, own.comparisons, lines, title), {
      height: 320 + higherBy(own.layerNames),
      pick: (datum) => select(datum?.layer),
      point: (datum) => datum?.layer && readDepth(own, datum.layer),
    });
  });
  slider.addEventListener("keydown", (event) => {
    const names = own.layerNames;
    const at = names.indexOf(state.layer);
    const to = { ArrowRight: at + 1, ArrowUp: at + 1, ArrowLeft: at - 1, ArrowDown: at - 1,
      Home: 0, End: names.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    select(names[to]);
  });
  const layers = own.layerNames.map((layer) => ({ layer }));
  return () => {
    const rows = own.curves(state.epsilon);
    const comparison = comparisonOf(own);
    caption.textContent = `Similarity at epsilon ${state.epsilon}${named}`
      + (areNamed(own) ? "" : `: ${comparison}; thin: the others`);
    const isShown = ({ pair }) => (state.run === number && state.pair >= 0
      ? pair === state.pair
      : own.pairs.length > 1 && own.pairs[pair].comparison === comparison);
    const pairsOf = (all) => all.flatMap(({ series, layer: name, pairs }) =>
      pairs.filter(isShown).map((one) => ({ series, layer: name, ...one })));
    const selected = state.run === number ? state.layer : "";
    const at = own.layerNames.indexOf(selected);
    const value = rows.find((row) => row.layer === selected)?.value;
    slider.setAttribute("aria-valuenow", at + 1);
    slider.setAttribute("aria-valuetext", at < 0 ? "none" : `${selected}: ${percent(value)}`);
    const isBold = (row) => areNamed(own) || row.series === comparison;
    const others = (all) => all.filter((row) => !isBold(row))
      .map(({ series, layer: name, value: share }) => ({ series, layer: name, pair: series, value: share }));
    // Copies: Vega adds a field to the rows that it is given.
    const dataOf = (all) => ({
      bands: all.filter(isBold).map((row) => ({ ...row })),
      lines: linesOf(all.filter(isBold)),
      pairs: [...pairsOf(all), ...others(all)],
      layers,
    });
    chart.show(dataOf(rows), { layer: selected });
    areas.show(dataOf(own.areas), { layer: selected });
  };
}
