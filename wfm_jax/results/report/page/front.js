// Size against quality: the front, and everything behind it. The axis is linear within a unit of the
// ideal and logarithmic beyond it, because the files worth having crowd there.
function buildFront() {
  const there = DATA.panels.filter((panel) =>
    CONFIGURATIONS.some((i) => at(panel.column, i) !== null),
  );
  const home = byId("front-plots");
  if (!there.length) {
    home.replaceWith(
      make("p", { class: "quiet", text: "No configuration has both a size and a score yet." }),
    );
    byId("front-table").remove();
    return;
  }
  const plots = there.map((panel) => {
    const element = make("div");
    home.append(element);
    picture(element, `${panel.label} over file size; the same front is in the table below`, () =>
      drawFront(panel, element),
    );
    return element;
  });
  const table = () => frontTable(there[0]);
  LISTENERS.push(() => (stale(plots), table()));
  CHOOSERS.push(() => stale(plots));
  table();
}

const stretched = (panel, value) => Math.asinh((value - panel.ideal) / panel.unit);

function drawFront(panel, element) {
  const limit = (value) =>
    panel.more ? Math.max(value, panel.worst) : Math.min(value, panel.worst);
  const height = (i) => stretched(panel, limit(at(panel.column, i)));
  const rows = MATCHING.filter(
    (i) => isFinished(i) && at(panel.column, i) !== null && at("size_bytes", i) !== null,
  );
  const front = frontOf(rows, panel.column, panel.more);
  const onFront = new Set(front);
  const ordered = [...front, ...rows.filter((i) => !onFront.has(i))];
  const drawn = thinned(ordered, (i) => Math.log(at("size_bytes", i)), height);
  const barred = (rows.length > CROWD ? front : drawn).filter(
    (i) => at(`${panel.column}_ci95`, i) !== null,
  );
  const ends = (i) =>
    [-1, 1].map((sign) =>
      stretched(panel, limit(at(panel.column, i) + sign * at(`${panel.column}_ci95`, i))),
    );
  const line = {
    type: "scatter",
    mode: "lines",
    x: front.map((i) => at("size_bytes", i) / 1000),
    y: front.map(height),
    line: { shape: "hv", width: 1.4, color: colour("muted") },
    hoverinfo: "skip",
  };
  const heights = [
    ...rows.map(height),
    stretched(panel, panel.ideal),
    stretched(panel, panel.reach),
  ];
  const bottom = heights.reduce((a, b) => Math.min(a, b));
  const top = heights.reduce((a, b) => Math.max(a, b));
  const room = top - bottom;
  const [below, above] = panel.more ? [0.05, 0.12] : [0.12, 0.05];
  const range = [bottom - below * room, top + above * room];
  if (!panel.more) range.reverse();
  const tall = NARROW.matches ? 340 : 430;
  const margin = { l: 64, r: 14, t: 10, b: 46 };
  const xaxis = sizeAxis(rows);
  const inner = {
    width: element.clientWidth - margin.l - margin.r,
    height: tall - margin.t - margin.b,
  };
  const [low, high] = xaxis.range ?? [0, 1];
  const down = (y) => ((range[1] - y) / (range[1] - range[0])) * inner.height;
  const place = (i) => [
    ((Math.log10(at("size_bytes", i) / 1000) - low) / (high - low)) * inner.width,
    down(height(i)),
  ];
  const lines = guideLines(panel);
  const guideHeights = lines.map(({ y }) => down(y));
  return {
    height: tall,
    traces: [line, ...bars(barred, ends), ...marks(drawn, height), ...ring(height)],
    look: {
      margin,
      xaxis: { ...xaxis, automargin: false },
      yaxis: axis(panel.label, {
        range,
        automargin: false,
        tickvals: panel.ticks.map((tick) => stretched(panel, tick)),
        ticktext: panel.ticks.map((tick) => plain(tick)),
      }),
      ...guides(lines, names(front, drawn, place, guideHeights, inner), height),
    },
  };
}

// The front's names that find a place clear of marks and of the front's line.
function names(front, drawn, place, guideHeights, { width, height }) {
  const dots = drawn.map(place).map(([x, y]) => [x - 5, y - 5, x + 5, y + 5]);
  const corners = front.map(place);
  const steps = corners.slice(1).flatMap(([x, y], k) => [
    [corners[k][0], corners[k][1] - 2, x, corners[k][1] + 2],
    [x - 2, y, x + 2, corners[k][1]],
  ]);
  const end = width - 60; // where the references' names stand
  const ends = guideHeights.map((y) => [end, y - 17, width, y + 3]);
  const wanted = front.map((i, k) => ({
    i,
    text: at("name", i),
    x: corners[k][0],
    y: corners[k][1],
  }));
  return placedNames(
    wanted.filter(({ text }) => text.length < 32),
    width,
    height,
    [...dots, ...steps, ...ends],
  ).slice(0, NARROW.matches ? 5 : 12);
}

// Horizontal lines: the references, and what is wanted.
function guideLines(panel) {
  const value = (name) => {
    const i = reference(0, name);
    return i === null ? null : at(panel.column, i);
  };
  const lines = [
    ["null", "dot", value("null")],
    ["teacher", "dashdot", value("teacher")],
  ];
  if (panel.column === "retention") lines.push(["95 % kept", "dash", 0.95]);
  const isInside = (score) =>
    score !== null && (panel.more ? score >= panel.worst : score <= panel.worst);
  return lines
    .filter(([, , score]) => isInside(score))
    .map(([name, dash, score]) => ({ name, dash, y: stretched(panel, score) }));
}

function guides(lines, named, height) {
  const font = (name) => ({ size: 11, color: colour(name) });
  return {
    shapes: lines.map(({ dash, y }) => ({
      type: "line",
      xref: "paper",
      x0: 0,
      x1: 1,
      layer: "below",
      y0: y,
      y1: y,
      line: { width: 1, dash, color: colour("muted") },
    })),
    annotations: [
      ...lines.map(({ name, y }) => ({
        xref: "paper",
        x: 1,
        y,
        text: name,
        showarrow: false,
        xanchor: "right",
        yanchor: "bottom",
        font: font("muted"),
      })),
      ...named.map(({ i, text, ax, ay, xanchor }) => ({
        x: Math.log10(at("size_bytes", i) / 1000),
        y: height(i),
        text: inPlot(text),
        ax,
        ay,
        xanchor,
        arrowwidth: 0.7,
        arrowhead: 0,
        standoff: 5,
        arrowcolor: colour("muted"),
        font: font("ink"),
      })),
    ],
  };
}

function frontTable(panel) {
  const front = frontOf(MATCHING.filter(isFinished), panel.column, panel.more);
  const columns = [
    "size_bytes",
    "compression_ratio",
    "retention",
    "gmi_fraction",
    "snr_loss_db",
  ].filter((n) => COLUMNS.has(n));
  fillTable(
    byId("front-table"),
    "Nothing else is as small and as good, the smallest file first",
    ["configuration", ...columns.map((name) => headed(COLUMNS.get(name)))],
    front.map((i) => [rowLink(i), ...columns.map((name) => shown(name, i))]),
  );
}
