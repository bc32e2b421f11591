// What all pictures share: theme, axes, marks, and that each is drawn when it comes into view.
const NARROW = matchMedia("(max-width: 700px)");
const CROWD = 200; // configurations, more of which hide one another
const SHAPES = {
  circle: "M0-5A5 5 0 1 1 0 5A5 5 0 1 1 0-5Z",
  square: "M-4.5-4.5H4.5V4.5H-4.5Z",
  "triangle-up": "M0-5.5L5.2 4H-5.2Z",
  "triangle-down": "M0 5.5L5.2-4H-5.2Z",
  diamond: "M0-5.8L5.8 0L0 5.8L-5.8 0Z",
};
const OF_RUN = ["", "-open", "-dot", "-open-dot"];
const DRAWN = new Map(); // how to draw, by the element that is drawn in

const DRAWING = new Set(); // what is being drawn now

const colour = (name) =>
  getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

// The colours are made for paper; on a dark page they are nearer to white.
function lit(color) {
  if (document.documentElement.dataset.theme !== "dark") return color;
  const parts = [1, 3, 5].map((k) => parseInt(color.slice(k, k + 2), 16));
  return `#${parts
    .map((part) =>
      Math.round(part + 0.3 * (255 - part))
        .toString(16)
        .padStart(2, "0"),
    )
    .join("")}`;
}
const THEMED = []; // called when the theme changes

// Plotly reads some markup in its texts: nothing of a file may be taken for it.
const inPlot = (text) =>
  String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

function axis(title, more = {}) {
  return {
    title: { text: title, standoff: 8 },
    gridcolor: colour("grid"),
    linecolor: colour("line"),
    zeroline: false,
    tickcolor: colour("line"),
    automargin: true,
    ...more,
  };
}

// A logarithmic axis around values, with ticks at 1, 2 and 5; of a short one at every digit.
function logarithmic(title, values, beyond = 1.25) {
  const known = values.filter((value) => value > 0);
  const low = known.reduce((a, b) => Math.min(a, b), Infinity) / beyond;
  const high = known.reduce((a, b) => Math.max(a, b), 0) * beyond;
  if (!(low < high)) return axis(title, { type: "log" });
  const inside = (digits) => {
    const ticks = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
      ticks.push(...digits.map((digit) => Number((digit * 10 ** power).toPrecision(3))));
    return ticks.filter((tick) => tick >= low && tick <= high);
  };
  const few = inside([1, 2, 5]);
  const tickvals =
    few.length > 2 ? few : inside([1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 4, 5, 6, 7, 8, 9]);
  return axis(title, {
    type: "log",
    range: [Math.log10(low), Math.log10(high)],
    tickvals,
    ticktext: tickvals.map((tick) => plain(tick)),
  });
}

const sizeAxis = (rows) =>
  logarithmic(
    "file size (kB)",
    rows.map((i) => at("size_bytes", i) / 1000),
  );

function layout(more) {
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    showlegend: false,
    autosize: true,
    font: { family: getComputedStyle(document.body).fontFamily, size: 13, color: colour("ink") },
    margin: { l: 56, r: 14, t: 14, b: 46 },
    hovermode: "closest",
    dragmode: NARROW.matches ? false : "zoom",
    hoverlabel: {
      bgcolor: colour("raised"),
      bordercolor: colour("line"),
      font: { family: getComputedStyle(document.body).fontFamily, color: colour("ink"), size: 12 },
      align: "left",
    },
    ...more,
  };
}
const CONFIG = {
  responsive: true,
  displaylogo: false,
  displayModeBar: false,
  doubleClick: "reset",
};

const seen = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries)
      if (isIntersecting && target.dataset.stale) redraw(target);
  },
  { rootMargin: "200px" },
);

function redraw(element) {
  delete element.dataset.stale;
  const { traces, look, height } = DRAWN.get(element)();
  element.style.height = `${height}px`;
  const drawn = Plotly.react(element, traces, layout(look), CONFIG).then(() => {
    if (element.dataset.hears) return;
    element.dataset.hears = "yes";
    element.on("plotly_click", ({ points }) => {
      const i = points.find((point) => Number.isInteger(point.customdata))?.customdata;
      if (i !== undefined) showRow(i, element);
    });
  });
  DRAWING.add(drawn);
  drawn.finally(() => DRAWING.delete(drawn));
}

// A picture that is drawn by draw() -> {traces, look, height} whenever it is stale and in view.
function picture(element, words, draw) {
  element.classList.add("plot");
  element.setAttribute("role", "img");
  element.setAttribute("aria-label", words);
  DRAWN.set(element, draw);
  element.dataset.stale = "yes";
  element.style.minHeight = "260px";
  seen.observe(element);
}

function stale(elements = [...DRAWN.keys()]) {
  for (const element of elements) {
    element.dataset.stale = "yes";
    seen.unobserve(element);
    seen.observe(element);
  }
}

// At most so many marks are drawn: where they crowd, the first stands for those beside it.
const MOST_MARKS = 800;

function thinned(rows, x, y) {
  if (rows.length <= MOST_MARKS) return rows;
  const places = [x, y].map((of) => {
    const values = rows.map(of);
    const low = values.reduce((a, b) => Math.min(a, b), Infinity);
    const span = values.reduce((a, b) => Math.max(a, b), -Infinity) - low || 1;
    return values.map((value) => (value - low) / span);
  });
  for (let cells = 180; ; cells *= 0.8) {
    const first = new Map();
    rows.forEach((i, k) => {
      const cell = Math.round(places[0][k] * cells) * 1000 + Math.round(places[1][k] * cells);
      if (!first.has(cell)) first.set(cell, i);
    });
    if (first.size <= MOST_MARKS) return [...first.values()];
  }
}

const HOVERS = []; // texts, made when they are first wanted
const hoverText = (i) => (HOVERS[i] ??= hoverOf(i));

function hoverOf(i) {
  const lines = [`<b>${inPlot(at("name", i))}</b>`];
  if (at("run", i) !== null) lines.push(inPlot(at("run", i)));
  for (const name of [
    "size_bytes",
    "compression_ratio",
    "retention",
    "snr_loss_db",
    "amc_accuracy",
    "gmi_fraction",
    "channel_nmse_db",
    "k_mae_db",
    "snr_mae_db",
    "los_accuracy",
    "seed",
  ])
    if (at(name, i) !== null)
      lines.push(`${inPlot(COLUMNS.get(name).heading)} ${inPlot(withInterval(name, i))}`);
  return lines.join("<br>");
}

// Rows by their last stage, with its look.
function byStage(rows) {
  return Object.entries(DATA.stages)
    .map(([stage, look]) => ({
      ...look,
      color: lit(look.color),
      own: rows.filter((i) => (at("last", i) ?? "") === stage),
    }))
    .filter(({ own }) => own.length);
}

// Marks of configurations, a trace for each last stage and run; y(i) is the height.
function marks(rows, y, size = rows.length > CROWD ? 6 : 9) {
  return DATA.commands.flatMap((_, run) =>
    byStage(rows.filter((i) => runOf(i) === run)).map(({ color, symbol, own }) => ({
      type: "scatter",
      mode: "markers",
      x: own.map((i) => at("size_bytes", i) / 1000),
      y: own.map(y),
      customdata: own,
      hovertext: own.map(hoverText),
      hoverinfo: "text",
      marker: {
        color,
        size,
        symbol: symbol + OF_RUN[run % OF_RUN.length],
        opacity: 0.9,
        line: { width: 0.7, color: run ? color : colour("paper") },
      },
    })),
  );
}

// Bars of intervals, one path a stage; ends(i) are the heights of a bar's ends.
function bars(rows, ends) {
  return byStage(rows).map(({ color, own }) => ({
    type: "scatter",
    mode: "lines",
    hoverinfo: "skip",
    line: { color, width: 1 },
    x: own.flatMap((i) => [at("size_bytes", i) / 1000, at("size_bytes", i) / 1000, null]),
    y: own.flatMap((i) => [...ends(i), null]),
  }));
}

// The chosen row among the marks.
function ring(y) {
  if (chosenRow === null || at("size_bytes", chosenRow) === null || !Number.isFinite(y(chosenRow)))
    return [];
  return [
    {
      type: "scatter",
      mode: "markers",
      x: [at("size_bytes", chosenRow) / 1000],
      y: [y(chosenRow)],
      hoverinfo: "skip",
      marker: { size: 18, symbol: "circle-open", color: colour("accent"), line: { width: 2.5 } },
    },
  ];
}

function legend() {
  const there = new Set(CONFIGURATIONS.map((i) => at("last", i) ?? ""));
  const entry = (symbol, color, words, filled = true) =>
    make("span", {}, swatch(symbol, color, filled), words);
  const entries = Object.entries(DATA.stages)
    .filter(([stage]) => there.has(stage))
    .map(([, { color, symbol, words }]) => entry(symbol, lit(color), words));
  const runs = COLUMNS.get("run") ? [...new Set(CONFIGURATIONS.map((i) => at("run", i)))] : [];
  const looks = ["filled", "hollow", "filled, with a dot", "hollow, with a dot"];
  byId("legend").replaceChildren(
    ...entries,
    ...(runs.length > 1
      ? runs.map((run, k) => make("span", { text: `${looks[k % looks.length]}: ${run}` }))
      : []),
  );
}

function swatch(symbol, color, filled) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  svg.setAttribute("viewBox", "-7 -7 14 14");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("d", SHAPES[symbol]);
  path.setAttribute("fill", filled ? color : "none");
  svg.append(path);
  return svg;
}

// Names beside marks, none on top of another: each takes the first free place around its mark, as
// results/labels.py does, and one that finds none is left out.
const DIRECTIONS = [
  [0, -1],
  [-1, -1],
  [1, -1],
  [-1, -0.5],
  [1, -0.5],
  [1, 1],
  [0, 1],
  [-1, 1],
];
const REACHES = [14, 22, 32, 44, 58, 74, 92];
const EM = 6.4; // pixels of a letter, about

// names: [{text, x, y, ...}] in pixels; taken: boxes [left, top, right, bottom] to keep clear of.
function placedNames(names, width, height, taken) {
  const boxes = [...taken];
  return names.flatMap((name) => {
    const length = EM * name.text.length;
    for (const reach of REACHES)
      for (const [right, down] of DIRECTIONS) {
        const [x, y] = [name.x + right * reach, name.y + down * reach];
        const left = right < 0 ? x - length : right > 0 ? x : x - length / 2;
        const box = [left - 3, y - 8, left + length + 3, y + 8];
        const fits = box[0] >= 0 && box[1] >= 0 && box[2] <= width && box[3] <= height;
        if (
          !fits ||
          boxes.some(
            (other) =>
              box[0] < other[2] && other[0] < box[2] && box[1] < other[3] && other[1] < box[3],
          )
        )
          continue;
        boxes.push(box);
        return [
          {
            ...name,
            ax: right * reach,
            ay: down * reach,
            xanchor: right < 0 ? "right" : right > 0 ? "left" : "center",
          },
        ];
      }
    return [];
  });
}
