// Spans as the page holds them: sorted [first, stop, label], half-open, sharing no bar.

// The bars free for a span between its neighbours: from `low` up to, not including, `high`.
export function room(spans, at, size) {
  const low = at > 0 ? spans[at - 1][1] : 0;
  const high = at + 1 < spans.length ? spans[at + 1][0] : size;
  return [low, high];
}

// A new span from one bar to another, cut where it meets the neighbours of the first.
export function created(spans, anchor, bar, label, size) {
  const at = spans.filter(([, stop]) => stop <= anchor).length;
  const low = at > 0 ? spans[at - 1][1] : 0;
  const high = at < spans.length ? spans[at][0] : size;
  if (anchor < low || anchor >= high) return null;
  const first = Math.max(low, Math.min(anchor, bar));
  const stop = Math.min(high, Math.max(anchor, bar) + 1);
  return { spans: [...spans.slice(0, at), [first, stop, label], ...spans.slice(at)], at };
}

// A span moved by some bars, in part ("first", "last") or as a whole, as far as there is room.
export function moved(spans, at, part, step, size) {
  const [low, high] = room(spans, at, size);
  let [first, stop, label] = spans[at];
  if (part === "first") first = clamp(first + step, low, stop - 1);
  else if (part === "last") stop = clamp(stop + step, first + 1, high);
  else {
    const by = clamp(step, low - first, high - stop);
    first += by;
    stop += by;
  }
  return spans.map((span, i) => (i === at ? [first, stop, label] : span));
}

// The longest free run of bars, for a span that is added without pointing at a place.
export function widestGap(spans, size) {
  const edges = [0, ...spans.flatMap(([first, stop]) => [first, stop]), size];
  let best = [0, 0];
  for (let i = 0; i < edges.length; i += 2) {
    if (edges[i + 1] - edges[i] > best[1] - best[0]) best = [edges[i], edges[i + 1]];
  }
  return best;
}

export function clamp(value, low, high) {
  return Math.max(low, Math.min(high, value));
}
