// Elements of the page. Text of a run's files goes in as text, never as markup.
const byId = (id) => document.getElementById(id);

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "text") element.textContent = value;
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

function labelled(words, control) {
  return make("label", { class: "control" }, make("span", { text: words }), control);
}

function choice(options, onchange) {
  const select = make("select", { onchange: () => onchange(select.value) });
  for (const [value, words] of options) select.append(make("option", { value, text: words }));
  return select;
}

// A small table in words beside a picture: headings, then lines of texts; numbers to the right.
function fillTable(details, caption, headings, lines) {
  details.querySelector(".scroll")?.remove();
  const head = make(
    "tr",
    {},
    ...headings.map((words) => make("th", { scope: "col", text: words })),
  );
  const body = lines.map((texts) =>
    make(
      "tr",
      {},
      ...texts.map((text) => {
        const content = text instanceof Node ? text : document.createTextNode(text);
        return make(
          "td",
          { class: typeof text === "string" && /^[+−]?[\d.]/.test(text) ? "n" : null },
          content,
        );
      }),
    ),
  );
  details.append(
    make(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
      make(
        "table",
        {},
        make("caption", { text: caption }),
        make("thead", {}, head),
        make("tbody", {}, ...body),
      ),
    ),
  );
}

// A name that opens its row.
function rowLink(i) {
  return make("button", {
    type: "button",
    class: "link",
    "data-row": i,
    text: at("name", i) ?? NONE,
  });
}

function copyButton(text) {
  return make("button", { type: "button", class: "copy", text: "Copy", "data-copy": text });
}

async function copy(button) {
  const text = button.dataset.copy ?? button.parentElement.querySelector("code").textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = make("textarea", { class: "away", "aria-hidden": "true" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  button.textContent = "Copied";
  setTimeout(() => (button.textContent = "Copy"), 1500);
}

// A command breaks between its words only, never behind the dashes of a flag.
function commandBox(text) {
  const words = text.split(" ").flatMap((word, k) => [k ? " " : "", make("span", { text: word })]);
  return make(
    "div",
    { class: "command" },
    make("pre", { tabindex: "0" }, make("code", {}, ...words)),
    copyButton(text),
  );
}
