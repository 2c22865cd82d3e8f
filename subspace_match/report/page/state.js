// The state of the page. The address contains it, so that a link shows what its sender saw.

import { runs } from "./data.js";
import { listed, say } from "./dom.js";

const listeners = [];

/** run and pair are numbers, pair is -1 for all pairs; comparison (that of the pair), layer and neuron are names. */
export const state = { run: 0, comparison: "", pair: 0, layer: "", neuron: "", epsilon: 0 };

export const run = () => runs[state.run];

/** The selected match; with all pairs selected, that of the first pair of the comparison that has the layer. */
export function match() {
  return state.pair < 0 ? run().matchesOf(state.layer, state.comparison)[0] : run().match(state.pair, state.layer);
}

/** Call update at the start and whenever one of these parts of the state changes. */
export function listen(names, update) {
  listeners.push({ names, update });
}

export function change(changes) {
  const before = { ...state };
  const wanted = { ...state, ...changes };
  if (changes.layer && !("pair" in changes)) Object.assign(wanted, having(wanted));
  Object.assign(state, valid(wanted));
  const names = Object.keys(state).filter((name) => state[name] !== before[name]);
  if (names.length) {
    say("not-here", "");
    showAddress();
    announce(names);
  }
}

/** What is wanted, or if it lacks the wanted layer, another pair that has it, of the same comparison if possible. */
function having({ run: number, comparison, pair, layer }) {
  const own = runs[number];
  if (own.layersOf(comparison, pair).includes(layer)) return {};
  const found = own.matchesOf(layer, comparison)[0] ?? own.matchesOf(layer)[0];
  return { comparison: found.pair.comparison, pair: pair < 0 ? pair : found.record.pair };
}

const ADDRESS_EVERY = 200; // milliseconds; Safari allows 100 changes of the address in 10 s
let shownAt = Number.NEGATIVE_INFINITY;
let lastAddress = location.hash; // that the page has shown or read
let waiting;

function showAddress() {
  clearTimeout(waiting);
  // The reader has changed it, which the page is about to learn.
  if (location.hash !== lastAddress) return;
  const wait = shownAt + ADDRESS_EVERY - performance.now();
  if (wait > 0) {
    waiting = setTimeout(showAddress, wait);
    return;
  }
  shownAt = performance.now();
  history.replaceState(null, "", `#${address()}`);
  lastAddress = location.hash;
}

function announce(names) {
  for (const listener of listeners)
    if (listener.names.some((name) => names.includes(name))) listener.update(names);
}

/** Show the state in the address; missing and invalid parts get their default. */
export function start() {
  follow((wanted) => {
    Object.assign(state, valid(wanted));
    announce(Object.keys(state));
  });
  addEventListener("hashchange", () => {
    lastAddress = location.hash;
    follow(change);
  });
}

/** Show what the address names, and say what of it is not shown. */
function follow(show) {
  const named = new URLSearchParams(location.hash.slice(1));
  show(fromAddress(named));
  sayWhatIsNotHere(named);
}

/** Say which parts of an address are not shown: a link may come from another version of the page, or be typed. */
function sayWhatIsNotHere(named) {
  const shown = parts();
  const lacking = Object.keys(shown).filter((name) => {
    const wanted = named.get(name);
    return wanted && wanted !== String(shown[name]) && Number(wanted) !== shown[name];
  });
  const words = (valueOf) => listed(lacking.map((name) => `${name} ${valueOf(name)}`));
  say("not-here", lacking.length
    ? `The address names ${words((name) => named.get(name))}, which this page does not have, or not with the rest. It shows ${words((name) => shown[name])}.`
    : "");
}

/** Every part of the state, as the address writes it. */
const parts = () => ({ ...state, pair: state.pair < 0 ? "all" : state.pair });

function address() {
  const { layer, neuron, epsilon, comparison, pair, run: number } = parts();
  const own = new URLSearchParams({ layer, neuron, epsilon });
  if (run().comparisons.length > 1) own.set("comparison", comparison);
  if (run().pairs.length > 1) own.set("pair", pair);
  if (runs.length > 1) own.set("run", number);
  return own.toString();
}

function fromAddress(own) {
  const part = (name) => own.get(name) ?? undefined;
  return {
    run: Number(part("run") ?? 0),
    comparison: part("comparison"),
    pair: part("pair") === "all" ? -1 : Number(part("pair") ?? Number.NaN),
    layer: part("layer"),
    neuron: part("neuron"),
    epsilon: Number(part("epsilon") ?? Number.NaN),
  };
}

/** Replace the invalid parts of a state by their default. */
function valid(wanted) {
  const number = runs[wanted.run] ? wanted.run : 0;
  const own = runs[number];
  const several = own.pairs.length > 1;
  const pair = own.pairs[wanted.pair] || (several && wanted.pair === -1) ? wanted.pair : several ? -1 : 0;
  const chosenComparison = own.comparisons.includes(wanted.comparison) ? wanted.comparison : own.comparisons[0];
  const comparison = own.pairs[pair]?.comparison ?? chosenComparison;
  const within = wanted.epsilon >= 0 && wanted.epsilon < 1;
  const epsilon = within ? wanted.epsilon : firstEpsilon(own);
  const known = own.layersOf(comparison, pair);
  const layer = known.includes(wanted.layer) ? wanted.layer : known[0];
  const chosen = pair < 0 ? own.matchesOf(layer, comparison)[0] : own.match(pair, layer);
  const neuron = chosen.number(wanted.neuron) < 0 ? chosen.firstNeuron : wanted.neuron;
  return { run: number, comparison, pair, layer, neuron, epsilon };
}

/** The largest epsilon with minimal matches, or the middle epsilon of the grid. */
function firstEpsilon(own) {
  const known = own.all.flatMap((match) => match.record.minimal.map((record) => record.epsilon));
  return known.length ? Math.max(...known) : own.epsilons[Math.floor(own.epsilons.length / 2)];
}
