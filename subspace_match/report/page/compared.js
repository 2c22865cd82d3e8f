// What was compared, as a table, and the line below the title.

import { layersOf } from "./answer.js";
import { runs } from "./data.js";
import { MOST_NAMED } from "./charts.js";
import { byId, counted, h, listed, percent, rangeOf, short } from "./dom.js";

/** The names of layers with few images, in words. */
function layersWithFewSamples(own) {
  const all = own.layerNames.map((layer) => ({ layer }));
  const few = all.filter(({ layer }) => own.matchesOf(layer).some((one) => one.record.few_samples));
  return layersOf(few, all);
}

/** When a layer has few images for its neurons. */
export const fewWords = ({ limits }) => `more than ${limits.neurons_per_image} neurons per image, or an area more than`
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

export function comparison() {
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
