"""The shape of one bar, in units of its own range; 0 for a bar without range."""

from __future__ import annotations

from proxytools.features.registry import Feature
from proxytools.features.windowed import compiled, ratio

FEATURES = (
    Feature(
        "body", "close minus open, -1 to 1", "bar ranges", 0, direction_free=False, signed=True
    ),
    Feature("body_size", "absolute body, 0 to 1", "bar ranges", 0),
    Feature("upper_wick", "range above the body, 0 to 1", "bar ranges", 0, direction_free=False),
    Feature("lower_wick", "range below the body, 0 to 1", "bar ranges", 0, direction_free=False),
    Feature("close_place", "close above the low, 0 to 1", "bar ranges", 0, direction_free=False),
)


@compiled
def fill(bars, rows):  # type: ignore[no-untyped-def]
    """Compute all five of bars (4, T) into rows (5, T)."""
    open_, high, low, close = bars[0], bars[1], bars[2], bars[3]
    body, size, upper, lower, place = rows[0], rows[1], rows[2], rows[3], rows[4]
    for t in range(len(close)):
        extent = high[t] - low[t]
        body[t] = ratio(close[t] - open_[t], extent)
        size[t] = abs(body[t])
        upper[t] = ratio(high[t] - max(open_[t], close[t]), extent)
        lower[t] = ratio(min(open_[t], close[t]) - low[t], extent)
        place[t] = ratio(close[t] - low[t], extent)
