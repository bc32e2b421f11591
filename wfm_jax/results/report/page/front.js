// Size against quality: the front, and everything behind it. The axis is linear within a unit of the
// ideal and logarithmic beyond it, because the files worth having crowd there.
function buildFront() {
  const there = DATA.panels.filter((panel) => CONFIGURATIONS.some((i) => at(panel.column, i) !== null));
  const home = byId("front-plots");
  if (!there.length) {
    home.replaceWith(make("p", { class: "quiet", text: "No configuration has both a size and a score yet." }));
    byId("front-table").remove();
    return;
  }
  const plots = there.map((panel) => {
    const element = make("div");
    home.append(element);
    picture(element, `${panel.label} over file size; the same front is in the table below`, () => drawFront(panel, element));
    return element;
  });
  const table = () => frontTable(there[0]);
  LISTENERS.push(() => (stale(plots), table()));
  CHOOSERS.push(() => stale(plots));
  table();
}

const stretched = (panel, value) => Math.asinh((value - panel.ideal) / panel.unit);

function drawFront(panel, element) {
  const limit = (value) => (panel.more ? Math.max(value, panel.worst) : Math.min(value, panel.worst));
  const height = (i) => stretched(panel, limit(at(panel.column, i)));
  const rows = MATCHING.filter((i) => isFinished(i) && at(panel.column, i) !== null && at("size_bytes", i) !== null);
  const front = frontOf(rows, panel.column, panel.more);
  const onFront = new Set(front);
  const ordered = [...front, ...rows.filter((i) => !onFront.has(i))];
  const drawn = thinned(ordered, (i) => Math.log(at("size_bytes", i)), height);
  const bars = (i) => {
    const half = at(`${panel.column}_ci95`, i);
    if (half === null || (rows.length > CROWD && !onFront.has(i))) return null;
    const value = at(panel.column, i);
    return [stretched(panel, limit(value + half)) - height(i), height(i) - stretched(panel, limit(value - half))];
  };
  const line = { type: "scatter", mode: "lines", x: front.map((i) => at("size_bytes", i) / 1000), y: front.map(height),
    line: { shape: "hv", width: 1.4, color: colour("muted") }, hoverinfo: "skip" };
  const heights = [...rows.map(height), stretched(panel, panel.ideal), stretched(panel, panel.reach)];
  const ends = [Math.min(...heights.slice(-2)), Math.max(...heights.slice(-2))];
  for (const value of heights) ends.splice(0, 2, Math.min(ends[0], value), Math.max(ends[1], value));
  const room = ends[1] - ends[0];
  const below = panel.more ? 0.06 : 0.12;
  const range = [ends[0] - below * room, ends[1] + (0.18 - below) * room];
  return {
    height: NARROW.matches ? 340 : 430,
    traces: [line, ...marks(drawn, height, bars), ...ring(height)],
    look: {
      xaxis: kilobytes(rows),
      yaxis: axis(panel.label, { range: panel.more ? range : range.reverse(),
        tickvals: panel.ticks.map((tick) => stretched(panel, tick)), ticktext: panel.ticks.map((tick) => plain(tick)) }),
      ...guides(panel, front, height, element),
    },
  };
}

// Lines of the references and the names of a few files of the front.
function guides(panel, front, height) {
  const lines = [["null", "dot"], ["teacher", "dashdot"]].map(([name, dash]) => [name, dash, reference(0, name)])
    .filter(([, , i]) => i !== null && at(panel.column, i) !== null).map(([name, dash, i]) => [name, dash, at(panel.column, i)]);
  if (panel.column === "retention") lines.push(["95 % kept", "dash", 0.95]);
  const inside = lines.filter(([, , value]) => (panel.more ? value >= panel.worst : value <= panel.worst));
  const named = front.filter((_, k) => k % Math.max(1, Math.ceil(front.length / (NARROW.matches ? 4 : 6))) === 0);
  return {
    shapes: inside.map(([, dash, value]) => ({ type: "line", xref: "paper", x0: 0, x1: 1, layer: "below",
      y0: stretched(panel, value), y1: stretched(panel, value), line: { width: 1, dash, color: colour("muted") } })),
    annotations: [
      ...inside.map(([name, , value]) => ({ xref: "paper", x: 1, y: stretched(panel, value), text: name, showarrow: false,
        xanchor: "right", yanchor: "bottom", font: { size: 11, color: colour("muted") } })),
      ...named.map((i) => ({ x: Math.log10(at("size_bytes", i) / 1000), y: height(i), text: inPlot(at("name", i)),
        ax: -26, ay: -26, xanchor: "right", arrowwidth: 0.7, arrowhead: 0, standoff: 5, arrowcolor: colour("muted"),
        font: { size: 11, color: colour("ink") }, bgcolor: colour("veil") })),
    ],
  };
}

function frontTable(panel) {
  const front = frontOf(MATCHING.filter(isFinished), panel.column, panel.more);
  const columns = ["size_bytes", "compression_ratio", "retention", "gmi_fraction", "snr_loss_db"].filter((n) => COLUMNS.has(n));
  fillTable(byId("front-table"), "Nothing else is as small and as good, the smallest file first",
    ["configuration", ...columns.map((name) => headed(COLUMNS.get(name)))],
    front.map((i) => [rowLink(i), ...columns.map((name) => shown(name, i))]));
}
