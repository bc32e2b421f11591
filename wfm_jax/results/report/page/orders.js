// Paired differences between pipelines.
const MOST_BARS = 60;
const OF_METRIC = {
  amc_accuracy: ["AMC accuracy", 100, "points", 1],
  gmi_fraction: ["GMI fraction", 1, "", 4],
};

function buildOrders() {
  const all = DATA.contrasts;
  if (!all.length) {
    byId("orders-plot").replaceWith(
      make("p", {
        class: "quiet",
        text:
          "No paired differences were stored with these rows: " +
          "either no two pipelines met at the same operating point, or the run has not come to its end. The verdict compares by separate intervals.",
      }),
    );
    byId("orders-table").remove();
    return;
  }
  const pairs = [...new Set(all.map(({ pair }) => pair))];
  const metrics = [...new Set(all.map(({ metric }) => metric))];
  const fits = all.length <= MOST_BARS * metrics.length;
  const state = { metric: metrics[0], pair: fits ? "" : pairs[0] };
  const plot = byId("orders-plot");
  const update = () => (stale([plot]), table());
  byId("orders-controls").append(
    labelled(
      "Score",
      choice(
        metrics.map((name) => [name, OF_METRIC[name]?.[0] ?? name]),
        (value) => ((state.metric = value), update()),
      ),
    ),
    labelled(
      "Pair",
      choice(
        [...(fits ? [["", "all pairs"]] : []), ...pairs.map((pair) => [pair, pair])],
        (value) => ((state.pair = value), update()),
      ),
    ),
  );
  const own = () =>
    all.filter(
      ({ metric, pair }) => metric === state.metric && (!state.pair || pair === state.pair),
    );
  const table = () => {
    const [words, factor, unit, decimals] = OF_METRIC[state.metric] ?? [state.metric, 1, "", 4];
    const text = (value) => signed(factor * value, decimals);
    fillTable(
      byId("orders-table"),
      `Difference in ${words}${unit ? `, ${unit}` : ""}, with its 95 % interval`,
      ["pair", "at", "seed", "difference", "low", "high", "beyond zero"],
      own().map((d) => [
        d.pair,
        `${d.run && DATA.commands.length > 1 ? `${d.run}: ` : ""}${d.where}`,
        plain(d.seed),
        text(d.difference),
        text(d.low),
        text(d.high),
        d.low > 0 || d.high < 0 ? "yes" : "no",
      ]),
    );
  };
  picture(plot, "Paired differences with intervals; the same numbers are in the table below", () =>
    drawOrders(own(), state.metric),
  );
  table();
}

function drawOrders(all, metric) {
  const [words, factor, unit, decimals] = OF_METRIC[metric] ?? [metric, 1, "", 4];
  const text = (value) => signed(factor * value, decimals);
  const own = all.slice(0, MOST_BARS).reverse();
  const several = new Set(own.map(({ seed }) => seed)).size > 1;
  const isOpen = (d) => d.low <= 0 && d.high >= 0;
  const where = (d) =>
    `${d.where}${DATA.commands.length > 1 ? `, ${d.run}` : ""}${several ? `, seed ${plain(d.seed)}` : ""}`;
  const pairs = [...new Set(own.map(({ pair }) => pair))];
  // Lines are numbered from below, with a gap between pairs.
  let line = 0;
  const lines = own.map((d, k) => (line += k && own[k - 1].pair !== d.pair ? 2.2 : 1));
  const trace = (open) => {
    const places = own.map((_, k) => k).filter((k) => isOpen(own[k]) === open);
    const color = open ? colour("muted") : colour("accent");
    return {
      type: "scatter",
      mode: "markers",
      x: places.map((k) => factor * own[k].difference),
      y: places.map((k) => lines[k]),
      marker: { size: 8, color, symbol: open ? "circle-open" : "circle" },
      hoverinfo: "text",
      hovertext: places.map(
        (k) =>
          `<b>${inPlot(own[k].pair)}</b><br>${inPlot(where(own[k]))}<br>${text(own[k].difference)} [${text(own[k].low)}, ${text(own[k].high)}] ${unit}`,
      ),
      error_x: {
        type: "data",
        symmetric: false,
        color,
        thickness: 1.6,
        width: 3,
        array: places.map((k) => factor * (own[k].high - own[k].difference)),
        arrayminus: places.map((k) => factor * (own[k].difference - own[k].low)),
      },
    };
  };
  const titles = pairs.map((pair) => ({
    pair,
    y: Math.max(...lines.filter((_, k) => own[k].pair === pair)) + 0.95,
  }));
  const longest = Math.max(...own.map((d) => where(d).length));
  const left = Math.min(NARROW.matches ? 168 : 320, Math.max(112, 6.6 * longest + 14));
  const more = all.length > MOST_BARS ? `; the first ${MOST_BARS} of ${all.length}` : "";
  return {
    height: 90 + 19 * (line + 1.5),
    traces: [trace(false), trace(true)],
    look: {
      margin: { l: left, r: 14, t: 10, b: 48 },
      xaxis: axis(`difference in ${words}${unit ? ` (${unit})` : ""}${more}`, {
        zeroline: true,
        zerolinecolor: colour("muted"),
        zerolinewidth: 1.2,
      }),
      yaxis: axis("", {
        tickvals: lines,
        ticktext: own.map((d) => inPlot(where(d))),
        showgrid: false,
        automargin: false,
        tickfont: { size: 12, color: colour("muted") },
        range: [0, line + 1.6],
        ticks: "",
      }),
      annotations: titles.map(({ pair, y }) => ({
        xref: "paper",
        x: 0,
        xanchor: "left",
        xshift: 6 - left,
        y,
        text: `<b>${inPlot(pair)}</b>`,
        showarrow: false,
        font: { size: 12.5, color: colour("ink") },
      })),
    },
  };
}
