// Keeps the page true: numbers come from /status.json, and when its shape has changed, the page anew from "/".
(() => {
  "use strict";
  const EVERY_MS = 2000, REDRAW = 5;
  const said = document.getElementById("said"), button = document.getElementById("pause");
  let paused = false, turns = 0, shape = "";
  const number = (value, digits) =>
    value === null || value === undefined ? "–" : value.toLocaleString("en", {minimumFractionDigits: digits, maximumFractionDigits: digits});
  const at = (root, path) => path.split("/").reduce((node, key) => (node == null ? null : node[key]), root);
  const shapeOf = (status) => JSON.stringify([
    status.ready, status.state, status.refused,
    status.models.map((m) => [m.model, m.version, m.variants && Object.keys(m.variants), m.live.map((w) => Object.keys(w.refusals))]),
  ]);
  async function redraw() {
    const text = await (await fetch("/", {cache: "no-store"})).text();
    const fresh = new DOMParser().parseFromString(text, "text/html").querySelector("main");
    const open = [...document.querySelectorAll("main details[open]")].map((entry) => entry.id);
    const focused = document.activeElement && document.activeElement.closest("main [id]");
    document.querySelector("main").replaceWith(fresh);
    open.forEach((id) => { const entry = document.getElementById(id); if (entry) entry.open = true; });
    if (focused) {
      const again = document.getElementById(focused.id);
      if (again) (again.tabIndex >= 0 ? again : again.querySelector("summary, [tabindex]") || again).focus({preventScroll: true});
    }
  }
  async function update() {
    try {
      const status = await (await fetch("/status.json", {cache: "no-store"})).json();
      const found = shapeOf(status);
      if ((shape && found !== shape) || ++turns % REDRAW === 0) await redraw();
      shape = found;
      document.querySelectorAll("main [data-at]").forEach((node) => {
        const text = number(at(status, node.dataset.at), +node.dataset.digits);
        if (node.textContent !== text) node.textContent = text;
      });
      document.body.classList.remove("old");
      said.textContent = paused ? "Paused; what you see is old." : "Live, every 2 s.";
    } catch (error) {
      document.body.classList.add("old");
      said.textContent = "The server does not answer; what you see is old.";
    }
  }
  async function turn() {
    if (!paused && !document.hidden) await update();
    setTimeout(turn, EVERY_MS);
  }
  button.hidden = false;
  button.addEventListener("click", () => {
    paused = !paused;
    button.textContent = paused ? "Go on" : "Pause";
    said.textContent = paused ? "Paused; what you see is old." : "Live, every 2 s.";
    document.body.classList.toggle("old", paused);
    if (!paused) update();
  });
  turn();
})();
