// The first sentences: what is shared, and whether chance or labels alone explain it.

import { listed, percent } from "./dom.js";

const MOST_NAMES = 6;

/** What the first comparison of a run shows at an epsilon, and no more than it shows. */
export function answerOf(own, epsilon) {
  const [series] = own.comparisons;
  const all = own.curves(epsilon).filter((row) => row.series === series);
  const ordered = all.toSorted((p, q) => p.value - q.value);
  const [least, most] = [ordered[0], ordered.at(-1)];
  const of = (row) => `${percent(row.value)} (in ${row.layer})`;
  const pairs = own.pairs.filter((pair) => pair.comparison === series).length;
  const who = pairs > 1 ? "the networks of a pair" : "the two networks";
  const which = own.comparisons.length > 1 ? ` (${series})` : "";
  const words = least === most ? of(least) : `between ${of(least)} and ${of(most)}`;
  return [
    `At epsilon ${epsilon} ${who}${which} share ${words} of a layer's neurons.`,
    ...explained(all, pairs),
    ...fewImages(own, all, series),
  ].join(" ");
}

/** Compare what is shared with the chance level, and with what labels alone explain. */
function explained(all, pairs) {
  const every = pairs > 1 ? "in every pair " : "";
  const isKnown = ({ chance }) => !Number.isNaN(chance);
  const areLabelsKnown = ({ labels }) => !Number.isNaN(labels);
  const groups = {
    "the chance level is unknown": (row) => !isKnown(row),
    [`this is not ${every}above the chance level`]: (row) => isKnown(row) && !row.isAboveChance,
    [`it is above the chance level, but not ${every}above what labels alone explain`]: (row) =>
      row.isAboveChance && areLabelsKnown(row) && !row.isAboveLabels,
    "it is above the chance level; what labels alone explain is unknown": (row) =>
      row.isAboveChance && !areLabelsKnown(row),
    [`it is ${every}above the chance level and above what labels alone explain`]: (row) =>
      row.isAboveChance && row.isAboveLabels,
  };
  return Object.entries(groups).flatMap(([words, belongs]) => {
    const rows = all.filter((row) => row.value > 0 && belongs(row));
    return rows.length ? [`In ${layersOf(rows, all)} ${words}.`] : [];
  });
}

function fewImages(own, all, series) {
  const isFew = ({ layer }) => own.matchesOf(layer, series).some((one) => one.record.few_samples);
  const rows = all.filter((row) => row.value > 0 && isFew(row));
  if (!rows.length) return [];
  const value = rows.length === 1 && !Number.isNaN(rows[0].crossFitted)
    ? ` (cross-fitted, it is ${percent(rows[0].crossFitted)})`
    : "";
  return [`In ${layersOf(rows, all)} few images raise it${value}.`];
}

/** Name layers, or count them if there are many. */
function layersOf(rows, all) {
  if (rows.length === all.length && all.length > 1) return "every layer";
  return rows.length > MOST_NAMES
    ? `${rows.length} of ${all.length} layers`
    : listed(rows.map((row) => row.layer));
}
