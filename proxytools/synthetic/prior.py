"""The law of planted spans: where they start and how long they are.

Sampling (`draw_spans`) and probability (`log_prior`) stand side by side and must agree, since the
posterior is exact only for the law that was sampled.

Layouts
-------
one
    A single span of length ``L``, its start uniform on ``[20, 90 - L)`` in windows of 105 bars.
    In windows of ``T`` bars both limits scale by ``T / 105``; lengths do not scale.
anywhere
    A single span, its start uniform on ``[0, T - L]``.
several
    A renewal process: a bar outside every span starts one with probability 1/25, from bar 0 on,
    so that spans may touch and a few windows have none. A span that would run over the window's
    end stops there; none starts in the last two bars.

Length is ``min(3 + G, longest)`` with ``G`` geometric on {0, 1, ...}, mean 4.4, and ``longest``
30 or what the window allows. The mean is 7.4 bars (7.38 after the limit of 30).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from proxytools.types import Int

LAYOUTS = ("one", "anywhere", "several")
SHORTEST, LONGEST = 3, 30  # bars
STOP = 1 / (1 + 4.4)  # geometric on {0, 1, ...} with mean 4.4
HAZARD = 1 / 25  # of a span starting, "several"


def zone(layout: str, n_bars: int) -> tuple[int, int]:
    """Limits ``(low, high)``: a single span of length L starts in ``[low, high - L)``."""
    if layout == "one":
        return round(n_bars * 20 / 105), round(n_bars * 90 / 105)
    return 0, n_bars + 1


def longest_span(layout: str, n_bars: int) -> int:
    """Bars in the longest span a window of ``n_bars`` allows; below `SHORTEST`: none fits."""
    low, high = zone(layout, n_bars)
    return min(LONGEST, high - low - 1)


def draw_spans(
    rng: np.random.Generator, layout: str, n_windows: int, n_bars: int
) -> tuple[Int, Int, Int]:
    """Window, start and stop (S,) of the spans of ``n_windows`` windows."""
    if layout == "several":
        return _draw_renewals(rng, n_windows, n_bars)
    length = np.minimum(_draw_length(rng, (n_windows,)), longest_span(layout, n_bars))
    low, high = zone(layout, n_bars)
    start = rng.integers(low, high - length)
    return np.arange(n_windows), start, start + length


def _draw_renewals(rng: np.random.Generator, n_windows: int, n_bars: int) -> tuple[Int, Int, Int]:
    wants = rng.random((n_windows, n_bars)) < HAZARD  # (N, T)
    length = np.minimum(_draw_length(rng, (n_windows, n_bars)), LONGEST)  # (N, T)
    stop = np.minimum(np.arange(n_bars) + length, n_bars)  # (N, T)
    wants[:, max(n_bars - SHORTEST + 1, 0) :] = False
    free_from = np.zeros(n_windows, np.int64)
    for t in range(n_bars):
        wants[:, t] &= free_from <= t
        free_from = np.where(wants[:, t], stop[:, t], free_from)
    window, start = np.nonzero(wants)
    return window, start, stop[window, start]


def _draw_length(rng: np.random.Generator, size: tuple[int, ...]) -> Int:
    return SHORTEST - 1 + rng.geometric(STOP, size)  # numpy's geometric starts at 1


def length_law(longest: int) -> NDArray[np.float64]:
    """Probability of each length 0..`LONGEST` where no span may be longer than ``longest``."""
    law = np.zeros(LONGEST + 1)  # (Lmax+1,)
    if longest >= SHORTEST:
        law[SHORTEST:longest] = STOP * (1 - STOP) ** np.arange(longest - SHORTEST)
        law[longest] = (1 - STOP) ** (longest - SHORTEST)
    return law


def log_prior(layout: str, n_bars: int) -> NDArray[np.float64]:
    """Log probability of a span by its start and length; ``-inf`` where none can be.

    Returns
    -------
    (T, Lmax+1) float64
        Of the window's one span for "one" and "anywhere" (sums to 1); of a span starting at a
        bar that is free for "several" (a row sums to `HAZARD`).
    """
    prior = np.zeros((n_bars, LONGEST + 1))  # (T, Lmax+1)
    if layout == "several":
        for start in range(n_bars):
            prior[start] = HAZARD * length_law(min(LONGEST, n_bars - start))
    else:
        low, high = zone(layout, n_bars)
        law = length_law(longest_span(layout, n_bars))
        for length in np.flatnonzero(law):
            prior[low : high - length, length] = law[length] / (high - length - low)
    with np.errstate(divide="ignore"):
        return np.log(prior)
