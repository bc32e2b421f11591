// The whole table: sorted, searched, and a page of it at a time.
const PAGE = 50;
const TABLE = { view: "scores", sort: "rank", down: false, words: "", page: 0, rows: [] };

function buildTable() {
  const views = { ...DATA.views, commands: COLUMNS.has("name") ? ["name"] : [] };
  const search = make("input", {
    type: "search",
    placeholder: "for example: q-p-kd 4b smaller",
    autocomplete: "off",
    spellcheck: "false",
  });
  let waiting = 0;
  search.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => set({ words: search.value.trim().toLowerCase(), page: 0 }), 120);
  });
  byId("table-controls").append(
    labelled("Search", search),
    labelled(
      "View",
      choice(
        Object.keys(views).map((view) => [view, view]),
        (view) => set({ view, page: 0 }),
      ),
    ),
  );
  LISTENERS.push(() => set({ page: 0 }));
  CHOOSERS.push(() => markChosen());
  byId("table-scroll").append(
    make(
      "table",
      {},
      make("caption", {
        text: "Configurations and references; choose a name to see all of its row",
      }),
      make("thead"),
      make("tbody"),
    ),
  );
  if (!COLUMNS.has("rank")) TABLE.sort = null;
  set({});

  function set(changes) {
    Object.assign(TABLE, changes);
    TABLE.rows = sorted(found());
    head(views[TABLE.view]);
    body(views[TABLE.view]);
    pages();
  }

  function head(names) {
    const cells = names.map((name) => {
      const column = COLUMNS.get(name);
      const way = TABLE.sort === name ? (TABLE.down ? "descending" : "ascending") : "none";
      return make(
        "th",
        { scope: "col", "aria-sort": way, class: column.number ? "n" : null },
        make(
          "button",
          {
            type: "button",
            "data-sort": name,
            title: column.meaning || null,
            onclick: () => {
              set({ sort: name, down: TABLE.sort === name && !TABLE.down, page: 0 });
              byId("table-scroll")
                .querySelector(`[data-sort="${CSS.escape(name)}"]`)
                .focus();
            },
          },
          name === "name" ? "configuration" : headed(column),
          make("span", {
            "aria-hidden": "true",
            text: way === "none" ? "" : TABLE.down ? " ↓" : " ↑",
          }),
        ),
      );
    });
    if (TABLE.view === "commands") cells.push(make("th", { scope: "col", text: "command" }));
    byId("table-scroll")
      .querySelector("thead")
      .replaceChildren(make("tr", {}, ...cells));
  }

  function body(names) {
    const lines = TABLE.rows.slice(TABLE.page * PAGE, (TABLE.page + 1) * PAGE).map((i) => {
      const cells = names.map((name) =>
        name === "name"
          ? make("th", { scope: "row" }, rowLink(i))
          : make("td", { class: COLUMNS.get(name).number ? "n" : null, text: shown(name, i) }),
      );
      if (TABLE.view === "commands")
        cells.push(make("td", { class: "mono", text: command(i).text || NONE }));
      const kind = isReference(i)
        ? "is-reference"
        : at("status", i) !== "ok"
          ? "is-lost"
          : at("rank", i) === 1
            ? "is-front"
            : null;
      return make("tr", { "data-line": i, class: kind }, ...cells);
    });
    byId("table-scroll")
      .querySelector("tbody")
      .replaceChildren(...lines);
    markChosen();
  }

  function pages() {
    const last = Math.max(0, Math.ceil(TABLE.rows.length / PAGE) - 1);
    const go = (words, page, off) =>
      make("button", {
        type: "button",
        text: words,
        disabled: off,
        onclick: () => {
          set({ page });
          byId("table-scroll").scrollTop = 0;
          [...byId("table-pages").children]
            .find((button) => button.textContent === words && !button.disabled)
            ?.focus();
        },
      });
    const first = TABLE.rows.length ? TABLE.page * PAGE + 1 : 0;
    const end = Math.min(TABLE.rows.length, (TABLE.page + 1) * PAGE);
    byId("table-status").textContent = TABLE.rows.length
      ? `Rows ${first} to ${end} of ${TABLE.rows.length.toLocaleString("en")}.`
      : "No row matches.";
    byId("table-pages").replaceChildren(
      ...(last
        ? [
            go("First", 0, !TABLE.page),
            go("Before", TABLE.page - 1, !TABLE.page),
            make("span", { text: `${TABLE.page + 1} / ${last + 1}` }),
            go("Next", TABLE.page + 1, TABLE.page === last),
            go("Last", last, TABLE.page === last),
          ]
        : []),
    );
  }
}

// Rows that the filters leave (and the references) in which every word of the search is found.
function found() {
  const rows = [...ROWS.filter(isReference), ...MATCHING];
  const words = TABLE.words.split(/\s+/).filter(Boolean);
  return words.length
    ? rows.filter((i) => words.every((word) => haystack(i).includes(word) || isCalled(i, word)))
    : rows;
}

// A hash is found by its beginning: in its middle a "4b" is chance.
function isCalled(i, word) {
  return word.length >= 4 && HASHES.some((name) => at(name, i)?.startsWith(word));
}

const HASHES = ["config_id", "teacher_hash", "test_frames_hash"];

const TEXTS = []; // what is searched of a row, made when it is first wanted
const SEARCHED = DATA.columns
  .filter((column) => !column.number)
  .filter((column) => !["versions", "device", "last", ...HASHES].includes(column.name))
  .map(({ name }) => name);
function haystack(i) {
  return (TEXTS[i] ??= [
    ...new Set(SEARCHED.map((name) => at(name, i)).filter((text) => text !== null)),
  ]
    .join("\n")
    .toLowerCase());
}

// By the chosen column, what has no value last; then by size.
function sorted(rows) {
  const name = TABLE.sort;
  if (!name) return rows;
  const sign = TABLE.down ? -1 : 1;
  const keyed = rows.map((i) => ({ i, key: at(name, i), size: at("size_bytes", i) ?? 0 }));
  const isLess = (a, b) => (a < b ? -1 : a > b ? 1 : 0);
  keyed.sort((a, b) => {
    if (a.key === null || b.key === null)
      return (a.key === null) - (b.key === null) || a.size - b.size || a.i - b.i;
    return sign * isLess(a.key, b.key) || a.size - b.size || a.i - b.i;
  });
  return keyed.map(({ i }) => i);
}

function markChosen() {
  byId("table-scroll")
    .querySelectorAll("tbody tr")
    .forEach((line) =>
      line.classList.toggle(
        "is-chosen",
        Number(line.dataset.line) === chosenRow && chosenRow !== null,
      ),
    );
}
