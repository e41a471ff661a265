"""The predecessor's zigzag: legs that turn, and the swings that they leave behind."""

from __future__ import annotations

import numpy as np

from proxytools.features.rolling import QUICK_BARS, QUICK_TURN, SWING_LIMIT, TURN
from proxytools.features.windowed import compiled, ratio, within


@compiled
def zigzag(bars, atrs, legs, above, below, high_ages, low_ages):  # type: ignore[no-untyped-def]
    """Walk bars (4, T) with the average true range ``atrs`` (T,), and fill five rows (T,).

    ``legs`` is 1 up, -1 down, 0 on the first bar. ``above`` and ``below`` are how far the last
    swing high lies above the close, and the close above the last swing low, in ATR; the ages are
    the bars since those extremes. All four are 0 before the first swing of their kind.
    """
    high, low, close = bars[1], bars[2], bars[3]
    leg, extreme, age = 0, 0.0, 0
    swing_high, swing_low, high_age, low_age = np.nan, np.nan, 0, 0
    for t in range(len(close)):
        legs[t] = above[t] = below[t] = high_ages[t] = low_ages[t] = 0.0
        if t == 0:
            continue
        atr, age, high_age, low_age = atrs[t], age + 1, high_age + 1, low_age + 1
        if leg == 0:
            leg, extreme, age = 1, close[t], 0
        else:
            tip, other = (high[t], low[t]) if leg > 0 else (low[t], high[t])
            if leg * (tip - extreme) > 0.0:
                extreme, age = tip, 0
            far = leg * (extreme - close[t]) >= TURN * atr
            quick = age <= QUICK_BARS and leg * (extreme - other) >= QUICK_TURN * atr
            if atr > 0.0 and (far or quick):
                if leg > 0:
                    swing_high, high_age = extreme, age
                else:
                    swing_low, low_age = extreme, age
                leg, extreme, age = -leg, other, 0
        legs[t] = leg
        if swing_high == swing_high:
            above[t] = within(ratio(swing_high - close[t], atr), -SWING_LIMIT, SWING_LIMIT)
            high_ages[t] = high_age
        if swing_low == swing_low:
            below[t] = within(ratio(close[t] - swing_low, atr), -SWING_LIMIT, SWING_LIMIT)
            low_ages[t] = low_age
