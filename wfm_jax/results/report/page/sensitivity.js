// Which tensor suffers from what: a heat map, on a logarithmic scale from a thousandth.
const FLOOR = 1e-3;

function buildSensitivity() {
  const home = byId("sensitivity-plots");
  if (!DATA.cells.length) {
    home.append(
      make("p", {
        class: "quiet",
        text: "No sensitivity was given: experiments.sensitivity measures it, and --cells=ITS_FOLDER shows it here.",
      }),
    );
    return;
  }
  for (const map of DATA.cells) {
    const [element, details] = [
      make("div"),
      make("details", {}, make("summary", { text: "The map as a table" })),
    ];
    home.append(make("h3", { text: map.name }), element, details);
    const text = (i, j) =>
      map.rise[i][j] === null ? NONE : riseText(map.rise[i][j]) + (map.certain[i][j] ? "*" : "");
    fillTable(
      details,
      `Rise of the task loss, ${map.name}`,
      ["tensor", ...map.levels],
      map.tensors.map((name, i) => [name, ...map.levels.map((_, j) => text(i, j))]),
    );
    picture(
      element,
      `Rise of the task loss of ${map.tensors.length} tensors at ${map.levels.length} levels; the same numbers are in the table below`,
      () => drawMap(map, text),
    );
  }
}

const riseText = (value) =>
  Math.abs(value) < 5e-4
    ? "0"
    : Math.abs(value) < 1
      ? value.toFixed(3).replace("0.", ".")
      : plain(Number(value.toPrecision(3)));

function drawMap(map, text) {
  const scaled = (value) => (value === null ? null : Math.log10(Math.max(value, FLOOR)));
  const heights = map.rise.map((line) => line.map(scaled));
  const top = heights.flat().reduce((a, b) => Math.max(a, b ?? a), Math.log10(FLOOR) + 1);
  const ticks = Array.from(
    { length: Math.floor(top) - Math.log10(FLOOR) + 1 },
    (_, k) => Math.log10(FLOOR) + k,
  );
  return {
    height: 110 + 21 * map.tensors.length,
    traces: [
      {
        type: "heatmap",
        z: heights,
        x: map.levels.map(inPlot),
        y: map.tensors.map(inPlot),
        zmin: Math.log10(FLOOR),
        zmax: top,
        xgap: 1.5,
        ygap: 1.5,
        colorscale: [
          [0, colour("heat-0")],
          [0.5, colour("heat-1")],
          [1, colour("heat-2")],
        ],
        hoverinfo: "text",
        hovertext: map.rise.map((line, i) =>
          line.map(
            (_, j) => `${inPlot(map.tensors[i])}<br>${inPlot(map.levels[j])}: ${text(i, j)}`,
          ),
        ),
        text: map.rise.map((line, i) => line.map((_, j) => text(i, j))),
        texttemplate: NARROW.matches ? "" : "%{text}",
        textfont: { size: 11 },
        colorbar: {
          title: { text: "rise of loss", side: "right" },
          thickness: 12,
          outlinewidth: 0,
          len: 0.5,
          tickvals: ticks,
          ticktext: ticks.map((tick) => plain(10 ** tick)),
        },
      },
    ],
    look: {
      margin: { l: 60, r: 8, t: 34, b: 14 },
      xaxis: axis("", { type: "category", side: "top", showgrid: false }),
      yaxis: axis("", {
        type: "category",
        autorange: "reversed",
        showgrid: false,
        tickfont: { size: 11.5 },
        ticks: "",
      }),
    },
  };
}
