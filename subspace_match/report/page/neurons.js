// The table of a layer's neurons, and the minimal match of the selected neuron.

import { membersOf } from "./data.js";
import { Numbers, byId, counted, h, listed, neuronWords, say, short } from "./dom.js";
import { change, listen, match, run, state } from "./state.js";

const ROW = 32; // pixels, as --row in the style sheet
const PARTNERS = 12; // neurons of one network that are shown at first

const COLUMNS = [
  { key: "name", title: "Neuron" },
  { key: "critical", title: "Critical epsilon" },
  { key: "size", title: "Size of minimal match" },
  { key: "norm", title: "Norm" },
];
/** What a critical epsilon is compared with: the column of the table of neurons. */
const LEVELS = { chance: "null_critical_epsilon", chance_p: "p_value", labels: "class_null_critical_epsilon",
  labels_p: "class_p_value" };
const BOUNDED = COLUMNS.slice(1);

/** One row per neuron of the layer. */
function rowsOf(own, minimal) {
  return Array.from(own.critical[0], (critical, number) => {
    const found = minimal ? minimal.match_of[number] : -1;
    const size = found < 0 ? Number.NaN : minimal.size_a[found] + minimal.size_b[found];
    return { number, name: own.name(number), critical, size, norm: own.norms[number] };
  });
}

/** All neurons of the layer with all digits, for the table of numbers. */
function numbersOf() {
  const own = match();
  const minimal = own.minimal(state.epsilon);
  const levels = Object.keys(LEVELS).filter((name) => own.record.neuron_levels[name]);
  const at = minimal ? `_at_${minimal.epsilon}` : "";
  return [
    ["comparison", "pair", "layer", "network", "neuron", ...own.critical.map((_, draw) => `critical_epsilon_draw_${draw}`),
      `minimal_match_size${at}`, "norm", ...levels.map((name) => LEVELS[name])],
    ...rowsOf(own, minimal).map(({ number, name, size, norm }) => [
      own.pair.comparison, run().pairName(own.pair), own.layer, name[0], Number(name.slice(1)),
      ...own.critical.map((draw) => draw[number]), size, norm,
      ...levels.map((level) => own.neuronLevels(number)[level] ?? Number.NaN)]),
  ];
}

/** A table that creates elements only for the visible rows, so that it can have thousands. */
class NeuronTable {
  constructor(element) {
    this.order = { key: "name", down: false };
    this.rows = [];
    this.shown = [];
    this.active = 0;
    this.body = h("tbody", { onkeydown: (event) => this.move(event) });
    this.headings = COLUMNS.map(({ key, title }) =>
      h("th", { scope: "col" }, h("button", { type: "button", onclick: () => this.sort(key) }, title)));
    const status = h("th", { scope: "col" }, "In the match");
    this.table = h("table", { class: "neuron-table" },
      h("caption", { class: "hidden" }, "Neurons of the layer, of both networks"),
      h("thead", {}, h("tr", {}, this.headings, status)), this.body);
    this.box = h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Table of neurons",
      onscroll: () => this.draw() }, this.table);
    element.append(this.box);
    new ResizeObserver(() => this.draw()).observe(this.box);
  }

  show(rows) {
    this.rows = rows;
    this.filter();
    this.follow();
  }

  sort(key) {
    this.order = { key, down: this.order.key === key && !this.order.down };
    this.filter();
  }

  /** Apply the filters and the order; neurons without a number come last. */
  filter() {
    const { key, down } = this.order;
    const rank = (row) => (key === "name" ? row.number : row[key]);
    const compare = (p, q) => {
      const [a, b] = [rank(p), rank(q)];
      if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
      return down ? b - a : a - b;
    };
    this.shown = this.rows.filter(filtering()).sort(compare);
    this.headings.forEach((heading, place) => {
      const isKey = COLUMNS[place].key === key;
      heading.setAttribute("aria-sort", isKey ? (down ? "descending" : "ascending") : "none");
    });
    const count = this.shown.length;
    say("neurons-count", count === this.rows.length
      ? `${counted(count, "neuron")}.`
      : `${count} of ${counted(this.rows.length, "neuron")}.`);
    this.table.setAttribute("aria-rowcount", count + 1);
    this.active = 0;
    this.box.scrollTop = 0;
    this.draw();
  }

  /** Continue keyboard navigation from the selected neuron, if it is listed. */
  follow() {
    const at = this.shown.findIndex((row) => row.name === state.neuron);
    this.active = Math.max(0, at);
    this.draw(); // gives the table its height
    if (at >= 0) this.reveal(at);
    this.draw();
  }

  reveal(at) {
    const head = this.table.tHead.offsetHeight;
    const { scrollTop, clientHeight } = this.box;
    if (at * ROW < scrollTop) this.box.scrollTop = at * ROW;
    else if ((at + 1) * ROW > scrollTop + clientHeight - head)
      this.box.scrollTop = (at + 1) * ROW - clientHeight + head;
  }

  draw() {
    const hasFocus = this.body.contains(document.activeElement);
    const first = Math.max(0, Math.floor(this.box.scrollTop / ROW) - 5);
    const last = Math.min(this.shown.length, first + Math.ceil(this.box.clientHeight / ROW) + 10);
    const gap = (rows) => h("tr", { "aria-hidden": "true", style: `height: ${rows * ROW}px` });
    // Tab must reach a row even if that from which arrow keys go on is scrolled out of sight.
    const isDrawn = this.active >= first && this.active < last;
    const tabbed = isDrawn ? this.active : Math.min(last - 1, Math.ceil(this.box.scrollTop / ROW));
    const rows = this.shown.slice(first, last).map((row, place) => this.row(row, first + place, tabbed));
    this.body.replaceChildren(gap(first), ...rows, gap(this.shown.length - last));
    if (hasFocus) this.body.querySelector("[tabindex='0']")?.focus({ preventScroll: true });
  }

  row(row, place, tabbed) {
    const isSelected = row.name === state.neuron;
    const select = () => change({ neuron: row.name });
    const button = h("button", { type: "button", tabindex: place === tabbed ? 0 : -1,
      onfocus: () => { this.active = place; },
      "aria-pressed": String(isSelected), onclick: select }, neuronWords(row.name));
    const within = match().drawsWith(row.number, state.epsilon);
    return h("tr", { "aria-rowindex": place + 2, class: isSelected ? "selected" : undefined },
      h("th", { scope: "row" }, button), h("td", {}, short(row.critical)), h("td", {}, short(row.size)),
      h("td", {}, short(row.norm)), h("td", {}, within));
  }

  /** Select another neuron with the arrow keys. */
  move(event) {
    const page = Math.floor(this.box.clientHeight / ROW) - 2;
    const last = this.shown.length - 1;
    const to = { ArrowDown: this.active + 1, ArrowUp: this.active - 1, PageDown: this.active + page,
      PageUp: this.active - page, Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    this.active = Math.min(last, Math.max(0, to));
    this.reveal(this.active);
    this.draw();
    change({ neuron: this.shown[this.active].name });
  }
}

/** Create the filters; filtering() reads them. */
function filters(update) {
  const option = (value, text) => h("option", { value }, text);
  const field = (key, title, bound) => h("input", { type: "number", step: "any", min: 0,
    name: `${key}-${bound}`, "aria-label": `${title}, at ${bound}`, oninput: update });
  byId("filters").append(
    h("label", {}, "Network ", h("select", { name: "network", onchange: update },
      option("", "both"), option("a", "A"), option("b", "B"))),
    ...BOUNDED.map(({ key, title }) =>
      h("span", {}, `${title} `, field(key, title, "least"), " to ", field(key, title, "most"))),
  );
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
}

/** A function that returns whether a row passes the filters. */
function filtering() {
  const { elements } = byId("filters");
  const network = elements.network.value;
  const bounds = BOUNDED.map(({ key }) => {
    const [least, most] = ["least", "most"].map((bound) => elements[`${key}-${bound}`].valueAsNumber);
    return { key, least, most, isEmpty: Number.isNaN(least) && Number.isNaN(most) };
  });
  // An empty field is NaN, and comparisons with NaN are false: it sets no bound.
  const isWithin = (row) => ({ key, least, most, isEmpty }) =>
    isEmpty || (!Number.isNaN(row[key]) && !(row[key] < least) && !(row[key] > most));
  return (row) => row.name.startsWith(network) && bounds.every(isWithin(row));
}

// The selected neuron

/** The images of a neuron, and a note if some are missing. */
export function strip(network, layer, neuron) {
  const { images } = run();
  const all = run().tilesOf(network, layer, neuron);
  if (!all) return [];
  const shown = all.filter((tile) => tile >= 0);
  const missing = all.length - shown.length;
  const labels = shown.map((tile) => images.label[tile]).join(", ");
  return [
    h("span", { class: "strip", role: "img",
      "aria-label": `The ${shown.length} images that activate it most, of classes ${labels}` },
    shown.map((tile) => h("span", { class: `tile run-${state.run}`,
      title: `image ${images.image[tile]}, class ${images.label[tile]}`,
      style: tileStyle(images, tile) }))),
    ...(missing ? [h("small", {}, `${missing} more did not fit into the page`)] : []),
  ];
}

const SIDE = 34; // pixels of a tile on the page

function tileStyle(images, tile) {
  const [column, row] = [tile % images.columns, Math.floor(tile / images.columns)];
  return `background-position: -${column * SIDE}px -${row * SIDE}px`;
}

/** Add one style rule per run, so that not every tile repeats the picture. */
function atlasStyle(runs) {
  const rules = runs.flatMap(({ images }, number) => (images
    ? [`.run-${number} { background-image: url(${images.url}); background-size: ${images.columns * SIDE}px auto }`]
    : []));
  document.head.append(h("style", {}, rules.join("\n")));
}

function partner(own, number) {
  const name = own.name(number);
  const isSelected = name === state.neuron;
  const images = number < own.countA
    ? strip(own.pair.a, own.layer, number)
    : strip(own.pair.b, own.layer, number - own.countA);
  return h("li", {},
    h("button", { type: "button", "aria-current": isSelected ? "true" : undefined,
      onclick: () => change({ neuron: name }) }, neuronWords(name)),
    images);
}

function members(own, numbers, title) {
  const list = h("ul", { class: "partners" }, numbers.slice(0, PARTNERS).map((one) => partner(own, one)));
  const rest = numbers.slice(PARTNERS);
  const more = () => {
    list.append(...rest.map((one) => partner(own, one)));
    list.children[PARTNERS].querySelector("button").focus();
    button.remove();
  };
  const button = h("button", { type: "button", onclick: more }, `Show ${rest.length} more`);
  return h("div", {}, h("h4", {}, `${title}: ${counted(numbers.length, "neuron")}`), list,
    rest.length ? [button] : []);
}

/** Whether a neuron matches by more than chance and labels explain, if known. */
function beyondChance(own, number) {
  const levels = own.neuronLevels(number);
  const of = (what, level, p) => (Number.isFinite(level)
    ? [`${p <= 0.05 ? "" : "not "}more than ${what} (needs less than ${short(level)}; p = ${short(p, 2)})`]
    : []);
  const known = [
    ...of("chance explains", levels.chance, levels.chance_p),
    ...of("labels alone explain", levels.labels, levels.labels_p),
  ];
  return known.length ? ` It is ${listed(known)}, not corrected for the other neurons.` : "";
}

function selected() {
  const own = match();
  const number = own.number(state.neuron);
  const name = neuronWords(state.neuron);
  const all = own.critical.map((draw) => draw[number]);
  const draws = all.length > 1 ? `; in all draws ${all.map((value) => short(value)).join(", ")}` : "";
  const heading = [
    h("h3", {}, `Neuron ${name} of ${own.layer}`),
    h("p", {}, Number.isNaN(all[0])
      ? "This neuron is dead: it is 0 for all samples and in no match."
      : `Critical epsilon ${short(all[0])}${draws}; norm ${short(own.norms[number])}.${beyondChance(own, number)}`),
  ];
  const minimal = own.minimal(state.epsilon);
  const found = minimal?.match_of[number] ?? -1;
  const alone = (sentence) => [...heading, h("p", {}, sentence), h("ul", { class: "partners" }, partner(own, number)),
    ...imagesNote()];
  if (!minimal) return alone("This run has no minimal matches in this layer: none were requested, or none was found.");
  if (found < 0) return alone(`It is not in the maximum match at epsilon ${minimal.epsilon}, so it has no minimal match.`);
  const neurons = membersOf(minimal, found);
  if (!neurons) return alone(`Its minimal match has ${minimal.size_a[found]} + ${minimal.size_b[found]} neurons, too many`
    + " for this page. The table minimal_match_members lists them.");
  const of = (isOwn) => neurons.filter(isOwn);
  const names = [own.pair.a, own.pair.b].map((one) => run().networks[one].name);
  return [
    ...heading,
    h("p", {}, `Its minimal match at epsilon ${minimal.epsilon}: a match that contains this neuron`
      + " and from which nothing can be left out. Its neurons in the two networks span each other; another"
      + " minimal match may be smaller."),
    h("div", { class: "side-by-side" },
      members(own, of((one) => one < own.countA), `Network A, ${names[0]}`),
      members(own, of((one) => one >= own.countA), `Network B, ${names[1]}`)),
    ...imagesNote(),
  ];
}

/** Show the selected neuron; the focus stays on it if it was on one of its partners. */
function showSelected() {
  const element = byId("neuron");
  const hadFocus = element.contains(document.activeElement);
  element.replaceChildren(...selected());
  if (hadFocus) element.querySelector("[aria-current=true]")?.focus();
}

function imagesNote() {
  const { images } = run();
  if (!images) return [h("p", {}, "The images that activate its neurons most are not available: the run has none, or they were moved.")];
  const left = images.total - images.image.length;
  const isOfInputs = run().layers[match().record.layer].kind === "fc";
  return [h("p", {}, "Next to each neuron: the images that activate it most, strongest activation first."
    + (isOfInputs ? "" : " Only the positions of the first draw count.")
    + (left ? ` ${left} of ${images.total} images did not fit into the page.` : ""))];
}

export function neurons(runs) {
  atlasStyle(runs);
  const table = new NeuronTable(byId("neurons"));
  const numbered = new Numbers(byId("neurons-numbers"), "neurons", numbersOf);
  filters(() => table.filter());
  let shown;
  listen(["run", "comparison", "pair", "layer", "epsilon", "neuron"], () => {
    const own = match();
    const minimal = own.minimal(state.epsilon);
    const isNew = shown?.own !== own || shown.minimal !== minimal;
    if (isNew) {
      shown = { own, minimal };
      const at = minimal ? `, size of the minimal match at epsilon ${minimal.epsilon}` : "";
      say("neurons-about", `Neurons of ${own.layer} in both networks (${run().pairName(own.pair)}): critical`
        + ` epsilon at the first draw${at}, and norm of its activations.`);
      table.show(rowsOf(own, minimal));
      numbered.update();
    } else if (shown.neuron !== state.neuron) table.follow();
    else table.draw();
    if (isNew || shown.neuron !== state.neuron) showSelected();
    shown.neuron = state.neuron;
  });
}
