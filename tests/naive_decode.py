"""Slow, obvious twin of proxytools.decode: label every bar, then join and sift."""


def spans(row, high, low, min_length, max_gap):
    """List of (start, stop) of one window."""
    on = [p >= low for p in row]
    last = None
    for t in range(len(row)):
        if row[t] >= low:
            if last is not None and t - last - 1 <= max_gap:
                on[last:t] = [True] * (t - last)
            last = t
    found, start = [], None
    for t, bar in enumerate([*on, False]):
        if bar and start is None:
            start = t
        if not bar and start is not None:
            if t - start >= min_length and max(row[start:t]) >= high:
                found.append((start, t))
            start = None
    return found
