"""Features by which the bars of one move add up: signed moves, in units of the variance around.

A bar's variance is estimated from its range and its move (Garman and Klass 1980), where the price
before the bar counts as part of it; the variance around is the two-sided exponential average of its
logarithm, which one wild bar does not take along. Signed features change their sign, the others do
not change, when the window is turned upside down.
"""

from __future__ import annotations

import numpy as np

from proxytools.features.registry import WHOLE, Feature
from proxytools.features.windowed import closes_before, compiled, emit, outermost, split, within

TAU, SHORT_TAU = 15.0, 10.0  # bars in which the weight of the variance around falls to 1 / e
NEAR = (3.0, 1.0)  # likewise, of two nearer averages
SIDES = ((1, 1), (3, 3), (4, 0), (0, 4), (9, 0), (0, 9))  # bars before and after a bar
FLOOR, SHORT_FLOOR = 0.05, 0.1  # typical variances: a still bar's logarithm stays finite
UPWARD = 1.1  # the mean log of a bar's variance lies below the log of the mean
LIMIT, ENERGY_LIMIT = 8.0, 25.0

_SHORT, _SHORT_SQUARED = "sigmas within 10 bars", "variances within 10 bars"
_ABOUT = "of the {a} bars before, the bar and the {b} after it"

FEATURES = (
    Feature("drift", "move of the bar", "sigmas", WHOLE, WHOLE, direction_free=False, signed=True),
    Feature(
        "lean",
        "reach above the price before minus reach below",
        "sigmas",
        WHOLE,
        WHOLE,
        direction_free=False,
        signed=True,
    ),
    Feature("drift_energy", "squared move of the bar", "variances around", WHOLE, WHOLE),
    Feature("bar_variance", "variance of the bar", "variances around", WHOLE, WHOLE),
    Feature("log_variance", "log of the same", "log ratio", WHOLE, WHOLE),
    *(
        Feature(
            f"log_variance_{tau:.0f}",
            f"log of the variance within about {tau:.0f} bars over the variance around",
            "log ratio",
            WHOLE,
            WHOLE,
        )
        for tau in NEAR
    ),
    Feature("sigma_trend", "log sigma around less its mean", "log ratio", WHOLE, WHOLE),
    *(
        Feature(
            f"drift_{a}_{b}",
            f"move {_ABOUT.format(a=a, b=b)}",
            "sigmas x sqrt(bars)",
            WHOLE,
            WHOLE,
            direction_free=False,
            signed=True,
        )
        for a, b in SIDES
    ),
    *(
        Feature(
            f"abs_drift_{a}_{b}",
            f"absolute move {_ABOUT.format(a=a, b=b)}",
            "sigmas x sqrt(bars)",
            WHOLE,
            WHOLE,
        )
        for a, b in SIDES
    ),
    Feature(
        "short_drift", "move of the bar", _SHORT, WHOLE, WHOLE, direction_free=False, signed=True
    ),
    Feature(
        "short_lean",
        "reach above the price before minus reach below",
        _SHORT,
        WHOLE,
        WHOLE,
        direction_free=False,
        signed=True,
    ),
    Feature(
        "signed_energy",
        "squared move of the bar, with its sign",
        _SHORT_SQUARED,
        WHOLE,
        WHOLE,
        direction_free=False,
        signed=True,
    ),
    Feature("short_energy", "squared move of the bar", _SHORT_SQUARED, WHOLE, WHOLE),
    Feature("range_energy", "a third of the bar's squared range", _SHORT_SQUARED, WHOLE, WHOLE),
    Feature("both_ways", "reach above times reach below", _SHORT_SQUARED, WHOLE, WHOLE),
    Feature("short_log_variance", "log of the bar's variance", "log ratio", WHOLE, WHOLE),
    Feature("short_abs_drift", "absolute move of the bar", _SHORT, WHOLE, WHOLE),
    Feature("short_abs_lean", "absolute lean", _SHORT, WHOLE, WHOLE),
)
_N = len(FEATURES)
_SINGLE = 8  # features of one bar against the variance around
_FIRST_SHORT = _SINGLE + 2 * len(SIDES)


@compiled
def _variances(bars, before, moves, lean, variance, extent):  # type: ignore[no-untyped-def]
    """Move, lean, variance and squared range of each bar; returns a typical variance.

    It is 0 in a flat window alone.
    """
    n = len(moves)
    for t in range(n):
        high, low = max(bars[1, t], before[t]), min(bars[2, t], before[t])
        moves[t] = bars[3, t] - before[t]
        lean[t] = (high - before[t]) - (before[t] - low)
        extent[t] = (high - low) * (high - low)
        variance[t] = 0.5 * extent[t] - 0.386 * moves[t] * moves[t]
    return max(np.median(extent), 0.01 * extent.mean()) / 3.0


@compiled
def _around(values, tau, out):  # type: ignore[no-untyped-def]
    """Two-sided exponential average, over the bars there are."""
    n, keep = len(values), np.exp(-1.0 / tau)
    running, mass = 0.0, 0.0
    weight = np.empty(n)
    for t in range(n):
        running, mass = running * keep + values[t], mass * keep + 1.0
        out[t], weight[t] = running, mass
    running, mass = 0.0, 0.0
    for t in range(n - 1, -1, -1):
        out[t] = (out[t] + running) / (weight[t] + mass)
        running, mass = (running + values[t]) * keep, (mass + 1.0) * keep


@compiled
def _fill(moves, lean, variance, typical, rows):  # type: ignore[no-untyped-def]
    n = len(moves)
    log, level, near = np.empty(n), np.empty(n), np.empty(n)
    for t in range(n):
        log[t] = np.log(variance[t] / typical + FLOOR)
    _around(log, TAU, level)
    mean = level.mean()
    running = np.zeros(n + 1)
    for t in range(n):
        sigma = np.sqrt(typical) * np.exp(0.5 * level[t]) * UPWARD
        scaled = moves[t] / sigma
        running[t + 1] = running[t] + scaled
        rows[0, t], rows[1, t] = scaled, lean[t] / sigma
        rows[2, t], rows[3, t] = scaled * scaled, variance[t] / (sigma * sigma)
        rows[4, t] = log[t] - level[t]
        rows[7, t] = 0.5 * (level[t] - mean)
    for i in range(len(NEAR)):
        _around(log, NEAR[i], near)
        for t in range(n):
            rows[5 + i, t] = near[t] - level[t]
    for i in range(len(SIDES)):
        a, b = SIDES[i]
        for t in range(n):
            first, stop = max(t - a, 0), min(t + b + 1, n)
            moved = (running[stop] - running[first]) / np.sqrt(stop - first)
            rows[_SINGLE + i, t] = moved
            rows[_SINGLE + len(SIDES) + i, t] = abs(moved)


@compiled
def _fill_short(moves, lean, variance, extent, typical, rows):  # type: ignore[no-untyped-def]
    """Compute the bar's features against the variance of fewer bars around, into (9, T)."""
    n = len(moves)
    log, level = np.empty(n), np.empty(n)
    for t in range(n):
        log[t] = np.log(variance[t] / typical + SHORT_FLOOR)
    _around(log, SHORT_TAU, level)
    for t in range(n):
        squared = typical * np.exp(level[t])
        sigma = np.sqrt(squared)
        scaled, leaning = moves[t] / sigma, lean[t] / sigma
        rows[0, t], rows[1, t], rows[2, t] = scaled, leaning, scaled * abs(scaled)
        rows[3, t], rows[4, t] = scaled * scaled, extent[t] / (3.0 * squared)
        # (range - |lean|) / 2 is the shorter reach, and it and |lean| make the longer
        shorter = 0.5 * (np.sqrt(extent[t]) - abs(lean[t]))
        rows[5, t] = shorter * (shorter + abs(lean[t])) / squared
        rows[6, t] = log[t] - level[t]
        rows[7, t], rows[8, t] = abs(scaled), abs(leaning)


@outermost
def kernel(ohlc, values, first):  # type: ignore[no-untyped-def]
    """Compute all of them for windows (N, T, 4); 0 where prices never move."""
    n_bars = ohlc.shape[1]
    bars, before = np.empty((4, n_bars)), np.empty(n_bars + 1)
    moves, lean = np.empty(n_bars), np.empty(n_bars)
    variance, extent = np.empty(n_bars), np.empty(n_bars)
    rows, shown = np.zeros((_N, n_bars)), np.empty((_N, n_bars), np.float32)
    for n in range(len(ohlc)):
        split(ohlc[n], bars)
        closes_before(bars, before)
        typical = _variances(bars, before, moves, lean, variance, extent)
        rows[:] = 0.0
        if typical > 0.0:
            _fill(moves, lean, variance, typical, rows)
            _fill_short(moves, lean, variance, extent, typical, rows[_FIRST_SHORT:])
        for i in range(_N):
            limit = ENERGY_LIMIT if i >= _FIRST_SHORT else LIMIT
            for t in range(n_bars):
                shown[i, t] = within(rows[i, t], -limit, limit)
        emit(shown, values[n], first)
