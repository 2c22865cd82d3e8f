// The first sentences: what is shared in which layers, and whether chance or labels alone explain it.
// results/findings.py writes the same sentences for the terminal.

import { listed, rangeOf } from "./dom.js";

const MOST_NAMES = 6;
/** How much of a layer is shared: the words, and the share from which on they apply. */
const SHARES = Object.entries({ "nearly all": 0.9, most: 0.5, some: 0.1, few: 1e-9, none: 0 });
const NOTHING = "no neurons in any layer";
/** Labels that reach this part of a similarity leave little to explain. */
const MOSTLY = 0.9;

/** Of more comparisons only the first, the last and the chosen one are described. */
const MOST_COMPARISONS = 3;

/** What the comparisons of a run show at an epsilon, and no more than they show: for each a paragraph. */
export function answersOf(own, epsilon, chosen) {
  const names = own.comparisons;
  const ends = [names[0], names.at(-1), chosen];
  return names.filter((name) => names.length <= MOST_COMPARISONS || ends.includes(name))
    .map((series) => answerOfSeries(own, series, epsilon));
}

function answerOfSeries(own, series, epsilon) {
  const all = own.curves(epsilon).filter((row) => row.series === series);
  const pairs = own.pairs.filter((pair) => pair.comparison === series).length;
  const who = pairs > 1 ? "the networks of a pair" : "the two networks";
  const which = own.comparisons.length > 1 ? ` (${series})` : "";
  // What chance alone gives is not shared, and what chance gives is perhaps not known.
  const chance = all.filter((row) => row.value > 0 && isOnlyChance(row));
  const verb = all.some(isKnown) ? "share" : "match";
  const shared = sharesOf(all, all.filter((row) => !chance.includes(row)));
  const every = pairs > 1 ? " in every pair" : "";
  const beyond = chance.length && shared === NOTHING ? ` beyond chance${every}` : "";
  const only = chance.length
    ? `; what matches in ${layersOf(chance, all)} (${rangeOf(valuesOf(chance))}) is not${every} more than chance explains`
    : "";
  const more = [...explained(all, pairs), ...fewImages(own, all, series)];
  return [`At epsilon ${epsilon} ${who}${which} ${verb} ${shared}${beyond}${only}.`, ...more].join(" ");
}

const valuesOf = (rows) => rows.map(({ value }) => value);
const isKnown = ({ chance }) => !Number.isNaN(chance);
const isOnlyChance = (row) => isKnown(row) && !row.isAboveChance;

/** Which of some of all layers share how much: "most neurons in conv1 (77.0%) and none in fc1". */
function sharesOf(all, some) {
  if (some.every(({ value }) => value === 0)) return NOTHING;
  let isFirst = true;
  return listed(SHARES.flatMap(([words, least], place) => {
    const below = place ? SHARES[place - 1][1] : Number.POSITIVE_INFINITY;
    const rows = some.filter(({ value }) => value >= least && value < below);
    if (!rows.length) return [];
    const neurons = isFirst ? " neurons" : "";
    isFirst = false;
    return [`${words}${neurons} in ${layersOf(rows, all)}${least ? ` (${rangeOf(valuesOf(rows))})` : ""}`];
  }));
}

/** Compare what is more than chance with what labels alone explain. */
function explained(all, pairs) {
  const every = pairs > 1 ? "in every pair " : "";
  const isAboveChance = (row) => isKnown(row) && row.isAboveChance;
  const areLabelsKnown = ({ labels }) => !Number.isNaN(labels);
  const isAboveBoth = (row) => isAboveChance(row) && areLabelsKnown(row) && row.isAboveLabels;
  const isMostlyLabels = ({ labels, value }) => labels >= MOSTLY * value;
  const groups = {
    [`it is ${every}more than chance and labels alone explain`]: (row) => isAboveBoth(row) && !isMostlyLabels(row),
    "labels alone explain at least nine tenths of it": (row) => isAboveBoth(row) && isMostlyLabels(row),
    [`it is not ${every}more than labels alone explain`]: (row) =>
      isAboveChance(row) && areLabelsKnown(row) && !row.isAboveLabels,
    [`it is ${every}more than chance explains (what labels explain is unknown)`]: (row) =>
      isAboveChance(row) && !areLabelsKnown(row),
    "the chance level is unknown": (row) => !isKnown(row),
  };
  const clauses = Object.entries(groups).flatMap(([words, belongs]) => {
    const rows = all.filter((row) => row.value > 0 && belongs(row));
    return rows.length ? [`in ${layersOf(rows, all)} ${words}`] : [];
  });
  return clauses.length ? [`I${clauses.join("; ").slice(1)}.`] : [];
}

function fewImages(own, all, series) {
  const isFew = ({ layer }) => own.matchesOf(layer, series).some((one) => one.record.few_samples);
  const rows = all.filter((row) => row.value > 0 && isFew(row));
  if (!rows.length) return [];
  const unknown = rows.filter((row) => Number.isNaN(row.crossFitted));
  const known = rows.filter((row) => !unknown.includes(row));
  const points = 100 * Math.max(...known.map((row) => row.value - row.crossFitted));
  const lower = points < 0.05 ? "is as high" : `is at most ${points.toFixed(1)} points lower`;
  const butUnknown = unknown.length ? `, and unknown in ${layersOf(unknown, all)}` : "";
  const corrected = known.length ? lower + butUnknown : "is unknown";
  return [`In ${layersOf(rows, all)} there are few images for the neurons; the cross-fitted similarity ${corrected}.`];
}

/** Name layers, with ranges, or count them if that would be long. */
export function layersOf(rows, all) {
  if (rows.length === all.length && all.length > 1) return "every layer";
  const runs = [];
  for (const [place, row] of all.entries()) {
    if (!rows.includes(row)) continue;
    const last = runs.at(-1);
    if (last?.at(-1) === place - 1) last.push(place);
    else runs.push([place]);
  }
  const words = runs.flatMap((places) => (places.length > 2
    ? [`${all[places[0]].layer} to ${all[places.at(-1)].layer}`]
    : places.map((place) => all[place].layer)));
  return words.length > MOST_NAMES ? `${rows.length} of ${all.length} layers` : listed(words);
}
