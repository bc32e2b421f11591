// How long a call takes, over the size of its file.
function buildLatency() {
  const home = byId("latency-plots");
  if (!DATA.profiles.length) {
    const words =
      "No latency was given: experiments.profile measures it, and --profiles=ITS_FOLDER shows it here.";
    home.append(make("p", { class: "quiet", text: words }));
  }
  for (const profile of DATA.profiles)
    for (const batch of new Set(profile.rows.map((row) => row.batch_size))) {
      const rows = profile.rows.filter((row) => row.batch_size === batch);
      const title = `${profile.title}: ${batch === 1 ? "1 frame" : `${batch} frames`} at a time`;
      const [element, details] = [
        make("div"),
        make("details", {}, make("summary", { text: "The times as a table" })),
      ];
      home.append(make("h3", { text: title }), element, details);
      latencyTable(details, title, rows);
      const airtime = profile.slot_ms > 0 ? batch * profile.slot_ms : null;
      picture(
        element,
        `Latency of ${rows.length} forms over file size, ${title}; the same numbers are in the table below`,
        () => drawLatency(rows, airtime, element),
      );
    }
}

function latencyTable(details, title, rows) {
  const scaled = (value, unit) => (value === null ? NONE : plain(value / unit, 1));
  fillTable(
    details,
    title,
    ["form", "p50 (ms)", "p95 (ms)", "frames/s", "faster (×)", "size (kB)", "memory (MiB)"],
    rows.map((row) => [
      row.form,
      plain(row.p50_ms, 3),
      plain(row.p95_ms, 3),
      plain(row.frames_per_s, 0),
      plain(row.times_faster, 2),
      scaled(row.size_bytes, 1000),
      scaled(row.memory_bytes, 2 ** 20),
    ]),
  );
}

// Forms with a file are marks, with a bar up to p95; those without one are lines, as is the airtime.
function drawLatency(rows, airtime, element) {
  const sized = rows.filter((row) => row.size_bytes !== null);
  const late = (row) => Math.max(row.p95_ms ?? 0, row.p50_ms);
  const levels = rows
    .filter((row) => row.size_bytes === null)
    .map((row) => [row.form, row.p50_ms, "dot"]);
  if (airtime) levels.push(["on the air", airtime, "dash"]);
  const margin = { l: 64, r: NARROW.matches ? 14 : 190, t: 14, b: 46 };
  const height = 400;
  const xaxis = logarithmic(
    "file size (kB)",
    sized.map((row) => row.size_bytes / 1000),
    1.8,
  );
  const yaxis = logarithmic("ms a call", [...rows.map(late), ...levels.map(([, ms]) => ms)], 1.5);
  const inner = {
    width: element.clientWidth - margin.l - margin.r,
    height: height - margin.t - margin.b,
  };
  const across = (kb) =>
    ((Math.log10(kb) - xaxis.range[0]) / (xaxis.range[1] - xaxis.range[0])) * inner.width;
  const down = (ms) =>
    ((yaxis.range[1] - Math.log10(ms)) / (yaxis.range[1] - yaxis.range[0])) * inner.height;
  const color = colour("accent");
  const names = sized.map((row) => ({
    row,
    text: row.form,
    x: across(row.size_bytes / 1000),
    y: down(row.p50_ms),
  }));
  const taken = [
    ...sized.map((row, k) => [names[k].x - 6, down(late(row)), names[k].x + 6, names[k].y + 6]),
    ...levels.map(([words, ms]) =>
      NARROW.matches
        ? [inner.width - EM * words.length, down(ms) - 16, inner.width, down(ms) + 2]
        : [0, down(ms) - 1, inner.width, down(ms) + 1],
    ),
  ];
  return {
    height,
    traces: [
      {
        type: "scatter",
        mode: "markers",
        x: sized.map((row) => row.size_bytes / 1000),
        y: sized.map((row) => row.p50_ms),
        marker: { size: 10, color },
        hoverinfo: "text",
        hovertext: sized.map(
          (row) =>
            `<b>${inPlot(row.form)}</b><br>p50 ${plain(row.p50_ms, 3)} ms, p95 ${plain(row.p95_ms, 3)} ms`,
        ),
        error_y: {
          type: "data",
          symmetric: false,
          array: sized.map((row) => late(row) - row.p50_ms),
          arrayminus: sized.map(() => 0),
          color,
          thickness: 1.4,
          width: 3,
        },
      },
    ],
    look: {
      margin,
      xaxis: { ...xaxis, automargin: false },
      yaxis: { ...yaxis, automargin: false },
      shapes: levels.map(([, ms, dash]) => ({
        type: "line",
        xref: "paper",
        x0: 0,
        x1: 1,
        layer: "below",
        y0: ms,
        y1: ms,
        line: { width: 1, dash, color: colour("muted") },
      })),
      annotations: [
        ...placedNames(names, inner.width, inner.height, taken).map(
          ({ row, text, ax, ay, xanchor }) => ({
            x: Math.log10(row.size_bytes / 1000),
            y: Math.log10(row.p50_ms),
            text: inPlot(text),
            ax,
            ay,
            xanchor,
            arrowhead: 0,
            arrowwidth: 0.6,
            standoff: 6,
            arrowcolor: colour("muted"),
            font: { size: 11, color: colour("ink") },
          }),
        ),
        ...apart(levels).map(levelName),
      ],
    },
  };
}

// A name at the right end of its line; on a phone above it.
function levelName([words, ms]) {
  const narrow = NARROW.matches;
  return {
    xref: "paper",
    x: 1,
    y: Math.log10(ms),
    text: inPlot(words),
    showarrow: false,
    xanchor: narrow ? "right" : "left",
    yanchor: narrow ? "bottom" : "middle",
    xshift: narrow ? 0 : 4,
    font: { size: 11, color: colour("muted") },
  };
}

// Heights of names, moved up where the one below is too near.
function apart(levels) {
  let last = 0;
  const rising = [...levels].sort((a, b) => a[1] - b[1]);
  return rising.map(([words, ms]) => [words, (last = Math.max(ms, last * 1.13))]);
}
