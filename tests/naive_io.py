"""Slow, obvious twins of `proxytools.io`: plain loops over lists of bars."""

from __future__ import annotations

import statistics
from itertools import pairwise


def runs(ticks: list[int]) -> list[tuple[int, int]]:
    """Gap-free runs [start, stop) of one series, by the rule of 1.5 median intervals."""
    steps = [b - a for a, b in pairwise(ticks)]
    longest = 1.5 * statistics.median(steps or [0])
    found, start = [], 0
    for i, step in enumerate(steps):
        if step > longest:
            found.append((start, i + 1))
            start = i + 1
    return [*found, (start, len(ticks))]


def windows(ticks: dict[str, list[int]], bars: int, stride: int) -> list[tuple[str, int]]:
    """Series and offset of each window."""
    found = []
    for series, times in ticks.items():
        for start, stop in runs(times):
            offset = start
            while offset + bars <= stop:
                found.append((series, offset))
                offset += stride
    return found


def inside(
    window: tuple[str, int], bars: int, spans: list[tuple[str, int, int, str]]
) -> list[tuple[int, int, str]]:
    """What a window holds of the spans: (start, stop, label), clipped to it, in order."""
    series, offset = window
    found = []
    for name, start, stop, label in spans:
        kept = [i - offset for i in range(start, stop) if offset <= i < offset + bars]
        if name == series and kept:
            found.append((kept[0], kept[-1] + 1, label))
    return sorted(found)


def looked_at(window: tuple[str, int], bars: int, ranges: list[tuple[str, int, int]]) -> bool:
    series, offset = window
    seen = {i for name, start, stop in ranges if name == series for i in range(start, stop)}
    return all(i in seen for i in range(offset, offset + bars))
