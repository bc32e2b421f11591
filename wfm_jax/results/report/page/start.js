// Theme, clicks, and the first drawing.
function setTheme(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  const button = byId("theme");
  button.textContent = dark ? "Light" : "Dark";
  button.setAttribute("aria-label", `Use the ${dark ? "light" : "dark"} theme`);
  THEMED.forEach((redo) => redo());
  stale();
}

const prefersDark = matchMedia("(prefers-color-scheme: dark)");
byId("theme").addEventListener("click", () => {
  isChosen = true;
  setTheme(document.documentElement.dataset.theme !== "dark");
});
// As the system says, until one chooses.
let isChosen = false;
prefersDark.addEventListener("change", () => isChosen || setTheme(prefersDark.matches));
NARROW.addEventListener("change", () => stale());

document.addEventListener("click", (event) => {
  const opener = event.target.closest?.("[data-row]");
  const copying = event.target.closest?.(".copy");
  if (opener) showRow(Number(opener.dataset.row), opener);
  if (copying) copy(copying);
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") hideRow();
});

THEMED.push(legend);
buildFilters();
buildFront();
buildOrders();
buildTasks();
buildCurves();
buildSensitivity();
buildLatency();
buildTable();
setTheme(prefersDark.matches);
sayHowMany();

// Loaded is when what is in view has been drawn.
requestAnimationFrame(() =>
  setTimeout(() =>
    Promise.all(DRAWING).then(() => {
      document.documentElement.dataset.ready = String(Math.round(performance.now()));
    }),
  ),
);
