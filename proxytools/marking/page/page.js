// The page: one window at a time, every change sent to the server as it is made.

import { Chart, price } from "./chart.js";
import { created, clamp, moved, widestGap } from "./spans.js";

const $ = (id) => document.getElementById(id);
const PARTS = ["first", "whole", "last"];
const USUAL = 7; // bars of a span that is added without a place

const chart = new Chart($("chart"));
let state, at = 0, bars, selected = -1, part = "last", label, hover = null;
let drag = null;
const loaded = new Map(), undo = [];

// --- talking to the server ---

const unsaved = new Set(); // windows whose marks the server does not have yet
let sending = null;

function send(method, place, body) {
  return fetch(place, { method, body: JSON.stringify(body) }).then(async (answer) => {
    const said = await answer.json().catch(() => ({ error: `the server answered ${answer.status}` }));
    if (!answer.ok) throw new Error(said.error);
    return said;
  });
}

function save(window) {
  unsaved.add(window);
  sending ??= sendAll().finally(() => { sending = null; });
}

// All marks of a window go in one message, so what counts is that its last one arrives.
async function sendAll() {
  status("saving …");
  for (const window of unsaved) {
    const { spans } = state.windows[window];
    unsaved.delete(window);
    try {
      await send("PUT", `marks/${window}`, spans && spans.map((span) => span.slice(0, 3)));
    } catch (error) {
      unsaved.add(window);
      status("not saved", true);
      say(`Not saved, will try again: ${error.message}`);
      setTimeout(() => save(window), 2000);
      return;
    }
  }
  say("");
  status("saved");
}

function status(text, failed = false) {
  $("status").textContent = text;
  $("status").classList.toggle("failed", failed);
}

function say(text) {
  $("error").textContent = text;
}

async function barsOf(window) {
  if (!loaded.has(window)) {
    if (loaded.size > 50) loaded.clear();
    loaded.set(window, fetch(`bars/${window}`).then((answer) => answer.json()));
  }
  return loaded.get(window);
}

// --- what is shown ---

const current = () => state.windows[at];
const spans = () => current().spans || [];

let wanted = 0; // the window that is shown as soon as its bars are here

async function open(window) {
  const own = wanted = clamp(window, 0, state.windows.length - 1);
  const found = await barsOf(own);
  if (own !== wanted) return; // somebody was faster
  [at, bars, selected, hover, drag] = [own, found, -1, null, null];
  if (spans().length) selected = 0;
  history.replaceState(null, "", `#${at + 1}`);
  say("");
  show();
  if (at + 1 < state.windows.length) barsOf(at + 1);
}

function show() {
  const { spans: marked, suggested, id } = current(), n = state.windows.length;
  const done = state.windows.filter((window) => window.spans).length;
  $("name").textContent = id;
  $("progress").max = n;
  $("progress").value = done;
  $("count").textContent = `${done} of ${n} marked`;
  if (document.activeElement !== $("window")) $("window").value = at + 1;
  $("window").max = n;
  $("of").textContent = `of ${n}`;
  $("verdict").textContent = !marked ? "unmarked" : marked.length ? counted(marked) : "no span";
  $("verdict").classList.toggle("marked", Boolean(marked));
  $("previous").disabled = at === 0;
  $("next").disabled = at === n - 1;
  $("unmarked").disabled = done === n;
  $("accept").disabled = !suggested.length;
  $("clear").disabled = !marked;
  $("undo").disabled = !undo.length;
  list();
  draw();
}

function draw() {
  chart.show({
    ohlc: bars.ohlc, spans: spans(), suggested: current().suggested, classes: state.classes,
    selected, part, bar: hover,
  });
  const told = spans().map(([first, stop, name]) => `${name}, bars ${first} to ${stop - 1}`);
  chart.canvas.setAttribute(
    "aria-label", `Candlesticks of ${state.bars} bars. ${told.join("; ") || $("verdict").textContent}`,
  );
  if (hover === null) $("bar").textContent = "";
  else {
    const [open, high, low, close] = bars.ohlc[hover].map((value) => price(value, chart.digits + 2));
    const when = bars.time ? ` · ${bars.time[hover].replace("T", " ")} UTC` : "";
    $("bar").textContent = `Bar ${hover}${when} · O ${open} H ${high} L ${low} C ${close}`;
  }
}

function counted({ length }) {
  return length === 1 ? "1 span" : `${length} spans`;
}

// The table of spans. Rows are rebuilt, but not the one that is being typed in.
function list() {
  const body = $("spans").tBodies[0], focused = document.activeElement;
  const kept = body.contains(focused) ? [focused.dataset.span, focused.dataset.field] : null;
  body.replaceChildren(...spans().map(([first, stop, name], k) => {
    const row = document.createElement("tr");
    row.classList.toggle("selected", k === selected);
    row.append(
      cell(number(k, "first", first)), cell(number(k, "last", stop - 1)),
      cell(choice(k, name)), cell(removal(k)),
    );
    row.addEventListener("focusin", () => { selected = k; draw(); mark(body); });
    return row;
  }));
  if (kept) body.querySelector(`[data-span="${kept[0]}"][data-field="${kept[1]}"]`)?.focus();
}

function mark(body) {
  [...body.rows].forEach((row, k) => row.classList.toggle("selected", k === selected));
}

function cell(content) {
  const made = document.createElement("td");
  made.append(content);
  return made;
}

function number(k, field, value) {
  const input = document.createElement("input");
  Object.assign(input, { type: "number", min: 0, max: state.bars - 1, value, inputMode: "numeric" });
  Object.assign(input.dataset, { span: k, field });
  input.setAttribute("aria-label", `${field} bar of span ${k + 1}`);
  input.addEventListener("change", () => typed(k, field, input));
  return input;
}

function choice(k, name) {
  const select = document.createElement("select");
  state.classes.forEach((known) => select.add(new Option(known, known, false, known === name)));
  Object.assign(select.dataset, { span: k, field: "class" });
  select.setAttribute("aria-label", `class of span ${k + 1}`);
  select.addEventListener("change", () => give(k, select.value));
  return select;
}

function removal(k) {
  const made = document.createElement("button");
  made.textContent = "\u2715";
  made.setAttribute("aria-label", `Remove span ${k + 1}`);
  made.addEventListener("click", () => remove(k));
  return made;
}

// --- changes ---

function change(next, { keep = false } = {}) {
  if (!keep) undo.push([at, current().spans]);
  current().spans = next;
  selected = Math.min(selected, spans().length - 1);
  say("");
  save(at);
  show();
}

function typed(k, field, input) {
  const value = Number(input.value), [first, stop] = spans()[k];
  const wanted = field === "first" ? [value, stop] : [first, value + 1];
  const others = spans().filter((_, i) => i !== k);
  const inside = Number.isInteger(value) && input.value !== "" && wanted[0] >= 0 && wanted[1] <= state.bars;
  const clash = others.some(([a, b]) => wanted[0] < b && a < wanted[1]);
  if (!inside || wanted[0] >= wanted[1] || clash) {
    say(clash ? "Spans share no bar." : `Bars count from 0 to ${state.bars - 1}, the first before the last.`);
    input.value = field === "first" ? first : stop - 1;
    return;
  }
  change(spans().map((span, i) => (i === k ? [...wanted, span[2]] : span)));
}

function add() {
  const [low, high] = widestGap(spans(), state.bars);
  if (low === high) return say("There is no free bar left.");
  const size = Math.min(USUAL, high - low), first = low + Math.floor((high - low - size) / 2);
  const made = created(spans(), first, first + size - 1, label, state.bars);
  selected = made.at;
  part = "last";
  change(made.spans);
}

function remove(k) {
  const left = spans().filter((_, i) => i !== k);
  change(left.length ? left : null); // without its last span a window is unmarked again
}

function give(k, name) {
  label = name;
  change(spans().map((span, i) => (i === k ? [span[0], span[1], name] : span)));
}

function none() {
  selected = -1;
  change([]);
}

function clear() {
  if (current().spans) change(null);
}

function accept() {
  if (!current().suggested.length) return;
  selected = 0;
  change(current().suggested.map(([first, stop, name]) => [first, stop, name]));
}

async function back() {
  const last = undo.pop();
  if (!last) return;
  if (last[0] !== at) await open(last[0]);
  change(last[1], { keep: true });
}

function nudge(step) {
  if (selected < 0) return;
  const next = moved(spans(), selected, part, step, state.bars);
  if (String(next) !== String(spans())) change(next);
}

function nextUnmarked() {
  const n = state.windows.length;
  for (let k = 1; k <= n; k++) {
    if (!state.windows[(at + k) % n].spans) return open((at + k) % n);
  }
}

// --- pointer ---

const place = (event) => event.clientX - chart.canvas.getBoundingClientRect().left;
const reach = (event) => (event.pointerType === "touch" ? 18 : 7);

chart.canvas.addEventListener("pointerdown", (event) => {
  if (!bars || event.button !== 0) return;
  const x = place(event), held = chart.hit(x, reach(event)), bar = chart.barAt(x);
  drag = { x, bar, held, before: current().spans, moved: false };
  if (held) [selected, part] = [held.at, held.part];
  else selected = -1;
  chart.canvas.setPointerCapture(event.pointerId);
  show();
});

chart.canvas.addEventListener("pointermove", (event) => {
  if (!bars) return;
  const x = place(event);
  hover = chart.barAt(x);
  if (!drag) {
    const held = chart.hit(x, reach(event));
    chart.canvas.style.cursor = !held ? "crosshair" : held.part === "whole" ? "grab" : "ew-resize";
    return draw();
  }
  if (!drag.moved && Math.abs(x - drag.x) < 4) return;
  drag.moved = true;
  const from = drag.before || [];
  if (drag.held) {
    const step = Math.round((x - drag.x) / chart.step);
    current().spans = moved(from, drag.held.at, drag.held.part, step, state.bars);
  } else {
    const made = created(from, drag.bar, hover, label, state.bars);
    if (!made) return;
    [current().spans, selected, part] = [made.spans, made.at, "last"];
  }
  show();
});

function release() {
  if (!drag) return;
  const { before, moved: was } = drag, after = current().spans;
  drag = null;
  if (!was || String(before) === String(after)) return show();
  current().spans = before;
  change(after);
}

chart.canvas.addEventListener("pointerup", release);
chart.canvas.addEventListener("pointercancel", () => {
  if (drag) current().spans = drag.before;
  drag = null;
  show();
});
chart.canvas.addEventListener("pointerleave", () => {
  hover = null;
  if (bars) draw();
});

// --- keyboard and buttons ---

const KEYS = {
  j: () => open(wanted + 1), k: () => open(wanted - 1), u: nextUnmarked, n: none, a: accept, c: clear, z: back,
  s: () => { if (spans().length) { selected = (selected + 1) % spans().length; show(); } },
  Enter: add, Delete: () => selected >= 0 && remove(selected),
  ArrowUp: () => turn(-1), ArrowDown: () => turn(1),
  "?": () => { const help = document.querySelector("details"); help.open = !help.open; },
};
KEYS.Backspace = KEYS.Delete;

function turn(step) {
  part = PARTS[clamp(PARTS.indexOf(part) + step, 0, 2)];
  draw();
}

document.addEventListener("keydown", (event) => {
  if (!bars || drag || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, select, textarea")) return;
  if (event.target.closest("button, summary") && (event.key === "Enter" || event.key === " ")) return;
  const { key } = event, digit = Number(key);
  if (key === "ArrowLeft" || key === "ArrowRight") {
    nudge((key === "ArrowLeft" ? -1 : 1) * (event.shiftKey ? 5 : 1));
  } else if (digit >= 1 && digit <= state.classes.length) {
    label = state.classes[digit - 1];
    if (selected >= 0) give(selected, label);
  } else if (KEYS[key] || KEYS[key.toLowerCase()]) (KEYS[key] || KEYS[key.toLowerCase()])();
  else return;
  event.preventDefault();
});

for (const [id, act] of Object.entries({
  previous: KEYS.k, next: KEYS.j, unmarked: nextUnmarked, add, none, accept, clear, undo: back,
})) $(id).addEventListener("click", act);
$("window").addEventListener("change", () => open(Math.trunc(Number($("window").value) || 1) - 1));

async function ask(what) {
  await sending;
  try {
    const { out } = await send("POST", what, null);
    $("out").textContent = `Written to ${out}.`;
    if (what === "finish") {
      status("finished");
      $("out").textContent += " You can close this page.";
      document.querySelectorAll("button, input, select").forEach((held) => { held.disabled = true; });
      bars = null;
    }
  } catch (error) {
    say(`Not written: ${error.message}`);
  }
}
$("write").addEventListener("click", () => ask("write"));
$("finish").addEventListener("click", () => ask("finish"));

addEventListener("beforeunload", (event) => { if (unsaved.size || sending) event.preventDefault(); });

state = await (await fetch("state")).json();
label = state.classes[0];
const asked = Number(location.hash.slice(1));
if (asked) await open(asked - 1);
else await open(Math.max(0, state.windows.findIndex((window) => !window.spans)));
document.body.dataset.ready = "yes";
