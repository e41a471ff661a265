"""One pass over the bars for the features of windows seen whole.

Their common unit is the range around a bar: the two-sided exponential average of the bar ranges.
"""

from __future__ import annotations

import numpy as np

from proxytools.features import centred, placements
from proxytools.features.windowed import (
    around_sum,
    closes_before,
    compiled,
    emit,
    log_growth,
    outermost,
    split,
)

FEATURES = placements.FEATURES + centred.FEATURES
KEEP = 0.9  # weight of the next bar away

_evidence, _sides = placements.fill, centred.fill
_A = len(placements.FEATURES)
_B = _A + len(centred.FEATURES)


@compiled
def _levels(bars, mass, extent, level, log_range):  # type: ignore[no-untyped-def]
    for t in range(len(level)):
        extent[t] = bars[1, t] - bars[2, t]
    around_sum(extent, KEEP, level)
    for t in range(len(level)):
        level[t] /= mass[t]
    log_growth(extent, level, log_range)


@outermost
def kernel(ohlc, values, first):  # type: ignore[no-untyped-def]
    """Compute all of them for windows (N, T, 4)."""
    n_bars = ohlc.shape[1]
    mass = np.empty(n_bars)  # of the weights of the bars there are
    around_sum(np.ones(n_bars), KEEP, mass)
    bars, before = np.empty((4, n_bars)), np.empty(n_bars + 1)
    extent, level = np.empty(n_bars), np.empty(n_bars)
    log_range, rows = np.empty(n_bars, np.float32), np.empty((_B, n_bars), np.float32)
    for n in range(len(ohlc)):
        split(ohlc[n], bars)
        closes_before(bars, before)
        _levels(bars, mass, extent, level, log_range)
        _evidence(before, level, log_range, rows[:_A])
        _sides(before, extent, level, log_range, rows[_A:])
        emit(rows, values[n], first)
