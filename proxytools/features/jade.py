"""The predecessor's twelve input features, to its definitions, kept to reproduce its detector.

Signed, but for the range, and not scale-free: 1e-6 price units stand under every denominator. What
the definitions leave open is chosen here:

- the first bar has no true range: the average true range starts with the second bar, and like the
  other denominators it is at least 1e-6, so that a leg on flat prices never turns;
- a bar moves the extreme before it may turn the leg, an equal high (low) keeps the older extreme,
  and the leg in `expansion_proxy` is the one after the bar;
- a swing is as old as its extreme, not as the turn that confirmed it; `consol_proxy` counts a swing
  that has not been as age 0;
- ages are in units of 105 bars, the predecessor's only window length: the window's own length would
  tell a bar how many bars are still to come.
"""

from __future__ import annotations

import numpy as np

from proxytools.features.registry import WHOLE, Feature
from proxytools.features.rolling import ATR_BARS, RANGE_WEIGHT
from proxytools.features.windowed import (
    compiled,
    emit,
    last_ema,
    last_sum,
    outermost,
    per_bar,
    split,
    within,
)
from proxytools.features.zigzag import zigzag

EPS = 1e-6  # price units
AGE_BARS = 105
LIMIT = 3.0


def _feature(
    name: str, meaning: str, unit: str, lookback: int | None, direction_free: bool = False
) -> Feature:
    return Feature(name, meaning, unit, lookback, scale_free=False, direction_free=direction_free)


FEATURES = (
    _feature("open_norm", "open above the low, 0 to 1", "bar ranges", 0),
    _feature("close_norm", "close above the low, 0 to 1", "bar ranges", 0),
    _feature("body_pct", "close minus open, -1 to 1", "bar ranges", 0),
    _feature("upper_wick_pct", "range above the body, 0 to 1", "bar ranges", 0),
    _feature("lower_wick_pct", "range below the body, 0 to 1", "bar ranges", 0),
    _feature("range_z", "bar range over its exponential average, 0 to 3", "ratio", WHOLE, True),
    _feature(
        "dist_to_prev_sh",
        "last swing high minus close, -3 to 3, 0 before the first",
        "ATR",
        WHOLE,
    ),
    _feature(
        "dist_to_prev_sl",
        "close minus last swing low, -3 to 3, 0 before the first",
        "ATR",
        WHOLE,
    ),
    _feature(
        "bars_since_sh_norm",
        "age of the last swing high, 0 to 3, 0 before the first",
        "105 bars",
        WHOLE,
    ),
    _feature(
        "bars_since_sl_norm",
        "age of the last swing low, 0 to 3, 0 before the first",
        "105 bars",
        WHOLE,
    ),
    _feature("expansion_proxy", "range_z times leg times body_pct, -2 to 2", "ratio", WHOLE),
    _feature(
        "consol_proxy",
        "(1 - range_z / 3) (1 - |body_pct|) times the mean age of both swings, 0 to 3",
        "105 bars",
        WHOLE,
    ),
)


@compiled
def _shape(bars, rows):  # type: ignore[no-untyped-def]
    for t in range(bars.shape[1]):
        open_, high, low, close = bars[0, t], bars[1, t], bars[2, t], bars[3, t]
        extent = max(high - low, EPS)
        rows[0, t] = within((open_ - low) / extent, 0.0, 1.0)
        rows[1, t] = within((close - low) / extent, 0.0, 1.0)
        rows[2, t] = (close - open_) / extent
        rows[3, t] = (high - max(open_, close)) / extent
        rows[4, t] = (min(open_, close) - low) / extent


@compiled
def _range_z(bars, extent, level, out):  # type: ignore[no-untyped-def]
    for t in range(len(out)):
        extent[t] = bars[1, t] - bars[2, t]
    last_ema(extent, RANGE_WEIGHT, level)
    for t in range(len(out)):
        out[t] = within(extent[t] / max(level[t], EPS), 0.0, LIMIT)


@compiled
def _atr(bars, true_range, out):  # type: ignore[no-untyped-def]
    """Average true range of the second bar and those after it."""
    high, low, before = bars[1, 1:], bars[2, 1:], bars[3]
    for i in range(len(high)):
        true_range[i] = max(high[i], before[i]) - min(low[i], before[i])
    later = out[1:]
    last_sum(true_range[: len(later)], ATR_BARS, later)
    per_bar(ATR_BARS, later)
    for i in range(len(later)):
        later[i] = max(later[i], EPS)


@compiled
def _fill(bars, rows, work):  # type: ignore[no-untyped-def]
    """Compute all twelve of bars (4, T) into rows (12, T)."""
    body, range_z, high_age, low_age = rows[2], rows[5], rows[8], rows[9]
    atr, leg, spare = work[0], work[1], work[2]
    _shape(bars, rows)
    _range_z(bars, spare, leg, range_z)
    _atr(bars, spare, atr)
    zigzag(bars, atr, leg, rows[6], rows[7], high_age, low_age)
    for t in range(bars.shape[1]):
        high_age[t] = min(high_age[t] / AGE_BARS, LIMIT)
        low_age[t] = min(low_age[t] / AGE_BARS, LIMIT)
        rows[10, t] = within(range_z[t] * leg[t] * body[t], -2.0, 2.0)
        quiet = (1.0 - range_z[t] / LIMIT) * (1.0 - abs(body[t]))
        rows[11, t] = within(quiet * 0.5 * (high_age[t] + low_age[t]), 0.0, LIMIT)


@outermost
def kernel(ohlc, values, first):  # type: ignore[no-untyped-def]
    """Compute all twelve for windows (N, T, 4)."""
    n_bars = ohlc.shape[1]
    bars, rows, work = np.empty((4, n_bars)), np.empty((12, n_bars)), np.empty((3, n_bars))
    for n in range(len(ohlc)):
        split(ohlc[n], bars)
        _fill(bars, rows, work)
        emit(rows, values[n], first)
