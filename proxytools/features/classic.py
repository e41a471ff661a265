"""The predecessor's four features and its acceleration, to its definitions.

They are signed and, but for the momentum, not scale-free; the first bars, which lack their
look-back, are 0. Kept so that old figures can be reproduced.
"""

from __future__ import annotations

import numpy as np

from proxytools.features.registry import Feature
from proxytools.features.windowed import compiled, doubled, emit, last_sum, outermost, split

FEATURES = (
    Feature(
        "momentum_3",
        "close minus the close 3 bars ago, over the range of the last 4 bars",
        "ranges",
        lookback=3,
        scale_free=False,  # 1e-9 is added to the range
        direction_free=False,
    ),
    Feature(
        "direction_streak",
        "rising bars among the last 10",
        "bars",
        lookback=9,
        direction_free=False,
    ),
    Feature(
        "cum_return_5",
        "sum of the last 5 simple returns",
        "fraction of the price",
        lookback=5,
        direction_free=False,
    ),
    Feature(
        "volatility",
        "sample standard deviation of the last 20 bar ranges",
        "price",
        lookback=19,
        scale_free=False,
    ),
    Feature(
        "accel",
        "change of momentum_3 since the bar before",
        "ranges",
        lookback=4,
        scale_free=False,
        direction_free=False,
    ),
)


@compiled
def _fill(bars, rows, work):  # type: ignore[no-untyped-def]
    n = bars.shape[1]
    high, low, close = bars[1], bars[2], bars[3]
    momentum, rising, returns, volatility, accel = rows[0], rows[1], rows[2], rows[3], rows[4]
    change, up, extent, spare = work[0], work[1], work[2], work[3]
    for t in range(3, n):
        top = max(max(high[t], high[t - 1]), max(high[t - 2], high[t - 3]))
        bottom = min(min(low[t], low[t - 1]), min(low[t - 2], low[t - 3]))
        momentum[t] = (close[t] - close[t - 3]) / (top - bottom + 1e-9)
    for t in range(4, n):
        accel[t] = momentum[t] - momentum[t - 1]
    change[0] = 0.0
    for t in range(1, n):  # a return on a price of 0 is no number: counted as none
        change[t] = close[t] / close[t - 1] - 1.0 if close[t - 1] != 0.0 else 0.0
    for t in range(n):
        up[t] = 1.0 if close[t] > bars[0, t] else 0.0
        extent[t] = high[t] - low[t]
    last_sum(change, 5, returns)
    returns[:5] = 0.0
    last_sum(up, 5, spare)
    doubled(spare, 5, rising)
    rising[:9] = 0.0
    _deviation_20(extent, change, up, spare, volatility)


@compiled
def _deviation_20(x, total, wider, spare, squares):  # type: ignore[no-untyped-def]
    """Sample standard deviation of the last 20.

    Squares about the mean of 5, then of 10 and of 20 by pairing (Chan, Golub and LeVeque 1983):
    only positive terms are added, so no digits cancel.
    """
    n = len(x)
    last_sum(x, 5, total)
    squares[:] = 0.0
    late, sums = squares[4:], total[4:]
    for lag in range(5):
        early = x[lag:]
        for i in range(n - 4):
            late[i] += (early[i] - sums[i] / 5) ** 2
    for k in (5, 10):
        spare[:] = squares
        late, sums = squares[k:], total[k:]
        for i in range(n - k):
            late[i] += spare[i] + (sums[i] - total[i]) ** 2 / (2 * k)
        doubled(total, k, wider)
        total[:] = wider
    squares[:19] = 0.0
    for t in range(n):
        squares[t] = np.sqrt(squares[t] / 19)


@outermost
def kernel(ohlc, values, first):  # type: ignore[no-untyped-def]
    """Compute all five for windows (N, T, 4)."""
    for n in range(ohlc.shape[0]):
        bars = np.empty((4, ohlc.shape[1]))
        rows = np.zeros((5, ohlc.shape[1]))
        split(ohlc[n], bars)
        _fill(bars, rows, np.empty((4, ohlc.shape[1])))
        emit(rows, values[n], first)
