"""Features of windows seen whole: what lies around a bar, on both sides.

The unit is the two-sided exponential average of the bar range around the bar. A run of ``k`` bars
is scored by its move, in random-walk units, or by its mean log range; a bar takes the best run
that includes it. All are scale-free and direction-free.
"""

from __future__ import annotations

import numpy as np

from proxytools.features.registry import WHOLE, Feature
from proxytools.features.windowed import (
    around_mean,
    compiled,
    last_max,
    ratio,
)

RUNS = (3, 5, 8)  # longer ones tell more of the place in the window than of spans
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


@compiled
def _best_run(score, n_starts, k, out):  # type: ignore[no-untyped-def]
    """(T,) best of the scores of all runs of ``k`` bars that include a bar.

    ``score[s]`` belongs to the run that starts at bar ``s``. The last run covers the last bars.
    """
    for s in range(n_starts, len(score)):
        score[s] = score[n_starts - 1]
    last_max(score, k, out)


@compiled
def _run_moves(before, level, k, score, out):  # type: ignore[no-untyped-def]
    n = len(out)
    k = min(k, n)
    stop, middle, root = before[k:], level[k // 2 :], np.sqrt(k)
    for s in range(n - k + 1):
        score[s] = ratio(abs(stop[s] - before[s]), middle[s] * root)
    _best_run(score, n - k + 1, k, out)


@compiled
def _run_ranges(running, k, score, out):  # type: ignore[no-untyped-def]
    n = len(out)
    k = min(k, n)
    stop = running[k:]
    for s in range(n - k + 1):
        score[s] = (stop[s] - running[s]) / k
    _best_run(score, n - k + 1, k, out)


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
    edge = min(h - 1, n)  # bars whose reach is cut short by the window's start, or its end
    for t in range(edge):
        _one_efficiency(before, mean, t, h, out)
    for t in range(max(edge, n - h + 1), n):
        _one_efficiency(before, mean, t, h, out)
    stop, middle, inside = before[2 * h - 1 :], mean[edge:], out[edge:]
    for i in range(n + 2 - 2 * h):
        way = middle[i] * (2 * h - 1)
        inside[i] = min(ratio(abs(stop[i] - before[i]), way), 1.0)


@compiled
def _one_efficiency(before, mean, t, h, out):  # type: ignore[no-untyped-def]
    first, stop = max(t - h + 1, 0), min(t + h, len(mean))
    out[t] = min(ratio(abs(before[stop] - before[first]), mean[t] * (stop - first)), 1.0)


@compiled
def _against(values, unit, out):  # type: ignore[no-untyped-def]
    for t in range(len(out)):
        out[t] = ratio(values[t], unit[t])


@compiled
def fill(before, extent, level, log_range, rows):  # type: ignore[no-untyped-def]
    """Compute all of them into rows (19, T)."""
    n, typical = len(level), extent.mean()
    work, running, score = np.empty((2, n)), np.empty(n + 1), np.empty(n, np.float32)
    step, mean = work[0], work[1]
    for t in range(n):
        step[t] = abs(before[t + 1] - before[t])
    _against(step, level, rows[0])
    for t in range(n):
        rows[1, t] = ratio(level[t], typical)
    running[0] = 0.0
    for t in range(n):
        running[t + 1] = running[t] + log_range[t]
    i = 2
    for h in SMOOTHED:
        around_mean(log_range, h, rows[i])
        i += 1
    for k in RUNS:
        _run_moves(before, level, k, score, rows[i])
        _run_ranges(running, k, score, rows[i + 1])
        i += 2
    for k in SIDES:
        _sides(before, level, k, rows[i], rows[i + 1], rows[i + 2])
        i += 3
    for h in EFFICIENCIES:
        _efficiency(before, step, h, mean, rows[i])
        i += 1
