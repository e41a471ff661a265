// Candlesticks with spans, drawn on a canvas at the screen's own resolution.

const TOP = 26, BOTTOM = 22, SIDE = 8;

export class Chart {
  constructor(canvas) {
    this.canvas = canvas;
    this.shown = null;
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  // shown: {ohlc, spans, suggested, classes, selected, part, bar}
  show(shown) {
    this.shown = shown;
    this.draw();
  }

  // The bar under a point; outside the bars the nearest.
  barAt(x) {
    const bar = Math.floor((x - this.left) / this.step);
    return Math.max(0, Math.min(this.shown.ohlc.length - 1, bar));
  }

  // What a pointer would take hold of: {at, part} of a span, or null.
  hit(x, reach) {
    let best = null, nearest = reach;
    this.shown.spans.forEach(([first, stop], at) => {
      for (const [part, edge] of [["first", first], ["last", stop]]) {
        const distance = Math.abs(x - this.edge(edge));
        if (distance < nearest) [best, nearest] = [{ at, part }, distance];
      }
    });
    if (best) return best;
    const at = this.shown.spans.findIndex(([a, b]) => x >= this.edge(a) && x < this.edge(b));
    return at < 0 ? null : { at, part: "whole" };
  }

  edge(bar) {
    return this.left + bar * this.step;
  }

  draw() {
    if (!this.shown) return;
    const { canvas } = this, ratio = devicePixelRatio || 1;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    const style = getComputedStyle(canvas);
    const color = (name) => style.getPropertyValue(`--${name}`).trim();
    pen.font = "12px system-ui, sans-serif";

    const { ohlc } = this.shown, scale = priceScale(ohlc, height);
    this.digits = scale.digits;
    this.left = SIDE + Math.max(...scale.ticks.map(({ text }) => pen.measureText(text).width)) + 8;
    this.step = (width - this.left - SIDE) / ohlc.length;
    canvas.dataset.left = this.left; // for those who point by script
    canvas.dataset.step = this.step;

    drawGrid(pen, this, scale, width, height, color);
    this.shown.suggested.forEach((span) => this.drawSuggested(pen, span, height, color));
    this.shown.spans.forEach((span, at) => this.drawSpan(pen, span, at, height, color));
    drawBars(pen, this, scale, color);
  }

  drawSpan(pen, [first, stop, label], at, height, color) {
    const { selected, part, classes } = this.shown, own = classColor(classes, label, color);
    const a = this.edge(first), b = this.edge(stop), active = at === selected;
    pen.globalAlpha = active ? 0.26 : 0.16;
    pen.fillStyle = own;
    pen.fillRect(a, TOP, b - a, height - TOP - BOTTOM);
    pen.globalAlpha = 1;
    for (const [name, x] of [["first", a], ["last", b]]) {
      const wide = active && (part === name || part === "whole");
      pen.fillRect(x - (wide ? 1.5 : 0.5), TOP, wide ? 3 : 1, height - TOP - BOTTOM);
      if (active) pen.fillRect(x - 4, TOP + (height - TOP - BOTTOM) / 2 - 9, 8, 18);
    }
    write(pen, label, (a + b) / 2, 16, own, Math.max(b - a, 90));
  }

  drawSuggested(pen, [first, stop, label], height, color) {
    const own = classColor(this.shown.classes, label, color);
    const a = this.edge(first), b = this.edge(stop);
    pen.strokeStyle = own;
    pen.setLineDash([4, 3]);
    pen.lineWidth = 1.5;
    pen.strokeRect(a, TOP + 2, b - a, height - TOP - BOTTOM - 4);
    pen.setLineDash([]);
    pen.lineWidth = 1;
  }
}

export function classColor(classes, label, color) {
  return color(`class${Math.max(0, classes.indexOf(label)) % 5}`);
}

function priceScale(ohlc, height) {
  let low = Math.min(...ohlc.map((bar) => bar[2])), high = Math.max(...ohlc.map((bar) => bar[1]));
  if (!(high > low)) { // a flat window: give it some air
    const air = Math.abs(high) * 1e-3 || 1;
    [low, high] = [low - air, high + air];
  }
  const air = (high - low) * 0.04;
  const y = (price) => TOP + ((high + air - price) / (high - low + 2 * air)) * (height - TOP - BOTTOM);
  const rough = (high - low) / 5, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((k) => k * power >= rough) * power;
  const digits = Math.max(0, Math.min(20, -Math.floor(Math.log10(step) + 1e-9)));
  const ticks = [];
  for (let k = Math.ceil(low / step); k * step <= high && ticks.length < 12; k++) {
    ticks.push({ y: y(k * step), text: price(k * step, digits) });
  }
  return { y, ticks: ticks.length ? ticks : [{ y: y(low), text: price(low, digits) }], digits };
}

export function price(value, digits) {
  const size = Math.abs(value);
  if (size >= 1e15 || (size > 0 && digits > 8)) return value.toPrecision(5);
  return value.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

function drawGrid(pen, chart, scale, width, height, color) {
  pen.lineWidth = 1;
  pen.textBaseline = "middle";
  for (const { y, text } of scale.ticks) {
    pen.strokeStyle = color("line");
    line(pen, chart.left, Math.round(y) + 0.5, width - SIDE, Math.round(y) + 0.5);
    write(pen, text, chart.left - 6, y + 4, color("quiet"), 1e4, "right");
  }
  const every = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].find((k) => k * chart.step >= 38) || 2000;
  for (let bar = 0; bar < chart.shown.ohlc.length; bar += every) {
    write(pen, String(bar), chart.edge(bar + 0.5), height - 7, color("quiet"), 1e4);
  }
  if (chart.shown.bar !== null) {
    pen.fillStyle = color("line");
    pen.globalAlpha = 0.5;
    pen.fillRect(chart.edge(chart.shown.bar), TOP, chart.step, height - TOP - BOTTOM);
    pen.globalAlpha = 1;
  }
}

function drawBars(pen, chart, scale, color) {
  const thick = Math.max(1, Math.min(28, chart.step * 0.66)), rise = color("rise"), fall = color("fall");
  chart.shown.ohlc.forEach(([open, high, low, close], bar) => {
    const x = chart.edge(bar + 0.5), up = close >= open;
    pen.strokeStyle = pen.fillStyle = up ? rise : fall;
    line(pen, x, scale.y(high), x, scale.y(low));
    const top = scale.y(Math.max(open, close)), size = Math.max(1, Math.abs(scale.y(open) - scale.y(close)));
    if (up && thick > 4 && size > 3) { // hollow: told apart without colour, too
      pen.fillStyle = color("page");
      pen.fillRect(x - thick / 2, top, thick, size);
      pen.strokeRect(x - thick / 2, top, thick, size);
    } else pen.fillRect(x - thick / 2, top, thick, size);
  });
}

function line(pen, x0, y0, x1, y1) {
  pen.beginPath();
  pen.moveTo(x0, y0);
  pen.lineTo(x1, y1);
  pen.stroke();
}

function write(pen, text, x, y, color, most, align = "center") {
  pen.fillStyle = color;
  pen.textAlign = align;
  pen.textBaseline = "alphabetic";
  pen.fillText(text, x, y, most);
}
