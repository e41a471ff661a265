"""Features of windows seen whole: what lies around a bar, on both sides.

The unit is the two-sided exponential average of the bar range around the bar. A run of ``k`` bars
is scored by its move, in random-walk units, or by its mean log range; a bar takes the best run
that includes it. All are scale-free and direction-free.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from proxytools.features.registry import WHOLE, Feature
from proxytools.features.windowed import (
    around_mean,
    around_sum,
    closes_before,
    compiled,
    emit,
    last_max,
    log_growth,
    parallel,
    ratio,
    split,
)

LEVEL_KEEP = 0.9
RUNS = (3, 5, 8, 13, 21)
SMOOTHED = (1, 2, 4)
SIDES = (5, 10)
EFFICIENCIES = (5, 10)

FEATURES = (
    Feature(
        "step_size",
        "absolute close-to-close move over the range around",
        "mean ranges",
        WHOLE,
        WHOLE,
    ),
    Feature(
        "range_trend",
        "range around over the window's mean range",
        "ratio",
        WHOLE,
        WHOLE,
    ),
    *(
        Feature(
            f"range_around_{h}",
            f"mean log range, against the range around, of the bars at most {h} away",
            "log ratio",
            WHOLE,
            WHOLE,
        )
        for h in SMOOTHED
    ),
    *(
        Feature(
            f"run_{what}_{k}",
            f"largest {meaning} of a {k}-bar run that includes the bar",
            unit,
            WHOLE,
            WHOLE,
        )
        for k in RUNS
        for what, meaning, unit in (
            ("move", "absolute move", "mean ranges x sqrt(bars)"),
            ("range", "mean log range", "log ratio"),
        )
    ),
    *(
        Feature(f"{what}_{k}", meaning.format(k=k), "mean ranges x sqrt(bars)", WHOLE, WHOLE)
        for k in SIDES
        for what, meaning in (
            ("past_move", "absolute move of the {k} bars up to and with the bar"),
            ("next_move", "absolute move of the {k} bars from the bar on"),
            ("agreement", "move of the past {k} bars, negative where the next {k} go against it"),
        )
    ),
    *(
        Feature(
            f"efficiency_around_{h}",
            f"absolute move over the sum of absolute moves, of the bars less than {h} away, 0 to 1",
            "fraction",
            h,
            h - 1,
        )
        for h in EFFICIENCIES
    ),
)
N_FEATURES = len(FEATURES)


@compiled
def _best_run(score, n_starts, k, out, spare):  # type: ignore[no-untyped-def]
    """(T,) best of the scores of all runs of ``k`` bars that include a bar.

    ``score[s]`` belongs to the run that starts at bar ``s``. The last run covers the last bars.
    """
    score[n_starts:] = score[n_starts - 1]
    last_max(score, k, out, spare)


@compiled
def _runs(before, log_range, level, k, score, spare, move, wide):  # type: ignore[no-untyped-def]
    n = len(log_range)
    k = min(k, n)
    n_starts = n - k + 1
    stop, middle, root = before[k:], level[k // 2 :], np.sqrt(k)
    for s in range(n_starts):
        score[s] = ratio(abs(stop[s] - before[s]), middle[s] * root)
    _best_run(score, n_starts, k, move, spare)
    score[:] = 0.0
    for lag in range(k):
        late = log_range[lag:]
        for s in range(n_starts):
            score[s] += late[s]
    for s in range(n_starts):
        score[s] /= k
    _best_run(score, n_starts, k, wide, spare)


@compiled
def _sides(before, level, k, past, after, agreement):  # type: ignore[no-untyped-def]
    n, root = len(level), np.sqrt(k)
    for t in range(n):
        agreement[t] = level[t] * root  # the unit of both moves
    for t in range(min(k, n)):  # moves cut short by the window's edges, in units as short
        short = np.sqrt((t + 1.0) / k)
        past[t] = ratio(before[t + 1] - before[0], agreement[t] * short)
        after[n - 1 - t] = ratio(before[n] - before[n - 1 - t], agreement[n - 1 - t] * short)
    for t in range(k, n):
        past[t] = ratio(before[t + 1] - before[t + 1 - k], agreement[t])
    for t in range(n - k):
        after[t] = ratio(before[t + k] - before[t], agreement[t])
    for t in range(n):
        same = past[t] * after[t] > 0.0
        size = abs(past[t])
        against = past[t] * after[t] < 0.0
        agreement[t] = size if same else (-size if against else 0.0)
        past[t] = size
        after[t] = abs(after[t])


@compiled
def _efficiency(before, step, h, mean, out):  # type: ignore[no-untyped-def]
    n = len(step)
    around_mean(step, h - 1, mean)
    for t in range(n):
        first, stop = max(t - h + 1, 0), min(t + h, n)
        out[t] = min(ratio(abs(before[stop] - before[first]), mean[t] * (stop - first)), 1.0)


@compiled
def _levels(bars, mass, before, extent, level, step):  # type: ignore[no-untyped-def]
    for t in range(len(level)):
        extent[t] = bars[1, t] - bars[2, t]
        step[t] = abs(before[t + 1] - before[t])
    around_sum(extent, LEVEL_KEEP, level)
    for t in range(len(level)):
        level[t] /= mass[t]


@compiled
def _around(extent, level, step, mean, log_range, step_size, trend):  # type: ignore[no-untyped-def]
    """Each bar against the range around it, and that against the window's mean range."""
    log_growth(extent, level, log_range)
    for t in range(len(level)):
        step_size[t] = ratio(step[t], level[t])
        trend[t] = ratio(level[t], mean)


@compiled
def _fill(bars, before, mass, rows, work, single):  # type: ignore[no-untyped-def]
    extent, level, step = work[0], work[1], work[2]
    log_range, score, spare = single[0], single[1], single[2]
    _levels(bars, mass, before, extent, level, step)
    _around(extent, level, step, extent.mean(), log_range, rows[0], rows[1])
    i = 2
    for h in SMOOTHED:
        around_mean(log_range, h, rows[i])
        i += 1
    for k in RUNS:
        _runs(before, log_range, level, k, score, spare, rows[i], rows[i + 1])
        i += 2
    for k in SIDES:
        _sides(before, level, k, rows[i], rows[i + 1], rows[i + 2])
        i += 3
    for h in EFFICIENCIES:
        _efficiency(before, step, h, extent, rows[i])
        i += 1


@parallel
def kernel(ohlc, values, first):  # type: ignore[no-untyped-def]
    """Compute all of them for windows (N, T, 4)."""
    n_bars = ohlc.shape[1]
    mass = np.empty(n_bars)  # of the weights of the bars there are
    around_sum(np.ones(n_bars), LEVEL_KEEP, mass)
    for n in prange(ohlc.shape[0]):
        bars = np.empty((4, n_bars))
        rows = np.empty((N_FEATURES, n_bars), np.float32)
        split(ohlc[n], bars)
        before, work = np.empty(n_bars + 1), np.empty((3, n_bars))
        closes_before(bars, before)
        single = np.empty((3, n_bars), np.float32)
        _fill(bars, before, mass, rows, work, single)
        emit(rows, values[n], first)
