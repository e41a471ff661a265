"""The three terms of the directionless formula: size of move, length of run, size of bars.

The classic formula is signed, so that a fall scores 0, and its streak counts rising bars. These
read the window seen whole, in units of its own high-low range, and are the same upside down.
"""

from __future__ import annotations

import numpy as np

from proxytools.features.registry import WHOLE, Feature
from proxytools.features.windowed import (
    closes_before,
    compiled,
    emit,
    last_sum,
    outermost,
    ratio,
    split,
)

MOVE = 7  # about the length of a span

FEATURES = (
    Feature(
        f"around_move_{MOVE}",
        f"mean absolute move of the {MOVE}-bar runs that include the bar",
        "window's high-low range",
        WHOLE,
        WHOLE,
    ),
    Feature(
        "run_length", "bars of the whole one-direction run through the bar", "bars", WHOLE, WHOLE
    ),
    Feature("mean_range", "mean bar range of the window", "window's high-low range", WHOLE, WHOLE),
)


@compiled
def _around_move(before, whole, moves, out):  # type: ignore[no-untyped-def]
    n = len(out)
    k = min(MOVE, n)
    n_starts = n - k + 1
    moves[:] = 0.0
    for s in range(n_starts):
        moves[s] = abs(before[s + k] - before[s])
    last_sum(moves, k, out)
    for t in range(n):
        runs = min(t, n_starts - 1) - max(t - k + 1, 0) + 1
        out[t] = ratio(out[t], whole * runs)


@compiled
def _run_length(bars, out):  # type: ignore[no-untyped-def]
    n, first = bars.shape[1], 0
    while first < n:
        sign = np.sign(bars[3, first] - bars[0, first])
        stop = first + 1
        while sign != 0.0 and stop < n and np.sign(bars[3, stop] - bars[0, stop]) == sign:
            stop += 1
        out[first:stop] = stop - first if sign != 0.0 else 0.0
        first = stop


@outermost
def kernel(ohlc, values, first):  # type: ignore[no-untyped-def]
    """Compute all three for windows (N, T, 4)."""
    n_bars = ohlc.shape[1]
    bars, rows = np.empty((4, n_bars)), np.empty((3, n_bars), np.float32)
    before, moves = np.empty(n_bars + 1), np.empty(n_bars)
    for n in range(len(ohlc)):
        split(ohlc[n], bars)
        closes_before(bars, before)
        whole = bars[1].max() - bars[2].min()
        _around_move(before, whole, moves, rows[0])
        _run_length(bars, rows[1])
        rows[2] = ratio((bars[1] - bars[2]).mean(), whole)
        emit(rows, values[n], first)
