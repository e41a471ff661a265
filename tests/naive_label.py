"""Slow, obvious twin of `proxytools.label`: every window apart, every bar by distance."""

import numpy as np

from proxytools import features


def starts_of(n: int, n_bars: int) -> list[int]:
    """First bars of the windows over a gap-free run of ``n`` bars."""
    if n < n_bars:
        return [0]
    stride = max(1, n_bars // 3)
    starts = [start for start in range(n) if start % stride == 0 and start + n_bars <= n]
    return starts if starts[-1] + n_bars == n else [*starts, n - n_bars]


def central(n: int, n_bars: int) -> list[int]:
    """For every bar of a run the start of the window in which it is most central."""
    starts, size = starts_of(n, n_bars), min(n, n_bars)
    chosen = []
    for bar in range(n):
        distance = [
            abs(2 * (bar - start) - (size - 1)) if start <= bar < start + size else 10**9
            for start in starts
        ]
        chosen.append(starts[distance.index(min(distance))])  # index finds the earliest
    return chosen


def label(model, run):
    """(n,) probability of every bar of a gap-free run (n, 4)."""
    size = min(len(run), model.n_bars)
    prob = {
        start: model.proxy.predict(
            features.compute(run[None, start : start + size], model.proxy.feature_set)
        )[0]
        for start in starts_of(len(run), model.n_bars)
    }
    return [prob[start][bar - start] for bar, start in enumerate(central(len(run), model.n_bars))]


class WholeWindow:
    """A proxy whose probabilities depend on where a bar stands and on all of its window."""

    name, feature_set, per_bar = "whole window", "causal", False

    def predict(self, features):
        n_bars = features.values.shape[1]
        peak = np.abs(features.values).max(axis=(1, 2))[:, None]  # (N, 1)
        return ((1 + np.arange(n_bars)) / (n_bars + 1) / (1 + peak)).astype(np.float32)


class Bar:
    """A proxy whose probabilities depend on a bar's own features."""

    name, feature_set, per_bar = "bar", "full", True

    def predict(self, features):
        scale = np.arange(1, features.values.shape[2] + 1, dtype=np.float32)
        x = np.abs(features.values / scale).max(axis=2)  # (N, T)
        return x / (1 + x)
