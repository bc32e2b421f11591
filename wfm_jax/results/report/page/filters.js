// Which rows the pictures and the table show.
const FACTORS = [
  ["run", "Run"],
  ["pipeline", "Pipeline"],
  ["weight_bits", "Bits"],
  ["sparsity", "Sparsity"],
  ["structure", "Structure"],
  ["student", "Student"],
  ["seed", "Seed"],
];
const MOST_CHOICES = 40;
const LISTENERS = []; // called with nothing when the rows change
const LEFT_OUT = new Map(); // values that are not shown, by factor
const RANGES = new Map(); // [low, high] by factor, for numbers of many values

function matching() {
  return CONFIGURATIONS.filter((i) => {
    for (const [name, values] of LEFT_OUT) if (values.has(at(name, i))) return false;
    for (const [name, [low, high]] of RANGES) {
      const value = at(name, i);
      if (value !== null && (value < low || value > high)) return false;
    }
    return true;
  });
}
let MATCHING = CONFIGURATIONS;

function changed() {
  MATCHING = matching();
  sayHowMany();
  LISTENERS.forEach((listener) => listener());
}

function sayHowMany() {
  const [shown, all] = [MATCHING, CONFIGURATIONS].map((rows) => rows.length.toLocaleString("en"));
  const words =
    shown === all
      ? `All ${all} configurations are shown.`
      : `${shown} of ${all} configurations match the filters.`;
  const crowd = MATCHING.length > MOST_MARKS;
  byId("filtered").textContent =
    words + (crowd ? " Where marks crowd, one stands for those beside it." : "");
}

function buildFilters() {
  const form = byId("filters");
  form.addEventListener("submit", (event) => event.preventDefault());
  for (const [name, words] of FACTORS) {
    const values = [...new Set(CONFIGURATIONS.map((i) => at(name, i)))];
    const known = values.filter((value) => value !== null);
    if (!known.length || values.length < 2 || (name === "seed" && known.length < 2)) continue;
    const numeric = COLUMNS.get(name).number;
    values.sort((a, b) => (a === null) - (b === null) || (numeric ? a - b : 0));
    form.append(
      numeric && values.length > MOST_CHOICES
        ? range(name, words, values)
        : choices(name, words, values),
    );
  }
  const reset = make("button", {
    type: "button",
    text: "Show all",
    onclick: () => {
      LEFT_OUT.clear();
      RANGES.clear();
      form.querySelectorAll("input[type=checkbox]").forEach((box) => (box.checked = true));
      form.querySelectorAll("input[type=number]").forEach((box) => (box.value = ""));
      form.querySelectorAll("summary b").forEach((mark) => (mark.textContent = ""));
      changed();
    },
  });
  form.append(reset);
  // One list is open at a time; a click elsewhere and Escape close it.
  document.addEventListener("click", (event) =>
    closeOthers(event.target.closest?.("details.filter")),
  );
  form.addEventListener("keydown", (event) => {
    const open = event.target.closest("details.filter[open]");
    if (event.key !== "Escape" || !open) return;
    open.open = false;
    open.querySelector("summary").focus();
    event.stopPropagation();
  });
}

const closeOthers = (kept) =>
  document.querySelectorAll("details.filter[open]").forEach((other) => {
    if (other !== kept) other.open = false;
  });

const SAID = {
  weight_bits: (v) => `${v} bits`,
  sparsity: (v) => `${plain(Number((100 * v).toPrecision(5)))} %`,
};
const UNSAID = { weight_bits: "not quantized", sparsity: "not pruned", structure: "not pruned" };

function choices(name, words, values) {
  const mark = make("b");
  const boxes = values.map((value) => {
    const box = make("input", { type: "checkbox", checked: true });
    box.addEventListener("change", () => set([[value, box.checked]]));
    const text = value === null ? (UNSAID[name] ?? "none") : (SAID[name]?.(value) ?? String(value));
    return { box, value, label: make("label", {}, box, text) };
  });
  function set(changes) {
    const out = LEFT_OUT.get(name) ?? new Set();
    for (const [value, there] of changes) there ? out.delete(value) : out.add(value);
    out.size ? LEFT_OUT.set(name, out) : LEFT_OUT.delete(name);
    mark.textContent = out.size ? ` ${values.length - out.size}/${values.length}` : "";
    changed();
  }
  const all = (there) => () => {
    boxes.forEach(({ box }) => (box.checked = there));
    set(values.map((value) => [value, there]));
  };
  return folded(
    name,
    words,
    mark,
    make(
      "div",
      { class: "both" },
      make("button", { type: "button", text: "All", onclick: all(true) }),
      make("button", { type: "button", text: "None", onclick: all(false) }),
    ),
    make("div", { class: "boxes" }, ...boxes.map(({ label }) => label)),
  );
}

function range(name, words, values) {
  const known = values.filter((value) => value !== null);
  const factor = COLUMNS.get(name).factor;
  const mark = make("b");
  const ends = [known[0], known[known.length - 1]].map((end) =>
    make("input", {
      type: "number",
      step: "any",
      placeholder: plain(Number((end * factor).toPrecision(4))),
    }),
  );
  const read = () => {
    const [low, high] = ends.map((input) =>
      input.value === "" ? null : Number(input.value) / factor,
    );
    low === null && high === null
      ? RANGES.delete(name)
      : RANGES.set(name, [low ?? -Infinity, high ?? Infinity]);
    mark.textContent = RANGES.has(name) ? " set" : "";
    changed();
  };
  ends.forEach((input) => input.addEventListener("change", read));
  return folded(
    name,
    words,
    mark,
    labelled("at least", ends[0]),
    labelled("at most", ends[1]),
  );
}

// A filter that opens: its name, whether it is set, and what sets it.
function folded(name, words, mark, ...inside) {
  const legend = make("legend", { class: "away", text: words });
  return make(
    "details",
    { class: "filter", "data-factor": name },
    make("summary", {}, words, mark),
    make("fieldset", {}, legend, ...inside),
  );
}
