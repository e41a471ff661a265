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
def _momentum(high, low, close, out):  # type: ignore[no-untyped-def]
    high_1, high_2, high_3 = high[1:], high[2:], high[3:]
    low_1, low_2, low_3, close_3 = low[1:], low[2:], low[3:], close[3:]
    for i in range(len(out)):
        top = max(max(high[i], high_1[i]), max(high_2[i], high_3[i]))
        bottom = min(min(low[i], low_1[i]), min(low_2[i], low_3[i]))
        out[i] = (close_3[i] - close[i]) / (top - bottom + 1e-9)


@compiled
def _less(x, y, out):  # type: ignore[no-untyped-def]
    for i in range(len(out)):
        out[i] = x[i] - y[i]


@compiled
def _fill(bars, rows, work):  # type: ignore[no-untyped-def]
    n = bars.shape[1]
    high, low, close = bars[1], bars[2], bars[3]
    momentum, rising, returns, volatility, accel = rows[0], rows[1], rows[2], rows[3], rows[4]
    change, up, extent, spare = work[0], work[1], work[2], work[3]
    _momentum(high, low, close, momentum[3:])
    _less(momentum[4:], momentum[3:], accel[4:])
    change[0] = 0.0
    late, early, step = close[1:], close[: n - 1], change[1:]
    for i in range(n - 1):  # a return on a price of 0 is no number: counted as none
        step[i] = late[i] / early[i] - 1.0 if early[i] != 0.0 else 0.0
    open_ = bars[0]
    for t in range(n):
        up[t] = 1.0 if close[t] > open_[t] else 0.0
        extent[t] = high[t] - low[t]
    last_sum(change, 5, returns)
    returns[:5] = 0.0
    last_sum(up, 5, spare)
    doubled(spare, 5, rising)
    rising[:9] = 0.0
    _deviation_20(extent, change, up, spare, work[4], volatility)


@compiled
def _deviation_20(x, sums, squares, other_sums, other_squares, out):  # type: ignore[no-untyped-def]
    """Sample standard deviation of the last 20.

    Squares about the mean of 2, 4, 5, 10 and 20 by pairing (Chan, Golub and LeVeque 1983): only
    positive terms are added, so no digits cancel, and equal values give exactly 0.
    """
    other_squares[:] = 0.0  # of one value
    _pair(x, other_squares, 1, sums, squares)
    _pair(sums, squares, 2, other_sums, other_squares)
    four, square, fifth = other_sums[4:], other_squares[4:], x
    five, squares_5 = sums[4:], squares[4:]
    for i in range(len(five)):
        five[i] = four[i] + fifth[i]
        squares_5[i] = square[i] + (0.25 * four[i] - fifth[i]) ** 2 * 0.8
    _pair(sums, squares, 5, other_sums, other_squares)
    _pair(other_sums, other_squares, 10, sums, squares)
    late, variance = out[19:], squares[19:]
    for i in range(len(late)):
        late[i] = np.sqrt(variance[i] * (1.0 / 19.0))


@compiled
def _pair(sums, squares, k, new_sums, new_squares):  # type: ignore[no-untyped-def]
    """Make sums and squares about the mean of the last ``2 k`` values from those of ``k``."""
    first, second = sums[k - 1 :], sums[2 * k - 1 :]
    first_square, second_square = squares[k - 1 :], squares[2 * k - 1 :]
    sum_, square, half = new_sums[2 * k - 1 :], new_squares[2 * k - 1 :], 0.5 / k
    for i in range(len(sum_)):
        sum_[i] = first[i] + second[i]
        apart = second[i] - first[i]
        square[i] = first_square[i] + second_square[i] + apart * apart * half


@outermost
def kernel(ohlc, values, first):  # type: ignore[no-untyped-def]
    """Compute all five for windows (N, T, 4)."""
    n_bars = ohlc.shape[1]
    bars, work = np.empty((4, n_bars)), np.empty((5, n_bars))
    rows = np.zeros((5, n_bars))  # no window writes the first bars of some
    for n in range(len(ohlc)):
        split(ohlc[n], bars)
        _fill(bars, rows, work)
        emit(rows, values[n], first)
