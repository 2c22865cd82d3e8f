// The figures: Vega-Lite specifications, and the class that draws one on the page.

const { vegaEmbed } = window;
const TOP = { orient: "top", direction: "vertical" };
const PADDING = 4; // pixels around a figure
const SHARE = { format: "%", grid: true, tickCount: 5 };

/** Colours and type size of the style sheet, so that figures follow dark mode and print. */
function theme() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(`--${name}`).trim();
  const [ink, soft, line, series] = ["ink", "soft", "line", "series"].map(colour);
  const size = Number.parseFloat(getComputedStyle(document.body).fontSize);
  return { ink, soft, line, series: series.split(/\s+/), size };
}

const config = (colours, width) => ({
  background: "transparent",
  font: "system-ui, sans-serif",
  view: { stroke: null },
  axis: {
    labelColor: colours.ink,
    titleColor: colours.ink,
    gridColor: colours.line,
    domainColor: colours.soft,
    tickColor: colours.soft,
    labelFontSize: colours.size,
    titleFontSize: colours.size,
    titleFontWeight: "normal",
  },
  legend: {
    labelColor: colours.ink,
    titleColor: colours.ink,
    labelFontSize: colours.size,
    labelLimit: Math.min(400, width - 100), // beside the symbols and the axis
    symbolStrokeWidth: 2,
  },
  range: { category: colours.series },
});

const charts = [];

/** Resolves when the visible figures are drawn. */
export const drawn = () => Promise.all(charts.map((chart) => chart.built));

/**
 * A figure on the page. It is drawn when it becomes visible, and again when its width or the colours
 * change; otherwise only its data are updated.
 */
export class Chart {
  /**
   * specify(colours, width, height) returns the specification, which refers to data and parameters by name.
   * pick(datum, epsilon) is called on a click, point(datum, epsilon) when the pointer moves.
   */
  constructor(element, specify, { height = 260, renderer = "svg", pick, point } = {}) {
    Object.assign(this, { element, specify, height, renderer, pick, point });
    this.data = {};
    this.parameters = {};
    charts.push(this);
    element.classList.add("chart");
    element.style.minHeight = `${height}px`; // keeps the layout stable until it is drawn
    this.removal = new AbortController();
    this.observers = [
      new IntersectionObserver(([entry]) => {
        this.isVisible = entry.isIntersecting;
        this.draw();
      }, { rootMargin: "100px" }),
      new ResizeObserver(() => {
        if (this.width !== element.clientWidth) this.respecify();
      }),
    ];
    for (const observer of this.observers) observer.observe(element);
    for (const query of ["(prefers-color-scheme: dark)", "print"])
      matchMedia(query).addEventListener("change", () => this.respecify(), { signal: this.removal.signal });
  }

  /** Forget the figure: what observes it would keep it, and draw it again. */
  remove() {
    for (const observer of this.observers) observer.disconnect();
    this.removal.abort();
    this.turn = Number.NaN; // a drawing that was started is discarded
    this.made?.finalize();
    this.element.remove();
    charts.splice(charts.indexOf(this), 1);
  }

  /** Show other data and parameters; respecified if the specification changes too. */
  show(data, parameters = {}, respecified = false) {
    this.data = data;
    this.parameters = parameters;
    if (respecified) this.respecify();
    else this.draw();
  }

  /** Show other parameters with the same data. */
  move(parameters) {
    this.parameters = parameters;
    this.draw();
  }

  respecify() {
    this.isSpecified = false;
    this.draw();
  }

  draw() {
    if (!this.isVisible && !matchMedia("print").matches) return;
    if (this.isSpecified) this.fill();
    else this.built = this.embed();
  }

  async embed() {
    this.width = this.element.clientWidth;
    if (!this.width || !Object.keys(this.data).length) return;
    this.isSpecified = true;
    const colours = theme();
    const specification = {
      width: this.width,
      height: this.height,
      autosize: { type: "fit", contains: "padding" },
      padding: PADDING,
      datasets: this.data,
      params: Object.entries(this.parameters).map(([name, value]) => ({ name, value })),
      ...this.specify(colours, this.width, this.height),
    };
    const data = this.data;
    const turn = (this.turn = (this.turn ?? 0) + 1);
    const within = document.createElement("div");
    within.setAttribute("aria-hidden", "true"); // the parent has the label
    this.element.append(within);
    const made = await vegaEmbed(within, specification, {
      mode: "vega-lite",
      actions: false,
      tooltip: false,
      hover: false,
      renderer: this.renderer,
      config: config(colours, this.width),
    });
    // Discard this drawing if another one was started in the meantime.
    if (turn !== this.turn) {
      made.finalize();
      within.remove();
      return;
    }
    this.made?.finalize();
    this.made = made;
    this.view = made.view;
    this.filled = data;
    this.element.replaceChildren(within);
    const listener = (call) => (event, item) => call?.(item?.datum, this.valueAt(event));
    this.view.addEventListener("click", listener(this.pick));
    this.view.addEventListener("pointermove", listener(this.point));
    this.fill();
  }

  fill() {
    if (!this.view) return;
    for (const [name, rows] of Object.entries(this.data))
      if (rows !== this.filled[name]) this.view.data(name, rows);
    this.filled = this.data;
    for (const [name, value] of Object.entries(this.parameters)) this.view.signal(name, value);
    this.view.run();
  }

  /** The value on the horizontal axis at the pointer, if that axis is numeric. */
  valueAt(event) {
    const scale = this.view.scale("x");
    if (!scale.invert) return undefined;
    const left = this.element.getBoundingClientRect().left + PADDING + this.view.origin()[0];
    return scale.invert(event.clientX - left);
  }
}

const data = (name) => ({ data: { name } });
const STROKES = { symbolType: "stroke", symbolSize: 900 };
const legendPlace = (width) => ({
  ...STROKES,
  columns: 1,
  orient: width < 500 ? "bottom" : "right",
});
const quantitative = (field, more = {}) => ({ field, type: "quantitative", ...more });
const similarity = (field, title = "Similarity") =>
  // Levels of several comparisons lie behind each other, not on top.
  quantitative(field, { title, axis: SHARE, scale: { domain: [0, 1] }, stack: null });
const CHARACTER = 8; // pixels, of the labels of an axis
const LAYER_LABEL = 160; // pixels, of the longest label

/**
 * The labels of an axis of names, at most so many pixels long. Long names lose what all have in common at the
 * start, and then their middle, or as little beside it as tells them apart.
 */
function labelled(names, limit) {
  const most = Math.floor(limit / CHARACTER);
  let common = names.length > 1 ? names[0].length : 0;
  for (const name of names) while (!name.startsWith(names[0].slice(0, common))) common--;
  common = names[0].lastIndexOf(".", common - 1) + 1; // whole parts only
  const ends = names.map((name) => (name.length > most && common ? `…${name.slice(common)}` : name));
  const shortened = (head) => ends.map((name) =>
    (name.length <= most ? name : `${name.slice(0, head)}…${name.slice(name.length - (most - head - 1))}`));
  const middle = Math.ceil(most / 2);
  const heads = Array.from({ length: most }, (_, head) => head).sort((p, q) => Math.abs(p - middle) - Math.abs(q - middle));
  const labels = shortened(heads.find((head) => new Set(shortened(head)).size === names.length) ?? middle);
  const byName = Object.fromEntries(names.map((name, place) => [name, labels[place]]));
  return { labelLimit: 1.5 * limit, labelExpr: `${JSON.stringify(byName)}[datum.value]` };
}

const layerAxis = (names) => ({
  field: "layer",
  type: "ordinal",
  title: "Layer, from input to output",
  scale: { type: "band", domain: names },
  axis: { labelAngle: -90, labelOverlap: "greedy", ...labelled(names, LAYER_LABEL), grid: false },
});
/** How much higher a figure is whose layers have long names. */
export const higherBy = (names) =>
  Math.max(0, Math.min(LAYER_LABEL, CHARACTER * Math.max(...names.map((name) => name.length))) - 60);
const coloured = (domain) => ({
  field: "series",
  type: "nominal",
  title: null,
  scale: { domain },
  legend: domain.length > 1 ? { ...TOP, symbolOpacity: 1 } : null,
});
/** How much higher a figure is that has this legend of colours on top. */
const legendHeight = (domain, colours) => (domain.length > 1 ? Math.ceil(1.3 * colours.size * domain.length) : 0);
/** A line at the selected epsilon. */
const epsilonRule = (colours) => ({
  data: { values: [{}] },
  mark: { type: "rule", strokeDash: [5, 3], color: colours.ink },
  encoding: { x: { datum: { expr: "epsilon" }, type: "quantitative" } },
});

/** So many lines have colours and names of their own. */
export const MOST_NAMED = 8;

/** The lines of a figure by depth: their names, the fields of their values, and their dashes. */
const LINES = {
  "in-sample": { key: "value", dash: [1, 0] },
  "cross-fitted": { key: "crossFitted", dash: [7, 4] },
  consensus: { key: "consensus", dash: [12, 3, 2, 3] },
  "labels alone": { key: "labels", dash: [4, 2, 1, 2] },
  chance: { key: "chance", dash: [1.5, 3] },
};
const NAMES_OF_LINES = Object.keys(LINES);

/** The known points of all lines, of rows by comparison and layer. */
export const linesOf = (rows) =>
  NAMES_OF_LINES.flatMap((line) => rows
    .map(({ series, layer, [LINES[line].key]: value }) => ({ line, series, layer, value }))
    .filter(({ value }) => Number.isFinite(value)));

/**
 * Similarity or area by layer, one colour per comparison, or with more than MOST_NAMED one colour for the selected
 * comparison; the legend names the given lines. Data: bands, lines, pairs (thin), layers; parameter: layer.
 */
export const byDepth = (names, series, lines, title) => (colours, width, height) => {
  const isNamed = series.length <= MOST_NAMED;
  const color = isNamed ? coloured(series) : { value: colours.series[0] };
  const dash = {
    field: "line",
    type: "nominal",
    title: null,
    scale: { domain: NAMES_OF_LINES, range: Object.values(LINES).map((line) => line.dash) },
    legend: { ...STROKES, orient: "bottom", columns: width < 450 ? 2 : 3, values: lines },
  };
  const x = layerAxis(names);
  // A line needs two layers.
  const beside = names.length > 1 ? {} : { x: { ...x, bandPosition: 0.4 }, x2: { field: "layer", bandPosition: 0.6 } };
  const line = names.length > 1 ? "line" : "rule";
  return {
    height: height + (isNamed ? legendHeight(series, colours) : 0),
    encoding: { x },
    layer: [
      {
        ...data("bands"),
        mark: { type: "area", opacity: 0.22, clip: true },
        encoding: { y: similarity("chance", title), color },
      },
      {
        ...data("bands"),
        mark: { type: "area", opacity: 0.08, clip: true },
        encoding: { y: similarity("labels", title), color },
      },
      {
        ...data("bands"),
        mark: names.length > 1 ? { type: "area", opacity: 0.25 } : { type: "bar", opacity: 0.25, width: 8 },
        encoding: { y: similarity("low", title), y2: { field: "high" }, color },
      },
      {
        ...data("pairs"),
        mark: { type: line, strokeWidth: 1, opacity: 0.7 },
        encoding: { ...beside, y: similarity("value", title), color: isNamed ? color : { value: colours.soft },
          detail: { field: "pair" } },
      },
      {
        ...data("lines"),
        mark: { type: line, strokeWidth: 2 },
        encoding: { ...beside, y: similarity("value", title), color, strokeDash: dash },
      },
      {
        ...data("bands"),
        mark: { type: "point", filled: true, opacity: 1, size: names.length > 40 ? 18 : 50 },
        encoding: { y: similarity("value", title), color },
      },
      {
        ...data("layers"),
        transform: [{ filter: "datum.layer === layer" }],
        mark: { type: "rule", strokeDash: [5, 3], color: colours.ink },
      },
      // Invisible bars: a layer can be clicked at any height.
      { ...data("layers"), mark: { type: "rect", opacity: 0, tooltip: null, cursor: "pointer" } },
    ],
  };
};

/**
 * Similarity against epsilon, one line per pair; more than MOST_NAMED lines are thin, and more than
 * MOST_NAMED series have one colour and no legend. Data: chance, labels, draws, curves, fitted; parameter: epsilon.
 */
export const byEpsilon = (series, isThin) => (colours, width, height) => {
  const named = series.length <= MOST_NAMED;
  const colour = { detail: { field: "pair" }, ...(named ? { color: coloured(series) } : {}) };
  const x = quantitative("epsilon", {
    title: "Epsilon",
    scale: { domain: [0, 1], nice: false },
    axis: { grid: false },
  });
  return {
    height: height + (named ? legendHeight(series, colours) : 0),
    layer: [
      {
        ...data("chance"),
        mark: { type: "area", interpolate: "step-before", opacity: 0.25, color: colours.soft },
        encoding: { x, y: similarity("value") },
      },
      {
        ...data("labels"),
        mark: {
          type: "area",
          interpolate: "step-before",
          opacity: 0.12,
          color: colours.soft,
          line: { strokeDash: LINES["labels alone"].dash, strokeWidth: 1.5, color: colours.soft },
        },
        encoding: { x, y: similarity("value") },
      },
      {
        ...data("draws"),
        mark: { type: "line", interpolate: "step-after", strokeWidth: 0.7, color: colours.soft },
        encoding: { x, y: similarity("value"), detail: { field: "draw" } },
      },
      {
        ...data("curves"),
        mark: { type: "line", interpolate: "step-after", strokeWidth: isThin ? 1 : 2, opacity: isThin ? 0.6 : 1 },
        encoding: { x, y: similarity("value"), ...colour },
      },
      {
        ...data("fitted"),
        mark: {
          type: "line",
          interpolate: "step-after",
          strokeWidth: 1.5,
          strokeDash: LINES["cross-fitted"].dash,
        },
        encoding: { x, y: similarity("value"), ...colour },
      },
      epsilonRule(colours),
    ],
  };
};

/** Critical epsilons of both networks. Data: neurons; parameters: epsilon, neuron. */
export const criticals = (colours) => {
  const x = quantitative("critical", {
    title: "Critical epsilon of a neuron",
    scale: { domain: [0, 1], nice: false },
    axis: { tickCount: 5 },
  });
  const y = { field: "network", type: "nominal", title: "Network", scale: { domain: ["A", "B"] } };
  const yOffset = quantitative("jitter", { scale: { domain: [-0.15, 1.15] } });
  return {
    layer: [
      {
        ...data("neurons"),
        mark: { type: "point", filled: true, size: 30, opacity: 0.55, cursor: "pointer" },
        encoding: {
          x,
          y,
          yOffset,
          color: { field: "network", type: "nominal", legend: null },
          shape: {
            field: "network",
            type: "nominal",
            legend: null,
            scale: { domain: ["A", "B"], range: ["circle", "triangle"] },
          },
        },
      },
      {
        ...data("neurons"),
        transform: [{ filter: "datum.name === neuron" }],
        mark: { type: "point", size: 160, strokeWidth: 2.5, color: colours.ink, opacity: 1 },
        encoding: { x, y, yOffset },
      },
      epsilonRule(colours),
    ],
  };
};

/** Histogram of the sizes of minimal matches. Data: sizes. */
export const sizes = () => ({
  ...data("sizes"),
  mark: { type: "bar", minBandSize: 1 },
  encoding: {
    x: quantitative("from", {
      title: "Neurons in the minimal match",
      axis: { grid: false, format: "d", tickMinStep: 1 },
      scale: { nice: false },
      bin: { binned: true },
    }),
    x2: { field: "to" },
    y: quantitative("neurons", { title: "Neurons", axis: { tickMinStep: 1, tickCount: 5 } }),
    color: { ...coloured(["A", "B"]), field: "network" },
  },
});

/** The height of a heat map in pixels. */
export const HEAT_MAP = 420;

/** Layers by layers, or networks by networks: a of A against b of B. Data: cells. */
export const heatMap = (namesA, namesB, titles) => (colours, width) => {
  const axis = (field, title, domain, more) => ({
    field,
    type: "ordinal",
    title,
    scale: { type: "band", domain },
    axis: {
      labelOverlap: "greedy",
      ...labelled(domain, Math.min(LAYER_LABEL, width / 3)),
      grid: false,
      ticks: false,
      ...more,
    },
  });
  return {
    encoding: {
      x: axis("b", titles.b, namesB, { labelAngle: -90 }),
      y: { ...axis("a", titles.a, namesA.toReversed()), sort: "descending" },
    },
    layer: [
      {
        ...data("cells"),
        mark: { type: "rect", cursor: "pointer" },
        encoding: {
          color: quantitative("value", {
            title: null,
            scale: { domain: [0, 1], scheme: "viridis" },
            legend: { format: "%", orient: width < 420 ? "top" : "right", tickCount: 5 },
          }),
        },
      },
      ...(width / namesB.length < 50 || HEAT_MAP / namesA.length < 25 ? [] : [{
        ...data("cells"),
        transform: [{ filter: "datum.value >= 0.005" }], // rather empty than 0%
        mark: { type: "text", fontSize: 0.8 * colours.size },
        encoding: {
          text: quantitative("value", { format: ".0%" }),
          color: { condition: { test: "datum.value < 0.6", value: "#ffffff" }, value: "#1b1f24" },
        },
      }]),
    ],
  };
};

/** Measures by layer. Data: curves. */
export const measures = (names, series) => (colours, width, height) => ({
  ...data("curves"),
  // A legend below takes from the height.
  height: height + (width < 500 ? 1.5 * colours.size * series.length : 0),
  mark: { type: "line", point: true, strokeWidth: 1.5 },
  encoding: {
    x: layerAxis(names),
    y: quantitative("value", { title: "Similarity", axis: SHARE, scale: { domainMax: 1 } }),
    color: { ...coloured(series), legend: legendPlace(width) },
    strokeDash: { ...coloured(series), legend: legendPlace(width) },
    detail: { field: "series" },
  },
});
