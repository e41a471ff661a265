"""Slow, obvious twins of `proxytools.synthetic`, written from the definitions alone."""

from itertools import product

import numpy as np
from scipy.stats import geom, norm


def length_probability(length, longest):
    """P(min(3 + G, longest) == length), G geometric on {0, 1, ...} with mean 4.4."""
    extra = geom(1 / 5.4, loc=-1)
    if length == longest:
        return extra.sf(length - 3 - 1)
    return extra.pmf(length - 3)


def layouts(layout, n_bars, empty):
    """Every set of spans a window may hold, with its probability: ``{spans: probability}``."""
    found = {(): empty} if empty else {}
    for spans, probability in LAWS[layout](n_bars):
        found[spans] = found.get(spans, 0) + (1 - empty) * probability
    return found


def _one(n_bars):
    return _single(round(n_bars * 20 / 105), round(n_bars * 90 / 105))


def _anywhere(n_bars):
    return _single(0, n_bars + 1)


def _single(low, high):
    longest = min(30, high - low - 1)
    for length in range(3, longest + 1):
        starts = range(low, high - length)
        for start in starts:
            yield ((start, start + length),), length_probability(length, longest) / len(starts)


def _several(n_bars, bar=0):
    if bar > n_bars - 3:
        yield (), 1.0
        return
    for rest, probability in _several(n_bars, bar + 1):
        yield rest, probability * 24 / 25
    longest = min(30, n_bars - bar)
    for length in range(3, longest + 1):
        stop = bar + length
        for rest, probability in _several(n_bars, stop):
            yield (
                ((bar, stop), *rest),
                probability / 25 * length_probability(length, longest),
            )


LAWS = {"one": _one, "anywhere": _anywhere, "several": _several}


def posterior(sample):
    """Bayes' rule over every layout, type and direction, one window at a time."""
    n_windows, n_bars, n_steps = sample.steps.shape
    kinds = list(product(sample.types, (-1, 1)))
    prior = layouts(sample.layout, n_bars, sample.empty)
    prob = np.zeros((n_windows, n_bars))
    for w in range(n_windows):
        total = 0.0
        for spans, probability in prior.items():
            for chosen in product(kinds, repeat=len(spans)):
                mean, sd = np.zeros(n_bars), np.ones(n_bars)
                inside = np.zeros(n_bars)
                for (start, stop), (kind, direction) in zip(spans, chosen, strict=True):
                    mean[start:stop] = direction * kind.m
                    sd[start:stop] = kind.v
                    inside[start:stop] = 1
                sigma = sample.sigma[w]
                density = norm.pdf(
                    sample.steps[w],
                    (mean * sigma / n_steps)[:, None],
                    (sd * sigma / np.sqrt(n_steps))[:, None],
                )
                weight = probability / len(kinds) ** len(spans) * density.prod()
                total += weight
                prob[w] += weight * inside
        prob[w] /= total
    return prob


def bars(steps, start):
    """Open, high, low and close, one bar after another."""
    out = np.empty((*steps.shape[:2], 4))
    for w, window in enumerate(steps):
        price = start
        for t, changes in enumerate(window):
            seen = [price]
            for change in changes:
                price += change
                seen.append(price)
            out[w, t] = seen[0], max(seen), min(seen), seen[-1]
    return out
