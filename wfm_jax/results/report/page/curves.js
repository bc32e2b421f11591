// Bit error rates over SNR of chosen configurations and the references.
const REFERENCES = [
  ["teacher", "solid", "ink"],
  ["genie", "dot", "muted"],
  ["lmmse", "dash", "muted"],
  ["ls", "dashdot", "muted"],
];
const INKS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"];
const MOST_CURVES = 6;
const CURVES = JSON.parse(byId("curves-data").textContent);
const DRAWN_CURVES = [];

function curveOf(i) {
  for (const run of CURVES)
    if (run.ber[i]) return { snrs: run.snrs_db, bits: run.bits_per_symbol, ber: run.ber[i] };
  return null;
}
const hasCurve = (i) => curveOf(i) !== null;
let tellCurves = () => {};

function addCurve(i) {
  if (!DRAWN_CURVES.includes(i)) DRAWN_CURVES.push(i);
  if (DRAWN_CURVES.length > MOST_CURVES) DRAWN_CURVES.shift();
  tellCurves();
  hideRow();
  byId("curves").scrollIntoView();
}

function buildCurves() {
  const any = ROWS.find(hasCurve);
  if (any === undefined) {
    byId("curves-plot").replaceWith(
      make("p", {
        class: "quiet",
        text: "The run folder has no curves.parquet: a sweep writes it when it comes to its end, and it may be left out of a copy.",
      }),
    );
    byId("curves-table").remove();
    return;
  }
  const front = CONFIGURATIONS.filter((i) => at("rank", i) === 1);
  const wanted = DATA.chosen.some(hasCurve) ? DATA.chosen : front;
  DRAWN_CURVES.push(...wanted.filter(hasCurve).slice(0, 4));
  const { bits } = curveOf(any);
  const state = { constellation: bits[Math.min(1, bits.length - 1)] };
  const plot = byId("curves-plot");
  const refresh = () => {
    byId("curves-chosen").replaceChildren(
      ...DRAWN_CURVES.filter(hasCurve).map((i, k) =>
        make(
          "li",
          {},
          make("i", { style: `background:${lit(INKS[k % INKS.length])}` }),
          rowLink(i),
          make("button", {
            type: "button",
            "aria-label": `Take ${at("name", i)} out of the curves`,
            text: "×",
            onclick: () => (DRAWN_CURVES.splice(DRAWN_CURVES.indexOf(i), 1), refresh()),
          }),
        ),
      ),
    );
    const known = front.filter((i) => hasCurve(i) && !DRAWN_CURVES.includes(i));
    adding.replaceChildren(
      make("option", { value: "", text: "one of the front" }),
      ...known.map((i) =>
        make("option", { value: i, text: `${at("name", i)}, ${shown("size_bytes", i)} kB` }),
      ),
    );
    curveTable(state.constellation);
    stale([plot]);
  };
  const adding = choice([], (value) => value && (addCurve(Number(value)), refresh()));
  const constellation = choice(
    bits.map((m) => [m, `${2 ** m}-QAM`]),
    (value) => ((state.constellation = Number(value)), refresh()),
  );
  constellation.value = state.constellation;
  byId("curves-controls").append(labelled("Constellation", constellation), labelled("Add", adding));
  tellCurves = refresh;
  THEMED.push(refresh);
  picture(plot, "Bit error rate over SNR; the same numbers are in the table below", () =>
    drawCurves(state.constellation),
  );
  refresh();
}

// [row, words, dash, colour] of what is drawn: the references of a run that has curves, then the
// chosen.
function curveLines() {
  const run = runOf(ROWS.find(hasCurve));
  const known = REFERENCES.map(([name, dash, ink]) => [
    reference(run, name),
    name.endsWith("s") || name.startsWith("l") ? name.toUpperCase() : name,
    dash,
    colour(ink),
  ]);
  const own = DRAWN_CURVES.filter(hasCurve).map((i, k) => [
    i,
    at("name", i),
    "solid",
    lit(INKS[k % INKS.length]),
  ]);
  return [...known.filter(([i]) => i !== null && hasCurve(i)), ...own];
}

function drawCurves(constellation) {
  const traces = curveLines().map(([i, words, dash, color], k) => {
    const { snrs, bits, ber } = curveOf(i);
    const rates = ber[bits.indexOf(constellation)] ?? [];
    return {
      type: "scatter",
      mode: isReference(i) ? "lines" : "lines+markers",
      connectgaps: true,
      x: snrs,
      y: rates.map((rate) => (rate > 0 ? rate : null)),
      name: inPlot(words),
      customdata: snrs.map(() => i),
      line: { dash, color, width: isReference(i) ? 1.8 : 2.2 },
      marker: { size: 6, color, symbol: Object.keys(SHAPES)[k % 5] },
      hovertemplate: `<b>${inPlot(words).replaceAll("%", "%%").replaceAll("{", "(").replaceAll("}", ")")}</b><br>%{x} dB: BER %{y:.3g}<extra></extra>`,
    };
  });
  return {
    height: NARROW.matches ? 400 : 460,
    traces,
    look: {
      showlegend: true,
      legend: NARROW.matches
        ? { orientation: "h", y: -0.22 }
        : { x: 0.01, y: 0.02, yanchor: "bottom", bgcolor: colour("veil") },
      xaxis: axis("SNR (dB)"),
      yaxis: axis(`bit error rate, ${2 ** constellation}-QAM`, {
        type: "log",
        exponentformat: "power",
        dtick: 1,
        minor: { dtick: "D1", showgrid: false, ticks: "" },
      }),
    },
  };
}

function curveTable(constellation) {
  const lines = curveLines();
  const { snrs } = curveOf(ROWS.find(hasCurve));
  fillTable(
    byId("curves-table"),
    `Bit error rates, ${2 ** constellation}-QAM`,
    ["SNR (dB)", ...lines.map(([, words]) => words)],
    snrs.map((snr) => [
      plain(snr),
      ...lines.map(([i]) => {
        const curve = curveOf(i);
        const rate = curve.ber[curve.bits.indexOf(constellation)]?.[curve.snrs.indexOf(snr)];
        return rate === null || rate === undefined
          ? NONE
          : rate === 0
            ? "0"
            : rate.toExponential(2);
      }),
    ]),
  );
}
