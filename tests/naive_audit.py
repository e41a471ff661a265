"""The slow, obvious twin of `proxytools.audit.placement`: each candidate of a region by itself."""

import numpy as np


def log_odds(prob, clip=1e-4):
    p = np.clip(np.asarray(prob, np.float64), clip, 1 - clip)
    return np.log(p / (1 - p))


def terms(odds, start, stop, beside):
    """The six terms of the span [start, stop) of one window."""
    rise = odds[start] - odds[start - 1] if start > 0 else 0.0
    fall = odds[stop - 1] - odds[stop] if stop < len(odds) else 0.0
    length = stop - start
    return np.array(
        [odds[start:stop].sum(), rise + fall, length, np.log(length), not beside, beside], float
    )


def candidates(low, high, longest):
    return [(s, e) for s in range(low, high) for e in range(s + 1, high + 1) if e - s <= longest]


def distribution(odds, low, high, beside, longest, theta):
    """Probability of none, and of each candidate."""
    spans = candidates(low, high, longest)
    weight = [np.exp(theta @ terms(odds, s, e, beside)) for s, e in spans]
    total = 1 + sum(weight)
    return 1 / total, dict(zip(spans, (w / total for w in weight), strict=True))
