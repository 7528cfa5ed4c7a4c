"use strict";
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const narrow = matchMedia("(max-width: 40rem)");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const coarse = matchMedia("(pointer: coarse)");

  // Colours are names of CSS variables, so that one figure is right in light and in dark.
  const themed = (value, key, style) => {
    if (Array.isArray(value)) return value.map((entry) => themed(entry, key, style));
    if (value !== null && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([name, entry]) => [name, themed(entry, name, style)]));
    }
    const isColour = typeof value === "string" && key.endsWith("color") && value.startsWith("--");
    return isColour ? style.getPropertyValue(value).trim() : value;
  };

  const draw = () => {
    const style = getComputedStyle(document.documentElement);
    for (const [id, figure] of Object.entries(figures)) {
      const layout = themed(figure.layout, "", style);
      // A finger scrolls the page; it must not be caught by a figure.
      layout.dragmode = coarse.matches ? false : "zoom";
      if (narrow.matches) {
        layout.font.size = 11;
        if ((layout.annotations || []).length > 3) layout.annotations = [];
      }
      const config = { responsive: true, displaylogo: false, displayModeBar: false };
      Plotly.react(id, themed(figure.traces, "", style), layout, config);
    }
  };

  draw();
  dark.addEventListener("change", draw);
  narrow.addEventListener("change", draw);
})();
