"""States that roll along the bars: streak, range against its average, swing, evidence of drift.

All causal. The zigzag is the predecessor's; the evidence is Page's CUSUM (1954) of the likelihood
ratio of a drifting against a driftless random walk.
"""

from __future__ import annotations

import numpy as np

from proxytools.features.registry import WHOLE, Feature
from proxytools.features.windowed import (
    compiled,
    inlined,
    last_ema,
    last_sum,
    per_bar,
    ratio,
    within,
)

RANGE_WEIGHT = 2.0 / 21.0  # exponential average of the bar range, as of 20 bars
ATR_BARS = 10
TURN = 1.2  # a leg turns when the close is this many ATR from its extreme,
QUICK_TURN, QUICK_BARS = 0.5, 5  # or a bar retraces this much from an extreme this fresh
SWING_LIMIT = 3.0
SIGMAS_A_RANGE = 1.0 / 1.6  # a Brownian bar's mean range is 1.596 of its sigma (Feller 1951)
DRIFTS = (0.5, 1.0)  # sigmas a bar
STEP_LIMIT, SCORE_LIMIT = 4.0, 20.0

FEATURES = (
    Feature(
        "streak",
        "signed count of the latest bars that closed in one direction from their open",
        "bars",
        WHOLE,
        direction_free=False,
        signed=True,
    ),
    Feature("streak_length", "absolute streak", "bars", WHOLE),
    Feature("range_ratio", "bar range over its exponential average, 0 to 10", "ratio", WHOLE),
    Feature(
        "swing_leg",
        "direction of the zigzag's leg: 1 up, -1 down, 0 none yet",
        "sign",
        WHOLE,
        direction_free=False,
    ),
    Feature(
        "below_swing_high",
        "last finished swing high minus close, -3 to 3, 0 before the first",
        "ATR",
        WHOLE,
        direction_free=False,
    ),
    Feature(
        "above_swing_low",
        "close minus last finished swing low, -3 to 3, 0 before the first",
        "ATR",
        WHOLE,
        direction_free=False,
    ),
    *(
        Feature(
            f"drift_evidence_{drift:.1f}".replace(".", ""),
            f"CUSUM of a drift of {drift} sigma a bar in either direction, 0 to {SCORE_LIMIT:.0f}",
            "nats",
            WHOLE,
        )
        for drift in DRIFTS
    ),
)


@compiled
def _streak(bars, signed, length):  # type: ignore[no-untyped-def]
    run = 0.0
    for t in range(bars.shape[1]):
        if bars[3, t] > bars[0, t]:
            run = max(run, 0.0) + 1.0
        elif bars[3, t] < bars[0, t]:
            run = min(run, 0.0) - 1.0
        else:
            run = 0.0
        signed[t] = run
        length[t] = abs(run)


@compiled
def _swing(bars, atrs, leg_row, above_row, below_row):  # type: ignore[no-untyped-def]
    high, low, close = bars[1], bars[2], bars[3]
    leg, extreme, age = 0, 0.0, 0
    swing_high, swing_low = np.nan, np.nan
    for t in range(len(close)):
        if t == 0:
            leg_row[t] = above_row[t] = below_row[t] = 0.0
            continue
        atr = atrs[t]
        if leg == 0:
            leg, extreme, age = 1, close[t], 0
        else:
            age += 1
            tip = high[t] if leg > 0 else low[t]
            if leg * (tip - extreme) > 0.0:
                extreme, age = tip, 0
            other = low[t] if leg > 0 else high[t]
            far = leg * (extreme - close[t]) >= TURN * atr
            quick = age <= QUICK_BARS and leg * (extreme - other) >= QUICK_TURN * atr
            if atr > 0.0 and (far or quick):
                if leg > 0:
                    swing_high = extreme
                else:
                    swing_low = extreme
                leg, extreme, age = -leg, other, 0
        leg_row[t] = leg
        above = ratio(swing_high - close[t], atr) if swing_high == swing_high else 0.0
        below = ratio(close[t] - swing_low, atr) if swing_low == swing_low else 0.0
        above_row[t] = within(above, -SWING_LIMIT, SWING_LIMIT)
        below_row[t] = within(below, -SWING_LIMIT, SWING_LIMIT)


@inlined
def _grown(score, z, drift):  # type: ignore[no-untyped-def]
    return within(score + drift * (z - 0.5 * drift), 0.0, SCORE_LIMIT)


@compiled
def _cusums(change, level, weak, strong):  # type: ignore[no-untyped-def]
    """Follow both drifts in one loop: a score waits for its last value, not for the others."""
    weak_up = weak_down = strong_up = strong_down = 0.0
    for t in range(len(weak)):
        z = within(ratio(change[t], level[t] * SIGMAS_A_RANGE), -STEP_LIMIT, STEP_LIMIT)
        weak_up, weak_down = _grown(weak_up, z, DRIFTS[0]), _grown(weak_down, -z, DRIFTS[0])
        strong_up, strong_down = _grown(strong_up, z, DRIFTS[1]), _grown(strong_down, -z, DRIFTS[1])
        weak[t], strong[t] = max(weak_up, weak_down), max(strong_up, strong_down)


@compiled
def fill(bars, before, work, rows):  # type: ignore[no-untyped-def]
    """Compute all of them of bars (4, T) into rows (8, T), with four rows of ``work`` (_, T)."""
    n = bars.shape[1]
    extent, level, change, true_range = work[0], work[1], work[2], work[3]
    for t in range(n):
        extent[t] = bars[1, t] - bars[2, t]
        change[t] = before[t + 1] - before[t]
        true_range[t] = max(bars[1, t], before[t]) - min(bars[2, t], before[t])
    last_ema(extent, RANGE_WEIGHT, level)
    _streak(bars, rows[0], rows[1])
    for t in range(n):
        rows[2, t] = min(ratio(extent[t], level[t]), 10.0)
    _cusums(change, level, rows[6], rows[7])
    last_sum(true_range, ATR_BARS, change)
    per_bar(ATR_BARS, change)
    _swing(bars, change, rows[3], rows[4], rows[5])
