// The gallery: a few windows a page, sorted and filtered, drawn from compact data.
"use strict";
if (document.getElementById("windows")) {
  const PER_PAGE = 4;
  const INK = "#1d2733", QUIET = "#5b6673", GRID = "#dfe3e8", MARK = "#e0a526";
  const RISING = "#2b7a5d", FALLING = "#b9403b";
  const STEPS = 65535;

  const all = JSON.parse(document.getElementById("windows").textContent);
  const unpack = (text) => {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    return new Uint16Array(bytes.buffer);
  };
  const prices = unpack(all.prices);
  for (const run of all.runs) run.values = unpack(run.prob);
  const get = (id) => document.getElementById(id);
  const make = (tag, text, names) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (names) element.className = names;
    return element;
  };
  const bars = Array.from({ length: all.bars }, (_, i) => i);
  const between = ([start, stop]) => (stop - start > 1 ? `${start}\u2013${stop - 1}` : `${start}`);

  // How windows can be put in order, and which are shown; counts are found, invented, missed.
  const orders = [
    ["as in the data", null],
    ["error, largest first", (run, i) => -run.error[i]],
    ["error, smallest first", (run, i) => run.error[i]],
    ["confidence, highest first", (run, i) => -run.confidence[i]],
    ["confidence, lowest first", (run, i) => run.confidence[i]],
  ];
  if (all.disagreement) {
    orders.push(["disagreement of runs, largest first", (_, i) => -all.disagreement[i]]);
  }
  const filters = [
    ["all windows", () => true],
    ["a mark was missed", ([, , missed]) => missed > 0],
    ["a detection is wrong", ([, wrong]) => wrong > 0],
    ["all found, none wrong", ([hit, wrong, missed]) => hit > 0 && !wrong && !missed],
    ["nothing marked or detected", ([hit, wrong, missed]) => !hit && !wrong && !missed],
  ];
  const fill = (select, names) => {
    names.forEach((name, i) => select.add(new Option(name, String(i))));
  };
  fill(get("sort"), orders.map(([name]) => name));
  fill(get("show"), filters.map(([name]) => name));
  fill(get("run"), all.runs.map((run) => run.label));
  get("run-label").hidden = all.runs.length < 2;
  get("sort").value = "1";

  let chosen = [];
  let page = 0;
  const pages = () => Math.max(1, Math.ceil(chosen.length / PER_PAGE));

  function choose() {
    const run = all.runs[Number(get("run").value)];
    const key = orders[Number(get("sort").value)][1];
    const keep = filters[Number(get("show").value)][1];
    const part = get("find").value.trim().toLowerCase();
    chosen = all.ids
      .map((_, i) => i)
      .filter((i) => keep(run.counts[i]) && all.ids[i].toLowerCase().includes(part));
    if (key) chosen.sort((a, b) => key(run, a) - key(run, b) || a - b);
    turn(0);
  }

  function turn(to) {
    page = Math.min(Math.max(0, to), pages() - 1);
    const cards = get("cards");
    for (const plot of cards.querySelectorAll(".plot")) report.forget(plot);
    cards.replaceChildren();
    const shown = chosen.slice(page * PER_PAGE, (page + 1) * PER_PAGE);
    for (const i of shown) cards.append(card(i));
    if (!shown.length) cards.append(make("p", "No window is like that.", "empty"));
    const n = chosen.length;
    const first = page * PER_PAGE + 1;
    get("where").textContent = n
      ? `${first}\u2013${first + shown.length - 1} of ${n}, page ${page + 1} of ${pages()}`
      : "0 windows";
    get("previous").disabled = page === 0;
    get("next").disabled = page === pages() - 1;
  }

  function card(i) {
    const article = make("article", undefined, "card");
    const header = make("header");
    header.append(make("h3", all.ids[i]), make("span", all.about[i]));
    const plot = make("div", undefined, "plot");
    plot.setAttribute("role", "img");
    plot.setAttribute("aria-label", spoken(i));
    article.append(header, plot, table(i));
    article.dataset.window = all.ids[i];
    report.watch(plot, () => figure(i));
    return article;
  }

  function spoken(i) {
    const marks = all.marks[i].map(between).join(" and ") || "none";
    const found = all.runs.map((run) => {
      const spans = run.found[i].map((span) => `${between(span)}, score ${span[2]}`);
      return `${run.label} detects ${spans.join(" and ") || "nothing"}`;
    });
    return `Window ${all.ids[i]}, ${all.bars} bars. Marked: ${marks}. ${found.join(". ")}.`;
  }

  function table(i) {
    const held = make("table");
    held.append(make("caption", `Detections in window ${all.ids[i]}`, "unseen"));
    const head = held.createTHead().insertRow();
    for (const name of ["", "bars", "score", "highest", "error"]) {
      const cell = make("th", name, name && name !== "bars" ? "number" : "");
      cell.scope = "col";
      head.append(cell);
    }
    const body = held.createTBody();
    const row = (name, cells) => {
      const line = body.insertRow();
      const label = make("th", name);
      label.scope = "row";
      line.append(label);
      cells.forEach((text, k) => line.append(make("td", text, k ? "number" : "")));
    };
    const none = "\u2013";
    const named = (mark) => (all.classes.length > 1 ? ` ${all.classes[mark[2]]}` : "");
    const marks = all.marks[i].map((mark) => between(mark) + named(mark));
    row("marked", [marks.join(", ") || none, "", "", ""]);
    for (const run of all.runs) {
      row(run.label, [
        run.found[i].map(between).join(", ") || none,
        run.found[i].map((span) => span[2].toFixed(2)).join(", ") || none,
        run.confidence[i].toFixed(2),
        run.error[i].toFixed(3),
      ]);
    }
    return held;
  }

  function figure(i) {
    const at = i * all.bars;
    const price = (t, k) => all.low[i] + (prices[(at + t) * 4 + k] / STEPS) * all.scale[i];
    const column = (k) => bars.map((t) => price(t, k));
    const data = [{
      type: "candlestick", name: "price", x: bars, yaxis: "y",
      open: column(0), high: column(1), low: column(2), close: column(3),
      increasing: { line: { color: RISING, width: 1 }, fillcolor: "rgba(0,0,0,0)" },
      decreasing: { line: { color: FALLING, width: 1 }, fillcolor: FALLING },
    }];
    all.runs.forEach((run, lane) => {
      const segments = { x: [], y: [], text: [] };
      for (const span of run.found[i]) {
        const text = `${run.name}: bars ${between(span)}, score ${span[2].toFixed(2)}`;
        segments.x.push(span[0] - 0.5, span[1] - 0.5, null);
        segments.y.push(-lane, -lane, null);
        segments.text.push(text, text, "");
      }
      data.push({
        type: "scatter", mode: "lines", yaxis: "y2", hoverinfo: "skip", ...segments,
        line: { color: run.color, width: 6 }, name: run.name,
      });
      data.push({
        type: "scatter", mode: "lines", x: bars, yaxis: "y3", name: run.name,
        y: bars.map((t) => run.values[at + t] / STEPS),
        line: { color: run.color, dash: run.dash, width: 1.6 },
        hovertemplate: "%{y:.3f}",
      });
    });
    const shapes = all.marks[i].map(([start, stop]) => ({
      type: "rect", x0: start - 0.5, x1: stop - 0.5, yref: "paper", y0: 0, y1: 1,
      fillcolor: MARK, opacity: 0.22, line: { width: 0 }, layer: "below",
    }));
    const lines = { gridcolor: GRID, zeroline: false, linecolor: GRID, tickcolor: GRID };
    const lanes = 0.035 * all.runs.length + 0.02;
    const layout = {
      font: { family: "system-ui, sans-serif", size: 12, color: INK },
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      margin: { l: 50, r: 6, t: 8, b: 34 },
      showlegend: false, shapes, hovermode: "x unified", hoversubplots: "axis",
      dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
      xaxis: {
        ...lines, range: [-1, all.bars], rangeslider: { visible: false }, anchor: "y3",
        unifiedhovertitle: { text: "bar %{x}" },
        title: { text: "bar", font: { color: QUIET, size: 12 }, standoff: 4 },
      },
      yaxis: { ...lines, domain: [0.34 + lanes, 1], automargin: true, nticks: 6,
        separatethousands: true, exponentformat: "none" },
      yaxis2: {
        domain: [0.32, 0.32 + lanes], range: [0.7 - all.runs.length, 0.7], visible: false,
        fixedrange: true,
      },
      yaxis3: { ...lines, domain: [0, 0.3], range: [-0.02, 1.05], tickvals: [0, 0.5, 1],
        fixedrange: true },
    };
    return { data, layout };
  }

  // What the colours and patterns mean, once for all cards.
  function legend() {
    const patterns = { solid: "", dash: "6 4", dot: "2 3", dashdot: "6 3 2 3",
      longdash: "10 4", longdashdot: "10 3 2 3" };
    const swatch = (draw, color) => {
      const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      svg.setAttribute("width", "30");
      svg.setAttribute("height", "14");
      svg.setAttribute("aria-hidden", "true");
      for (const [tag, attributes] of draw) {
        const shape = document.createElementNS("http://www.w3.org/2000/svg", tag);
        for (const [name, value] of Object.entries(attributes)) shape.setAttribute(name, value);
        shape.style.setProperty(tag === "rect" ? "fill" : "stroke", report.themed(color));
        svg.append(shape);
      }
      return svg;
    };
    const items = [[swatch([["rect", { width: 30, height: 14, opacity: 0.35 }]], MARK), "marked"]];
    for (const run of all.runs) {
      const line = { x1: 0, x2: 30, y1: 10, y2: 10, "stroke-width": 2,
        "stroke-dasharray": patterns[run.dash] };
      const bar = { x1: 4, x2: 26, y1: 3, y2: 3, "stroke-width": 5 };
      items.push([swatch([["line", line], ["line", bar]], run.color), run.label]);
    }
    get("legend").replaceChildren(...items.map(([mark, text]) => {
      const item = make("li");
      item.append(mark, make("span", text));
      return item;
    }));
  }

  for (const id of ["sort", "run", "show"]) get(id).addEventListener("change", choose);
  get("find").addEventListener("input", choose);
  get("previous").addEventListener("click", () => turn(page - 1));
  get("next").addEventListener("click", () => turn(page + 1));
  get("gallery").addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (event.target.closest("select, input")) return;
    const to = { ArrowLeft: page - 1, ArrowRight: page + 1, Home: 0, End: pages() - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    turn(to);
  });
  report.followers.push(legend);
  legend();
  choose();
}
