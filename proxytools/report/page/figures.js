// Charts: drawn when they come into view, again when the theme changes.
"use strict";
const report = {
  dark: JSON.parse(document.getElementById("dark").textContent),
  config: { displayModeBar: false, responsive: true, showTips: false, doubleClick: "reset" },
  plots: new Map(), // element to the function that returns its figure
  printing: false,
  followers: [], // what else changes with the theme

  isDark() {
    if (this.printing) return false;
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  },

  // The same figure in the colours of the theme.
  themed(value) {
    if (!this.isDark()) return value;
    if (typeof value === "string") return this.dark[value] ?? value;
    if (Array.isArray(value)) return value.map((item) => this.themed(item));
    if (value === null || typeof value !== "object") return value;
    return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, this.themed(v)]));
  },

  draw(element) {
    const figure = this.themed(this.plots.get(element)());
    figure.layout.hoverlabel = {
      bgcolor: this.isDark() ? "#2a333e" : "#ffffff",
      bordercolor: this.isDark() ? "#46525f" : "#c9d0d8",
      font: { color: this.isDark() ? "#e6e9ee" : "#1d2733", size: 13 },
    };
    element.dataset.drawn = "yes";
    return Plotly.react(element, figure.data, figure.layout, this.config);
  },

  watch(element, figure) {
    this.plots.set(element, figure);
    this.observer.observe(element);
  },

  forget(element) {
    this.observer.unobserve(element);
    this.plots.delete(element);
    Plotly.purge(element);
  },

  redraw(all) {
    for (const follow of this.followers) follow();
    for (const element of this.plots.keys()) {
      if (all || element.dataset.drawn) this.draw(element);
    }
  },
};

report.observer = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      report.observer.unobserve(entry.target);
      if (report.plots.has(entry.target)) report.draw(entry.target);
    }
  },
  { rootMargin: "300px" },
);

{
  const charts = JSON.parse(document.getElementById("charts").textContent);
  for (const element of document.querySelectorAll("[data-chart]")) {
    const text = JSON.stringify(charts[element.dataset.chart]);
    report.watch(element, () => JSON.parse(text));
  }
}
