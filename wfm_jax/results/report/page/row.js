// The panel that shows one row whole, and how to make it again.
const PANEL = byId("row");
const CHOOSERS = []; // told of the row that is chosen, or of null
const GROUPS = [
  [
    "Scores",
    (name) =>
      /^(amc|gmi|ber_|snr_|channel|k_mae|los|retention|teacher_agreement|loss|validation)/.test(
        name,
      ),
  ],
  [
    "Costs",
    (name) =>
      /^(size|compression|flops|bit_ops|params|mean_bits|sparsity_achieved|wall_s)/.test(name),
  ],
  [
    "Where it comes from",
    (name) => /(hash|device|versions|config_id|status|stopped_at|kind|^run$)/.test(name),
  ],
  ["Settings", () => true],
];
const HIDDEN = new Set(["name", "last", "rank"]);
let chosenRow = null;
let openedBy = null;

function showRow(i, opener = document.activeElement) {
  chosenRow = i;
  openedBy = opener === PANEL || PANEL.contains(opener) ? openedBy : opener;
  const { text, remark } = command(i);
  const rank = at("rank", i);
  const standing = isReference(i)
    ? "reference"
    : at("status", i) !== "ok"
      ? at("status", i)
      : rank === 1
        ? "on the Pareto front"
        : `Pareto rank ${plain(rank)}`;
  const again = text
    ? [commandBox(text)]
    : [make("p", { class: "quiet", text: "Its command is not known." })];
  PANEL.replaceChildren(
    make(
      "div",
      { class: "panel-head" },
      make("h2", { id: "row-title", text: at("name", i) ?? NONE }),
      make("button", {
        type: "button",
        class: "close",
        "aria-label": "Close this row",
        text: "×",
        onclick: hideRow,
      }),
    ),
    make("p", { class: "quiet", text: [at("config_id", i), standing].filter(Boolean).join(" · ") }),
    make("p", { class: "key" }, ...keyFigures(i)),
    make("h3", { text: "Make it again" }),
    ...again,
    ...(remark ? [make("p", { class: "quiet", text: remark })] : []),
    ...(hasCurve(i)
      ? [
          make("button", {
            type: "button",
            text: "Add to the BER curves",
            onclick: () => addCurve(i),
          }),
        ]
      : []),
    ...groups(i),
  );
  PANEL.hidden = false;
  PANEL.scrollTop = 0;
  CHOOSERS.forEach((tell) => tell(i));
  PANEL.focus({ preventScroll: true });
}

function hideRow() {
  if (PANEL.hidden) return;
  PANEL.hidden = true;
  chosenRow = null;
  CHOOSERS.forEach((tell) => tell(null));
  if (openedBy?.isConnected) openedBy.focus({ preventScroll: true });
}

function keyFigures(i) {
  return ["retention", "size_bytes", "compression_ratio", "snr_loss_db"]
    .filter((name) => at(name, i) !== null)
    .map((name) =>
      make("span", {}, make("b", { text: withInterval(name, i) }), COLUMNS.get(name).heading),
    );
}

function groups(i) {
  const left = new Set(
    [...COLUMNS.keys()].filter((n) => !HIDDEN.has(n) && !n.endsWith("_ci95") && at(n, i) !== null),
  );
  return GROUPS.map(([title, has]) => {
    const own = [...left].filter(has);
    own.forEach((name) => left.delete(name));
    return own.length
      ? [
          make("h3", { text: title }),
          make(
            "dl",
            {},
            ...own.flatMap((name) => [
              make("dt", { title: COLUMNS.get(name).meaning, text: COLUMNS.get(name).heading }),
              make("dd", { text: withInterval(name, i) }),
            ]),
          ),
        ]
      : [];
  }).flat();
}
