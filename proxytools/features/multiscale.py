"""Moves, efficiency, place and range over several look-backs, all causal and scale-free.

Moves are measured against what a random walk with the mean bar range of the last 20 bars would
make of as many bars: a move of about 1 is ordinary. At the start of a window look-backs are cut
short, not filled with zeros, so that a value says nothing of the bar's place in its window.
"""

from __future__ import annotations

import numpy as np

from proxytools.features.registry import Feature
from proxytools.features.windowed import (
    compiled,
    doubled,
    last_max,
    last_sum,
    longer_max,
    per_bar,
    ratio,
)

MOVES = (5, 20)
ABS_MOVES = (3, 5, 10, 20)
EFFICIENCIES = (5, 10, 20)
PLACES = (10, 40)
EXPANSIONS = (5, 10)
REACHES = (5, 10, 20, 40)
TYPICAL = 20  # bars whose mean range is the unit of a move
LONG = 40  # bars whose mean range an expansion is measured against

FEATURES = (
    *(
        Feature(
            f"efficiency_{k}",
            f"absolute move over the last {k} bars over the sum of absolute moves, 0 to 1",
            "fraction",
            k,
        )
        for k in EFFICIENCIES
    ),
    *(
        Feature(
            f"place_{k}",
            f"close within the high-low range of the last {k} bars, -1 (low) to 1 (high)",
            "half ranges",
            k - 1,
            direction_free=False,
            signed=True,
        )
        for k in PLACES
    ),
    *(
        Feature(
            f"range_expansion_{k}",
            f"mean bar range of the last {k} bars over that of the last {LONG}",
            "ratio",
            LONG - 1,
        )
        for k in EXPANSIONS
    ),
    *(
        Feature(
            f"move_{k}",
            f"move over the last {k} bars, in random-walk units of the last {TYPICAL} bars' range",
            "mean ranges x sqrt(bars)",
            max(k, TYPICAL - 1),
            direction_free=False,
            signed=True,
        )
        for k in MOVES
    ),
    *(
        Feature(
            f"abs_move_{k}",
            f"absolute move over the last {k} bars, in random-walk units",
            "mean ranges x sqrt(bars)",
            max(k, TYPICAL - 1),
        )
        for k in ABS_MOVES
    ),
)


@compiled
def _past_moves(before, k, out):  # type: ignore[no-untyped-def]
    """Move over the last ``k`` bars, of fewer at the start."""
    n = len(out)
    for t in range(min(k, n)):
        out[t] = before[t + 1] - before[0]
    late, now = out[k:], before[k + 1 :]
    for i in range(len(late)):
        late[i] = now[i] - before[i + 1]


@compiled
def _walk_moves(before, unit, k, out):  # type: ignore[no-untyped-def]
    """Move over the last ``k`` bars in units of what a random walk makes of them."""
    n = len(out)
    for t in range(min(k, n)):
        out[t] = ratio(before[t + 1] - before[0], unit[t] * np.sqrt(t + 1.0))
    root = np.sqrt(k)
    late, now, level = out[k:], before[k + 1 :], unit[k:]
    for i in range(len(late)):
        late[i] = ratio(now[i] - before[i + 1], level[i] * root)


@compiled
def _size(move, out):  # type: ignore[no-untyped-def]
    for t in range(len(out)):
        out[t] = abs(move[t])


@compiled
def _efficiency(move, total, row):  # type: ignore[no-untyped-def]
    for t in range(len(row)):
        row[t] = min(ratio(abs(move[t]), total[t]), 1.0)


@compiled
def _place(close, top, bottom, row):  # type: ignore[no-untyped-def]
    for t in range(len(row)):
        row[t] = ratio(2.0 * close[t] - top[t] + bottom[t], top[t] + bottom[t])


@compiled
def _expansion(mean, unit, row):  # type: ignore[no-untyped-def]
    for t in range(len(row)):
        row[t] = ratio(mean[t], unit[t])


@compiled
def _sums(x, sums):  # type: ignore[no-untyped-def]
    """Sum up (4, T) the last 5, 10, 20 and 40 values."""
    last_sum(x, 5, sums[0])
    doubled(sums[0], 5, sums[1])
    doubled(sums[1], 10, sums[2])
    doubled(sums[2], 20, sums[3])


@compiled
def fill(bars, before, work, rows):  # type: ignore[no-untyped-def]
    """Compute all of them of bars (4, T) into rows (13, T), with ten rows of ``work`` (_, T)."""
    n = bars.shape[1]
    high, low, close = bars[1], bars[2], bars[3]
    extent, step, depth = work[0], work[1], work[2]
    top, bottom, spare, sums = work[3], work[4], work[5], work[6:10]
    for t in range(n):
        extent[t] = high[t] - low[t]
        step[t] = abs(before[t + 1] - before[t])
        depth[t] = -low[t]
    i = 0
    _sums(step, sums)
    for j in range(len(EFFICIENCIES)):
        _past_moves(before, EFFICIENCIES[j], top)
        _efficiency(top, sums[j], rows[i])
        i += 1
    last_max(high, PLACES[0], top)
    last_max(depth, PLACES[0], bottom)
    _place(close, top, bottom, rows[i])
    longer_max(PLACES[0], PLACES[1], top, spare)
    longer_max(PLACES[0], PLACES[1], bottom, spare)
    _place(close, top, bottom, rows[i + 1])
    i += 2
    _sums(extent, sums)
    for j in range(4):
        per_bar(REACHES[j], sums[j])
    for j in range(len(EXPANSIONS)):
        _expansion(sums[j], sums[3], rows[i])
        i += 1
    unit = sums[2]
    for k in MOVES:
        _walk_moves(before, unit, k, rows[i])
        i += 1
    for k in ABS_MOVES:
        _walk_moves(before, unit, k, top)
        _size(top, rows[i])
        i += 1
