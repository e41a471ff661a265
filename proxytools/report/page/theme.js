// Light and dark, paper, and where in the page the reader is.
"use strict";
{
  const button = document.getElementById("theme");
  const show = () => button.setAttribute("aria-pressed", String(report.isDark()));
  button.addEventListener("click", () => {
    document.documentElement.dataset.theme = report.isDark() ? "light" : "dark";
    show();
    report.redraw();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    show();
    report.redraw();
  });
  show();

  addEventListener("beforeprint", () => {
    report.printing = true;
    report.redraw(true);
  });
  addEventListener("afterprint", () => {
    report.printing = false;
    report.redraw();
  });

  const links = new Map();
  for (const link of document.querySelectorAll("nav ol a")) links.set(link.hash.slice(1), link);
  const seen = new IntersectionObserver(
    (entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        for (const link of links.values()) link.removeAttribute("aria-current");
        links.get(entry.target.id)?.setAttribute("aria-current", "true");
      }
    },
    { rootMargin: "-20% 0px -70% 0px" },
  );
  for (const section of document.querySelectorAll("main > section")) seen.observe(section);
}
