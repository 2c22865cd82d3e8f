// Load the page's data and answer questions about it.

import { byId } from "./dom.js";

/** Decode a data block: JSON, gzipped, as base64. */
async function unpack(id) {
  const text = atob(byId(id).textContent);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).json();
}

/** Load the runs. If that fails, say why in place of the loading message. */
async function load() {
  const message = byId("loading");
  try {
    if (!window.DecompressionStream) throw new Error("this browser has no DecompressionStream");
    const [records, images] = await Promise.all([unpack("runs-data"), unpack("images-data")]);
    const loaded = records.map((record, number) => new Run({ ...record, ...images[number] }));
    message.remove();
    return loaded;
  } catch (error) {
    message.setAttribute("role", "alert");
    message.textContent = `The data of this page cannot be read: ${error.message}. Open it in Chrome`
      + " or Edge 117, Firefox 119, Safari 17.4 or newer; if it fails there too, the file is damaged.";
    throw error;
  }
}

/** Numbers from JSON, in which NaN is null. */
export const numbers = (values) => Float64Array.from(values, (value) => value ?? Number.NaN);

/** How many of ascending numbers are <= bound. NaN comes last and is not counted. */
export function countWithin(ascending, bound) {
  let low = 0;
  let high = ascending.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ascending[middle] <= bound) low = middle + 1;
    else high = middle;
  }
  return low;
}

export const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** The mean cross-fitted similarity of all draws that have one, of some matches; NaN if none has. */
const meanCrossFitted = (matches, epsilon) => mean(matches.flatMap((one) =>
  Array(one.record.cross_fitted_draws).fill(one.crossFittedSimilarity(epsilon))));

/** A chance level at the next epsilon at which it is known, so never too low; NaN if there is none. */
const levelAt = (epsilons, curve, epsilon) => curve[countWithin(epsilons, epsilon - 1e-11)] ?? Number.NaN;

/** The place of the nearest of ascending epsilons; of two equally near ones the larger. -1 if there is none. */
export function placeOfNearest(epsilons, epsilon) {
  let best = -1;
  for (const [place, one] of epsilons.entries())
    if (best < 0 || Math.abs(one - epsilon) <= Math.abs(epsilons[best] - epsilon)) best = place;
  return best;
}

/** The record whose epsilon is nearest; undefined if there is none. */
const nearest = (records, epsilon) => records[placeOfNearest(records.map((record) => record.epsilon), epsilon)];

/** One layer of one pair of networks. Neurons are numbered: first those of A, then those of B. */
class Match {
  constructor(run, record) {
    this.record = record;
    this.pair = run.pairs[record.pair];
    this.layer = run.layers[record.layer].layer;
    [this.countA, this.countB] = record.neurons;
    this.count = this.countA + this.countB;
    this.draws = record.critical.length;
    this.critical = record.critical.map(numbers); // for each draw the critical epsilons
    this.ascending = this.critical.map((draw) => draw.toSorted());
    this.norms = numbers(record.norm);
    this.crossFitted = numbers(record.cross_fitted); // ascending, of all draws together
    // At the epsilons of levels; empty if unknown.
    this.levelEpsilons = run.level_epsilons;
    this.chanceCurve = numbers(record.chance ?? []);
    this.labelsCurve = numbers(record.labels ?? []);
  }

  /** Ascending critical epsilons of all draws: the mean curve is their distribution. */
  get pooled() {
    return numbers(this.record.critical.flat()).sort();
  }

  /** The similarity in each draw. */
  similarities(epsilon) {
    return this.ascending.map((draw) => countWithin(draw, epsilon) / this.count);
  }

  similarity(epsilon) {
    return mean(this.similarities(epsilon));
  }

  /** The similarity that few images do not flatter; NaN if there are too few for it. */
  crossFittedSimilarity(epsilon) {
    return countWithin(this.crossFitted, epsilon) / (this.count * this.record.cross_fitted_draws);
  }

  /** The area under the similarity: the mean of 1 - critical epsilon, 0 for dead neurons. */
  get area() {
    const all = this.record.critical.flat();
    return all.reduce((sum, critical) => sum + (critical === null ? 0 : 1 - critical), 0) / all.length;
  }

  /** The level that similarity must exceed for p <= 0.05 if images are permuted. */
  chance(epsilon) {
    return levelAt(this.levelEpsilons, this.chanceCurve, epsilon);
  }

  /** The same level if images are permuted within classes: what labels alone explain. */
  labels(epsilon) {
    return levelAt(this.levelEpsilons, this.labelsCurve, epsilon);
  }

  /** What the critical epsilon of a neuron in the first draw is compared with; each undefined if unknown. */
  neuronLevels(number) {
    return Object.fromEntries(Object.entries(this.record.neuron_levels)
      .map(([name, values]) => [name, values[number]]));
  }

  /** In how many draws a neuron is in the maximum match, in words. */
  drawsWith(number, epsilon) {
    if (Number.isNaN(this.critical[0][number])) return "dead";
    const count = this.critical.filter((draw) => draw[number] <= epsilon).length;
    if (this.draws === 1) return count ? "yes" : "no";
    return count ? `${count} of ${this.draws} draws` : "no";
  }

  /** The minimal matches at the nearest epsilon; undefined if the run has none in this layer. */
  minimal(epsilon) {
    return nearest(this.record.minimal, epsilon);
  }

  /** The certificate at the nearest epsilon of the grid. */
  certificate(epsilon) {
    return nearest(this.record.certificates, epsilon);
  }

  /** The neuron to show first: of the smallest minimal match, or else the smallest critical epsilon. */
  get firstNeuron() {
    const minimal = this.record.minimal.at(-1);
    const sizeOf = (number) => {
      const found = minimal?.match_of[number] ?? -1;
      return found < 0 ? Number.POSITIVE_INFINITY : minimal.size_a[found] + minimal.size_b[found];
    };
    const [critical] = this.critical;
    let best = 0;
    for (let number = 1; number < this.count; number++) {
      const [size, least] = [sizeOf(number), sizeOf(best)];
      // A dead neuron has no critical epsilon.
      const isCloser = critical[number] < (Number.isNaN(critical[best]) ? 2 : critical[best]);
      if (size < least || (size === least && isCloser)) best = number;
    }
    return this.name(best);
  }

  /** The name of a neuron: "a0" for the first of A. */
  name(number) {
    return number < this.countA ? `a${number}` : `b${number - this.countA}`;
  }

  /** The number of a neuron, or -1 if the name is wrong. */
  number(name) {
    const found = /^([ab])(\d+)$/.exec(name ?? "");
    if (!found) return -1;
    const own = Number(found[2]);
    const [first, count] = found[1] === "a" ? [0, this.countA] : [this.countA, this.countB];
    return own < count ? first + own : -1;
  }
}

/** The neurons of one minimal match, from their differences; undefined if the page omits them. */
export function membersOf(minimal, match) {
  let neuron = 0;
  return minimal.members[match]?.map((difference) => (neuron += difference));
}

/** The mean of a value over all pairs of a comparison, and the value of each pair. */
function overPairs(matches, valueOf) {
  const values = matches.map(valueOf);
  const pairs = matches.map((match, place) => ({ pair: match.record.pair, value: values[place] }));
  return { value: mean(values), pairs };
}

/** A run: the fields of its record, and its matches by pair and layer. */
class Run {
  constructor(record) {
    Object.assign(this, record);
    this.layerNames = record.layers.map((layer) => layer.layer);
    this.all = record.matches.map((own) => new Match(this, own));
    this.comparisons = [...new Set(record.pairs.map((pair) => pair.comparison))];
    this.byLayer = Map.groupBy(this.all, (own) => own.layer);
    this.areas = this.rows((matches, { area }) => ({
      ...overPairs(matches, (one) => one.area),
      crossFitted: area.cross_fitted ?? Number.NaN,
      chance: area.chance ?? Number.NaN,
      labels: area.labels ?? Number.NaN,
      low: area.low ?? Number.NaN,
      high: area.high ?? Number.NaN,
      pValue: area.p_value ?? Number.NaN,
    }));
  }

  /** One row per comparison and layer, from its matches and its part of the table summary. */
  rows(describe) {
    return this.summary.map((summary) => {
      const layer = this.layerNames[summary.layer];
      const { comparison: series, over } = summary;
      return { series, layer, over, ...describe(this.matchesOf(layer, series), summary) };
    });
  }

  /** The match of a pair in a layer, if the pair has that layer. */
  match(pair, layer) {
    return this.byLayer.get(layer)?.find((own) => own.record.pair === pair);
  }

  /** The matches of a layer, for one comparison or for all. */
  matchesOf(layer, comparison) {
    const all = this.byLayer.get(layer) ?? [];
    return comparison === undefined ? all : all.filter((own) => own.pair.comparison === comparison);
  }

  /** The layers that a pair has; with pair -1, those that some pair of the comparison has. */
  layersOf(comparison, pair) {
    return this.layerNames.filter((layer) => (pair < 0 ? this.matchesOf(layer, comparison).length : this.match(pair, layer)));
  }

  /** The similarity of every comparison and layer at an epsilon; cached for the last epsilon. */
  curves(epsilon) {
    if (this.cached?.epsilon !== epsilon) {
      const place = this.epsilons.indexOf(epsilon);
      // Intervals and consensus are only known at the epsilons of the grid.
      const onGrid = (values) => values?.[place] ?? Number.NaN;
      const rows = this.rows((matches, { low, high, consensus }) => ({
        ...overPairs(matches, (one) => one.similarity(epsilon)),
        crossFitted: meanCrossFitted(matches, epsilon),
        chance: mean(matches.map((one) => one.chance(epsilon))),
        labels: mean(matches.map((one) => one.labels(epsilon))),
        // The levels are those of the first draw.
        isAboveChance: matches.every((one) => one.similarities(epsilon)[0] > one.chance(epsilon)),
        isAboveLabels: matches.every((one) => one.similarities(epsilon)[0] > one.labels(epsilon)),
        low: onGrid(low),
        high: onGrid(high),
        consensus: onGrid(consensus),
      }));
      this.cached = { epsilon, rows };
    }
    return this.cached.rows;
  }

  /** The tiles of a neuron's images, strongest activation first, or -1; undefined without images. */
  tilesOf(network, layer, neuron) {
    const { ranks } = this.images ?? {};
    return this.tiles[network]?.[layer]?.slice(neuron * ranks, (neuron + 1) * ranks);
  }

  /** The two networks of a pair, in words. */
  pairName(pair) {
    const [a, b] = [this.networks[pair.a].name, this.networks[pair.b].name];
    return `${a} and ${b}`;
  }
}

export const runs = await load();
