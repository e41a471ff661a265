"""One pass over the bars for every scale-free feature that never looks ahead."""

from __future__ import annotations

import numpy as np

from proxytools.features import candle, multiscale, rolling
from proxytools.features.windowed import closes_before, emit, outermost, split

FEATURES = candle.FEATURES + multiscale.FEATURES + rolling.FEATURES

_shape, _moves, _states = candle.fill, multiscale.fill, rolling.fill
_A = len(candle.FEATURES)
_B = _A + len(multiscale.FEATURES)
_C = _B + len(rolling.FEATURES)


@outermost
def kernel(ohlc, values, first):  # type: ignore[no-untyped-def]
    """Compute all of them for windows (N, T, 4)."""
    n_bars = ohlc.shape[1]
    bars, before, work = np.empty((4, n_bars)), np.empty(n_bars + 1), np.empty((10, n_bars))
    rows = np.empty((_C, n_bars), np.float32)
    for n in range(len(ohlc)):
        split(ohlc[n], bars)
        closes_before(bars, before)
        _shape(bars, rows[:_A])
        _moves(bars, before, work, rows[_A:_B])
        _states(bars, before, work, rows[_B:])
        emit(rows, values[n], first)
