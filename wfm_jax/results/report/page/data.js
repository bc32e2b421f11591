// The page's data, read by column and row. Rows are numbered over all runs.
const DATA = JSON.parse(document.getElementById("data").textContent);
const NONE = "–";

function decoded(values) {
  if ("all" in values) return () => values.all;
  if ("codes" in values) return (i) => values.words[values.codes[i]];
  return (i) => values.each[i];
}

const COLUMNS = new Map(
  DATA.columns.map((column) => [column.name, { ...column, at: decoded(column.values) }]),
);
const ROWS = Array.from({ length: DATA.count }, (_, i) => i);

function at(name, i) {
  const column = COLUMNS.get(name);
  return column ? (column.at(i) ?? null) : null;
}

const isReference = (i) => at("kind", i) === "reference";
const FINISHED = ROWS.map((i) => !isReference(i) && at("status", i) === "ok");
const isFinished = (i) => FINISHED[i];
const CONFIGURATIONS = ROWS.filter((i) => !isReference(i));

// The run of a row, and the row of one of the run's references, or null.
const runOf = (i) => {
  let run = 0;
  let end = DATA.commands[0] ? DATA.commands[0].own.length : 0;
  while (i >= end && run + 1 < DATA.commands.length) end += DATA.commands[++run].own.length;
  return run;
};
const reference = (run, name) => DATA.references[run]?.[name] ?? null;

function plain(value, decimals = null) {
  if (value === null || value === undefined) return NONE;
  if (typeof value !== "number") return String(value);
  const text =
    decimals !== null
      ? value.toFixed(decimals).replace(/^-(0(\.0*)?)$/, "$1")
      : !Number.isInteger(value)
        ? String(Number(value.toPrecision(5)))
        : Math.abs(value) < 1e5
          ? String(value)
          : value.toLocaleString("en");
  return text.replace("-", "−");
}
const signed = (value, decimals) => `${value > 0 ? "+" : ""}${plain(value, decimals)}`;

// What a cell says: in its column's unit, without saying the unit.
function shown(name, i) {
  const column = COLUMNS.get(name);
  const value = at(name, i);
  if (value === null || !column) return NONE;
  if (!column.number) return String(value);
  if (name === "weight_bits" || name === "sparsity")
    return plain(Number((value * column.factor).toPrecision(5)));
  return plain(value * column.factor, column.decimals);
}

function withInterval(name, i) {
  const half = at(`${name}_ci95`, i);
  const unit = COLUMNS.get(name)?.unit;
  const width =
    half === null ? "" : ` ± ${plain(half * COLUMNS.get(name).factor, COLUMNS.get(name).decimals)}`;
  return at(name, i) === null ? NONE : `${shown(name, i)}${width}${unit ? ` ${unit}` : ""}`;
}

const headed = (column) => (column.unit ? `${column.heading} (${column.unit})` : column.heading);

// How a row's command goes: what all of its run share, and its own flags.
function command(i) {
  const run = runOf(i);
  const start = DATA.commands.slice(0, run).reduce((sum, other) => sum + other.own.length, 0);
  const known = DATA.commands[run];
  if (!known || !known.own[i - start])
    return { text: "", remark: known?.remarks[known.codes[i - start]] ?? "" };
  return {
    text: `${known.shared} ${known.own[i - start]}`,
    remark: known.remarks[known.codes[i - start]],
  };
}

// The smallest and best: no other of these rows is as small and as good. Smallest first.
function frontOf(rows, column, more) {
  const sign = more ? 1 : -1;
  const known = rows
    .map((i) => ({ i, size: at("size_bytes", i), quality: at(column, i) }))
    .filter(({ size, quality }) => size !== null && quality !== null)
    .sort((a, b) => a.size - b.size || sign * (b.quality - a.quality));
  const front = [];
  let best = { size: null, quality: -sign * Infinity };
  for (const own of known) {
    const ahead = sign * (own.quality - best.quality);
    if (ahead > 0 || (ahead === 0 && own.size === best.size)) {
      front.push(own.i);
      best = own;
    }
  }
  return front;
}
