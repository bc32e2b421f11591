// What each task loses against the teacher.
function buildTasks() {
  const there = DATA.tasks.filter(({ column }) =>
    CONFIGURATIONS.some((i) => loss(column, i) !== null),
  );
  if (!there.length) {
    byId("tasks-plots").replaceWith(
      make("p", {
        class: "quiet",
        text: "The teacher's scores are not among these rows, so losses are not known.",
      }),
    );
    byId("tasks-table").remove();
    return;
  }
  const plots = there.map((task) => {
    const element = make("div");
    byId("tasks-plots").append(
      make(
        "figure",
        {},
        make("figcaption", { text: `${task.heading}${task.unit ? ` (${task.unit})` : ""}` }),
        element,
      ),
    );
    picture(element, `Change of ${task.heading} against the teacher over file size`, () =>
      drawTask(task),
    );
    return element;
  });
  const table = () => {
    const panel = DATA.panels[0];
    const front = frontOf(MATCHING.filter(isFinished), panel.column, panel.more);
    fillTable(
      byId("tasks-table"),
      "Change against the teacher, the smallest file first",
      [
        "configuration",
        "size (kB)",
        ...there.map(({ heading, unit }) => `${heading}${unit ? ` (${unit})` : ""}`),
      ],
      front.map((i) => [
        rowLink(i),
        shown("size_bytes", i),
        ...there.map((task) => {
          const change = loss(task.column, i);
          return change === null ? NONE : signed(task.factor * change, task.decimals);
        }),
      ]),
    );
  };
  LISTENERS.push(() => (stale(plots), table()));
  CHOOSERS.push(() => stale(plots));
  table();
}

function loss(column, i) {
  const teacher = reference(runOf(i), "teacher");
  const [own, its] = [at(column, i), teacher === null ? null : at(column, teacher)];
  return own === null || its === null ? null : own - its;
}

function drawTask({ column, factor, more }) {
  const known = MATCHING.filter(
    (i) => isFinished(i) && at("size_bytes", i) !== null && loss(column, i) !== null,
  );
  const change = (i) => factor * loss(column, i);
  // The worst twentieth would flatten all others: they lie on the edge.
  const bad = known.map((i) => (more ? -change(i) : change(i))).sort((a, b) => a - b);
  const edge = (bad[Math.floor(0.9 * (bad.length - 1))] ?? 1) * 1.15 + 1e-9;
  const height = (i) => (more ? Math.max(change(i), -edge) : Math.min(change(i), edge));
  const drawn = thinned(known, (i) => Math.log(at("size_bytes", i)), height);
  const best = known.length ? Math.min(0, bad[0]) : 0;
  const room = edge - best;
  const range = more
    ? [-edge - 0.06 * room, -best + 0.12 * room]
    : [edge + 0.06 * room, best - 0.12 * room];
  return {
    height: 240,
    traces: [...marks(drawn, height, known.length > CROWD ? 5 : 7), ...ring(height)],
    look: {
      margin: { l: 48, r: 8, t: 6, b: 44 },
      xaxis: sizeAxis(known),
      yaxis: axis("", { range, zeroline: true, zerolinecolor: colour("muted"), nticks: 6 }),
    },
  };
}
