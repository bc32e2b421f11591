// How long a call takes, over the size of its file.
function buildLatency() {
  const home = byId("latency-plots");
  if (!DATA.profiles.length) {
    home.append(
      make("p", {
        class: "quiet",
        text: "No latency was given: experiments.profile measures it, and --profiles=ITS_FOLDER shows it here.",
      }),
    );
    return;
  }
  for (const profile of DATA.profiles)
    for (const batch of new Set(profile.rows.map((row) => row.batch_size))) {
      const rows = profile.rows.filter((row) => row.batch_size === batch);
      const [element, details] = [
        make("div"),
        make("details", {}, make("summary", { text: "The times as a table" })),
      ];
      const frames = batch === 1 ? "1 frame" : `${batch} frames`;
      home.append(make("h3", { text: `${profile.title}: ${frames} at a time` }), element, details);
      fillTable(
        details,
        `${profile.title}, ${frames} at a time`,
        ["form", "p50 (ms)", "p95 (ms)", "frames/s", "faster", "size (kB)", "memory (MiB)"],
        rows.map((row) => [
          row.form,
          plain(row.p50_ms, 3),
          plain(row.p95_ms, 3),
          plain(row.frames_per_s, 0),
          plain(row.times_faster, 2),
          row.size_bytes === null ? NONE : plain(row.size_bytes / 1000, 1),
          row.memory_bytes === null ? NONE : plain(row.memory_bytes / 2 ** 20, 1),
        ]),
      );
      picture(
        element,
        `Latency of ${rows.length} forms, ${frames} at a time; the same numbers are in the table below`,
        () => drawLatency(rows, profile, batch),
      );
    }
}

function drawLatency(rows, profile, batch) {
  const sized = rows.filter((row) => row.size_bytes !== null);
  const others = rows.filter((row) => row.size_bytes === null);
  const trace = (own, x, color) => ({
    type: "scatter",
    mode: "markers",
    x: own.map(x),
    y: own.map((row) => row.p50_ms),
    marker: { size: 10, color },
    hoverinfo: "text",
    cliponaxis: false,
    hovertext: own.map(
      (row) =>
        `<b>${inPlot(row.form)}</b><br>p50 ${plain(row.p50_ms, 3)} ms, p95 ${plain(row.p95_ms, 3)} ms`,
    ),
    error_y: {
      type: "data",
      symmetric: false,
      array: own.map((row) => Math.max(0, (row.p95_ms ?? row.p50_ms) - row.p50_ms)),
      arrayminus: own.map(() => 0),
      color,
      thickness: 1.4,
      width: 3,
    },
  });
  const label = (row, x, k) => ({
    x,
    y: Math.log10(row.p50_ms),
    text: inPlot(row.form),
    showarrow: true,
    arrowhead: 0,
    arrowwidth: 0.6,
    arrowcolor: colour("muted"),
    ax: k % 2 ? 34 : -34,
    ay: k % 2 ? 20 : -20,
    xanchor: k % 2 ? "left" : "right",
    font: { size: 11, color: colour("ink") },
    bgcolor: colour("veil"),
  });
  const shape = { type: "line", xref: "paper", x0: 0, x1: 1, layer: "below" };
  const airtime = profile.slot_ms ? batch * profile.slot_ms : null;
  const highest = rows.reduce((top, row) => Math.max(top, row.p95_ms ?? row.p50_ms), 0);
  const lowest = rows.reduce((low, row) => Math.min(low, row.p50_ms), airtime ?? Infinity);
  return {
    height: NARROW.matches ? 380 : 400,
    traces: [trace(sized, (row) => row.size_bytes / 1000, colour("accent"))],
    look: {
      margin: { l: 56, r: NARROW.matches ? 14 : 190, t: 14, b: 46 },
      xaxis: logarithmic(
        "file size (kB)",
        sized.map((row) => row.size_bytes / 1000),
        1.8,
      ),
      yaxis: logarithmic("ms a call", [lowest, highest], 1.5),
      shapes: [
        ...others.map((row) => ({
          ...shape,
          y0: row.p50_ms,
          y1: row.p50_ms,
          line: { width: 1, dash: "dot", color: colour("muted") },
        })),
        ...(airtime
          ? [
              {
                ...shape,
                y0: airtime,
                y1: airtime,
                line: { width: 1, dash: "dash", color: colour("muted") },
              },
            ]
          : []),
      ],
      annotations: [
        ...sized.map((row, k) => label(row, Math.log10(row.size_bytes / 1000), k)),
        ...apart(others.map((row) => [row.form, row.p50_ms])).map(beside),
        ...(airtime ? [beside(["on the air", airtime])] : []),
      ],
    },
  };
}

// A name at the right end of its line; on a phone above it.
function beside([words, y]) {
  const narrow = NARROW.matches;
  return {
    xref: "paper",
    x: 1,
    y: Math.log10(y),
    text: inPlot(words),
    showarrow: false,
    xanchor: narrow ? "right" : "left",
    yanchor: narrow ? "bottom" : "middle",
    xshift: narrow ? 0 : 4,
    font: { size: 11, color: colour("muted") },
  };
}

// Heights of names, moved up where the one below is too near.
function apart(lines) {
  let last = 0;
  return lines
    .sort((a, b) => a[1] - b[1])
    .map(([words, y]) => [words, (last = Math.max(y, last * 1.13))]);
}
