// The table of all layers, which leads the page.

import { byId, counted, h, percent, say } from "./dom.js";
import { placeOfNearest } from "./data.js";
import { change, listen, run, state } from "./state.js";

/** The columns after the layer: title, and the share of a row. A column without numbers is left out. */
const LAYER_COLUMNS = [
  ["Similarity", ({ row }) => row.value],
  ["Cross-fitted", ({ row }) => row.crossFitted],
  ["Chance", ({ row }) => row.chance],
  ["Labels alone", ({ row }) => row.labels],
  ["In all networks", ({ shared }) => shared],
  ["Area", ({ area }) => area.value],
];

/** The rows of the selected comparison. */
function layerRows(own, comparison) {
  const place = placeOfNearest(own.epsilons, state.epsilon);
  return own.curves(state.epsilon).flatMap((row, number) => {
    if (row.series !== comparison) return [];
    const universal = own.universality.find((one) =>
      one.comparison === comparison && own.layerNames[one.layer] === row.layer);
    const matches = own.matchesOf(row.layer, comparison);
    return [{ row, area: own.areas[number], shared: universal?.everywhere[place] ?? Number.NaN, matches }];
  });
}

/** A bar as long as the similarity, with a mark at the level that labels alone, or chance, reach. */
function bar({ value, labels, chance }) {
  const level = Number.isNaN(labels) ? chance : labels;
  const at = (share) => `${(100 * share).toFixed(1)}%`;
  return h("span", { class: "bar", "aria-hidden": "true" },
    h("span", { class: "fill", style: `width: ${at(value)}` }),
    ...(!(level > 0) ? [] : [h("span", { class: "level", style: `left: ${at(level)}` })]));
}

/** The numbers of neurons of A or of B, which pairs of different models do not share. */
function rangeOfCounts(matches, side) {
  const counts = matches.map((one) => one[side]);
  const [least, most] = [Math.min(...counts), Math.max(...counts)];
  return least === most ? String(least) : `${least} to ${most}`;
}

export function overview() {
  const body = h("tbody");
  const head = h("tr");
  byId("overview").append(h("table", { class: "overview" },
    h("caption", { class: "hidden" }, "All layers"), h("thead", {}, head), body));
  listen(["run", "comparison", "layer", "epsilon"], () => {
    const own = run();
    const { comparison } = state;
    const rows = layerRows(own, comparison);
    const columns = LAYER_COLUMNS.filter(([, valueOf]) => rows.some((one) => !Number.isNaN(valueOf(one))));
    head.replaceChildren(...["Layer", "Neurons", ...columns.map(([title]) => title)].map((title) =>
      h("th", { scope: "col" }, title)));
    const focused = body.contains(document.activeElement) && document.activeElement.textContent;
    body.replaceChildren(...rows.map((one) => {
      const { layer } = one.row;
      const isSelected = layer === state.layer;
      const few = one.matches.some(({ record }) => record.few_samples);
      const button = h("button", { type: "button", "aria-pressed": String(isSelected),
        onclick: () => change({ layer, neuron: "" }) }, layer);
      return h("tr", { class: isSelected ? "selected" : undefined },
        h("th", { scope: "row" }, button, few ? " *" : ""),
        h("td", {}, `${rangeOfCounts(one.matches, "countA")} + ${rangeOfCounts(one.matches, "countB")}`),
        columns.map(([title, valueOf]) => {
          const value = valueOf(one);
          const text = h("span", { class: "number" }, Number.isNaN(value) ? "–" : percent(value));
          return h("td", {}, title === "Similarity" ? [bar(one.row), text] : text);
        }));
    }));
    if (focused) [...body.querySelectorAll("button")].find((one) => one.textContent === focused)?.focus();
    const pairs = own.pairs.filter((pair) => pair.comparison === comparison).length;
    const about = [`At epsilon ${state.epsilon}`
      + `${own.comparisons.length > 1 ? `, ${comparison}` : ""}${pairs > 1 ? `, mean of ${counted(pairs, "pair")}` : ""}.`];
    if (columns.some(([title]) => title === "In all networks"))
      about.push(`In all networks: the share of neurons matched in each of the other networks, at epsilon`
        + ` ${own.epsilons[placeOfNearest(own.epsilons, state.epsilon)]}, the nearest of the grid;`
        + " by the mean of a neuron's critical epsilons over draws.");
    if (columns.some(([title]) => title === "Chance"))
      about.push("The mark in a bar is the level that labels alone, or else chance, reach.");
    if (rows.some(({ matches }) => matches.some(({ record }) => record.few_samples)))
      about.push("* few images for the neurons.");
    say("overview-about", about.join(" "));
  });
}
