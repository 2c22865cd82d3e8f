// The page's data, decoded when it is asked for, and what is counted from it.

const ARRAYS = {
  f8: Float64Array,
  f4: Float32Array,
  i4: Int32Array,
  u2: Uint16Array,
  u1: Uint8Array,
};

const content = JSON.parse(document.getElementById("data").textContent);
export const ABSENT = 0xffff; // in place of an image that had no room

/** An array from the base64 of its bytes. */
export function decoded(text, kind) {
  const raw = atob(text);
  const bytes = new Uint8Array(raw.length);
  for (let i = 0; i < raw.length; i++) bytes[i] = raw.charCodeAt(i);
  return new ARRAYS[kind](bytes.buffer);
}

/** How many of ascending numbers are <= bound; NaN, which comes last, is not. */
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

/** The quantile of numbers, interpolated as NumPy and pandas do. */
export function quantile(values, share) {
  const ascending = Float64Array.from(values).sort();
  const place = share * (ascending.length - 1);
  const below = Math.floor(place);
  const above = Math.min(below + 1, ascending.length - 1);
  return ascending[below] + (place - below) * (ascending[above] - ascending[below]);
}

export const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** One layer of one pair of networks. */
export class Match {
  constructor(run, record) {
    this.record = record;
    this.run = run;
    this.pair = run.pairs[record.pair];
    this.layer = run.layers[record.layer].layer;
    [this.countA, this.countB] = record.neurons;
    this.count = this.countA + this.countB;
  }

  /** Critical epsilons of A's and then B's neurons, an array a draw. */
  get critical() {
    const all = decoded(this.record.critical, "f8");
    const draws = Array.from({ length: this.record.draws }, (_, draw) =>
      all.subarray(draw * this.count, (draw + 1) * this.count),
    );
    return once(this, "critical", draws);
  }

  /** The same in ascending order, whatever network they are of. */
  get ascending() {
    return once(this, "ascending", this.critical.map((own) => own.slice().sort()));
  }

  /** Of all draws together: the mean curve is their distribution. */
  get pooled() {
    const all = decoded(this.record.critical, "f8").sort();
    return once(this, "pooled", all);
  }

  get norms() {
    return once(this, "norms", decoded(this.record.norm, "f4"));
  }

  /** Similarity that 5% of permutations exceed, at every hundredth of epsilon; null if not known. */
  get chanceCurve() {
    const curve = this.record.chance === null ? null : decoded(this.record.chance, "f8");
    return once(this, "chanceCurve", curve);
  }

  /** In each draw. */
  similarities(epsilon) {
    return this.ascending.map((own) => countWithin(own, epsilon) / this.count);
  }

  similarity(epsilon) {
    return mean(this.similarities(epsilon));
  }

  /** Between two hundredths it is the upper one's, so never too low; NaN where it is not known. */
  chance(epsilon) {
    const place = Math.ceil(epsilon * 100 - 1e-9);
    return this.chanceCurve?.[place] ?? Number.NaN;
  }

  /** Minimal matches at the epsilon nearest to one; undefined if the run has none of this layer. */
  minimal(epsilon) {
    const record = nearest(this.record.minimal, epsilon);
    if (!record) return undefined;
    this.decodedMinimal ??= new Map();
    if (!this.decodedMinimal.has(record)) this.decodedMinimal.set(record, decodedMinimal(record));
    return this.decodedMinimal.get(record);
  }

  /** The grid epsilon nearest to one, and what is proved there. */
  proof(epsilon) {
    return nearest(this.record.proof, epsilon);
  }

  /** A neuron by its number among A's and then B's, as the page writes it: "a0". */
  name(number) {
    return number < this.countA ? `a${number}` : `b${number - this.countA}`;
  }

  /** The number of a neuron by its name, or -1. */
  number(name) {
    const found = /^([ab])(\d+)$/.exec(name ?? "");
    if (!found) return -1;
    const own = Number(found[2]);
    const [first, count] = found[1] === "a" ? [0, this.countA] : [this.countA, this.countB];
    return own < count ? first + own : -1;
  }
}

function decodedMinimal(record) {
  const kept = decoded(record.kept, "u1");
  const [sizesA, sizesB] = [decoded(record.size_a, "u2"), decoded(record.size_b, "u2")];
  const bytes = decoded(record.members, "u1");
  let at = 0;
  // As payload.py writes them: differences, seven bits a byte.
  const members = Array.from(kept, (isKept, match) => {
    if (!isKept) return null;
    const own = [];
    let last = 0;
    for (let n = sizesA[match] + sizesB[match]; n > 0; n--) {
      let step = 0;
      for (let shift = 0; ; shift += 7) {
        step |= (bytes[at] & 0x7f) << shift;
        if (!(bytes[at++] & 0x80)) break;
      }
      last += step;
      own.push(last);
    }
    return own;
  });
  return { epsilon: record.epsilon, matchOf: decoded(record.match_of, "i4"), sizesA, sizesB, members };
}

/** The record whose epsilon is nearest to one, of equally near ones the larger. */
export function nearest(records, epsilon) {
  let best;
  for (const record of records)
    if (!best || Math.abs(record.epsilon - epsilon) <= Math.abs(best.epsilon - epsilon)) best = record;
  return best;
}

/** Keep what a getter made. */
function once(object, name, value) {
  Object.defineProperty(object, name, { value });
  return value;
}

/** What all pairs of one comparison say of a layer at an epsilon, as the table summary does. */
function summarised(matches, epsilon) {
  const draws = matches.map((match) => match.similarities(epsilon));
  const means = draws.map(mean);
  const all = draws.flat();
  return {
    value: mean(means),
    low: quantile(all, 0.025),
    high: quantile(all, 0.975),
    chance: mean(matches.map((match) => match.chance(epsilon))),
    draws: all.length,
    pairs: matches.map((match, number) => ({ pair: match.record.pair, value: means[number] })),
  };
}

/** A run: its record, with its matches by pair and layer. */
export class Run {
  constructor(record) {
    Object.assign(this, record);
    this.layerNames = record.layers.map((layer) => layer.layer);
    this.all = record.matches.map((own) => new Match(this, own));
    this.comparisons = [...new Set(record.pairs.map((pair) => pair.comparison))];
    this.byLayer = Map.groupBy(this.all, (own) => own.layer);
  }

  /** The match of a pair's layer, if the pair has that layer. */
  match(pair, layer) {
    return this.byLayer.get(layer)?.find((own) => own.record.pair === pair);
  }

  /** The matches of a layer, of one comparison or of all. */
  matchesOf(layer, comparison) {
    const all = this.byLayer.get(layer) ?? [];
    return comparison === undefined ? all : all.filter((own) => own.pair.comparison === comparison);
  }

  /** Of each comparison and layer the similarity at an epsilon; kept for as long as it is the same. */
  curves(epsilon) {
    if (this.kept?.epsilon !== epsilon) {
      const rows = this.comparisons.flatMap((series) =>
        this.layerNames.flatMap((layer) => {
          const matches = this.matchesOf(layer, series);
          return matches.length ? [{ series, layer, ...summarised(matches, epsilon) }] : [];
        }),
      );
      this.kept = { epsilon, rows };
    }
    return this.kept.rows;
  }

  /** The tiles of the images of all neurons of a layer, one after another; undefined without images. */
  tilesOf(network, layer) {
    const packed = this.tiles[network]?.[layer];
    if (!this.images || !packed) return undefined;
    this.decodedTiles ??= new Map();
    const key = `${network} ${layer}`;
    if (!this.decodedTiles.has(key)) this.decodedTiles.set(key, decoded(packed, "u2"));
    return this.decodedTiles.get(key);
  }

  /** A pair in words. */
  pairName(pair) {
    const [a, b] = [this.networks[pair.a].name, this.networks[pair.b].name];
    return `${a} and ${b}`;
  }
}

export const runs = content.runs.map((record) => new Run(record));
