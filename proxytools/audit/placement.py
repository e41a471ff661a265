"""From held-out probabilities of bars to probabilities of spans.

A region is a stretch of a window that holds one span or none: what its other marks leave free.
That it holds the span ``[s, e)`` is as probable as ``exp(theta . x)``, that it holds none as 1.
The terms x are the summed log odds of the span's bars, how much these rise where it begins and fall
where it ends, its length, the logarithm of its length, and a constant: one for the only span of a
window, another for a span beside others. This is a conditional logit (McFadden 1974), fitted on the
marks by maximum likelihood. Adjacent bars repeat each other's evidence, so a plain sum of log odds
is far too sure; the fitted factor is what it is worth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import logit

from proxytools.types import Bool, Float, Int, Spans

Array = NDArray[np.float64]
CLIP = 1e-4  # of probabilities, before their log odds
PENALTY = 0.1  # on the squares of theta: keeps it finite where a case never comes up
N_TERMS = 6
REACH = 8  # bars that a shifted edge is off, at most


@dataclass(frozen=True, eq=False)
class Regions:
    """Stretches of windows with the mark in each, if any.

    Attributes
    ----------
    window, low, high : (R,) int64
        Bars ``[low, high)`` of a window.
    start, stop : (R,) int64
        The mark; -1 where there is none.
    beside : (R,) bool
        Whether the window holds other marks.
    """

    window: Int
    low: Int
    high: Int
    start: Int
    stop: Int
    beside: Bool

    @classmethod
    def of(cls, spans: Spans, n_bars: int) -> Regions:
        """For every mark what it could fill, in order; then every stretch without a mark.

        Examples
        --------
        >>> regions = Regions.of(Spans.of([[(2, 4)], []]), 6)
        >>> np.stack([regions.window, regions.low, regions.high, regions.start]).T
        array([[ 0,  0,  6,  2],
               [ 0,  0,  2, -1],
               [ 0,  4,  6, -1],
               [ 1,  0,  6, -1]])
        """
        window, start, stop = spans.window, spans.start, spans.stop
        turn = window[1:] != window[:-1]
        is_first, is_last = np.append(True, turn), np.append(turn, True)
        if not len(window):
            is_first = is_last = np.empty(0, bool)
        low = np.where(is_first, 0, np.roll(stop, 1))
        high = np.where(is_last, n_bars, np.roll(start, -1))
        empty = np.flatnonzero(spans.count == 0)
        gap_window = np.concatenate([window, window[is_last], empty])
        gap_low = np.concatenate([low, stop[is_last], np.zeros_like(empty)])
        gap_high = np.concatenate(
            [start, np.full(is_last.sum(), n_bars), np.full(len(empty), n_bars)]
        )
        order = np.lexsort((gap_low, gap_window))
        order = order[gap_low[order] < gap_high[order]]
        none = np.full(len(order), -1)
        several = spans.count[window] > 1
        return cls(
            np.concatenate([window, gap_window[order]]),
            np.concatenate([low, gap_low[order]]),
            np.concatenate([high, gap_high[order]]),
            np.concatenate([start, none]),
            np.concatenate([stop, none]),
            np.concatenate([several, spans.count[gap_window[order]] > 0]),
        )


@dataclass(frozen=True, eq=False)
class Placed:
    """Probabilities of what a region holds, given the prices alone.

    Attributes
    ----------
    none : (R,) float64
        No span.
    marked : (R,) float64
        Exactly the marked one; 0 without a mark.
    near : (R,) float64
        Another one that overlaps the mark, both edges within `REACH` bars of its own.
    elsewhere : (R,) float64
        None that overlaps the mark: no span, or one beside it.
    best_start, best_stop : (R,) int64
        The most probable of all spans; with a mark, of all those that overlap it.
    n_candidates : (R,) int64
        Spans that fit.
    """

    none: Array
    marked: Array
    near: Array
    elsewhere: Array
    best_start: Int
    best_stop: Int
    n_candidates: Int


def place(prob: Float, spans: Spans) -> tuple[Regions, Placed]:
    """Fit the model on held-out probabilities and marks, and apply it to every region.

    Six numbers are fitted on all windows together; the probabilities are what is held out.

    Parameters
    ----------
    prob : (N, T) float
        Held-out probability of lying in a span.
    spans : Spans
        The marks, at least one.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> spans = Spans.of([[(s, s + 5)] for s in rng.integers(0, 35, 60)])
    >>> prob = np.clip(0.1 + 0.6 * spans.mask(40) + rng.normal(0, 0.05, (60, 40)), 0, 1)
    >>> regions, placed = place(prob, spans)
    >>> bool((placed.best_start[:60] == spans.start).mean() > 0.9)
    True
    """
    odds = logit(np.clip(prob, CLIP, 1 - CLIP).astype(np.float64))  # (N, T)
    summed = np.pad(odds.cumsum(axis=1), ((0, 0), (1, 0)))  # (N, T+1)
    rise = np.pad(np.diff(odds, axis=1), ((0, 0), (1, 1)))  # (N, T+1), 0 at a window's ends
    regions = Regions.of(spans, prob.shape[1])
    columns = (regions.window, regions.low, regions.high, regions.beside, regions.start)
    logs = np.log(np.maximum(np.arange(spans.length.max() + 1), 1))  # (L+1,) of each length
    fixed = (summed, rise, *columns, regions.stop, logs)

    def cost(theta: Array) -> tuple[float, Array]:
        slope = np.zeros(N_TERMS)
        likelihood = _likelihood(*fixed, theta, slope)
        return float(PENALTY / 2 * theta @ theta - likelihood), PENALTY * theta - slope

    theta = minimize(cost, np.zeros(N_TERMS), jac=True, method="L-BFGS-B").x
    n = len(regions.window)
    chance, whole = np.zeros((n, 4)), np.zeros((n, 3), np.int64)
    _summarise(*fixed, theta, chance, whole)
    return regions, Placed(*chance.T, *whole.T)


@numba.njit(cache=True, nogil=True)
def _score(
    summed: Array, rise: Array, logs: Array, s: int, e: int, beside: bool, theta: Array
) -> float:
    """``theta . x`` of the span [s, e) of one window."""
    score: float = (
        theta[0] * (summed[e] - summed[s])
        + theta[1] * (rise[s] - rise[e])
        + theta[2] * (e - s)
        + theta[3] * logs[e - s]
        + theta[5 if beside else 4]
    )
    return score


@numba.njit(cache=True, nogil=True)
def _add(
    slope: Array,
    times: float,
    summed: Array,
    rise: Array,
    logs: Array,
    s: int,
    e: int,
    beside: bool,
) -> None:
    """Add ``x`` of the span [s, e), so many times."""
    slope[0] += times * (summed[e] - summed[s])
    slope[1] += times * (rise[s] - rise[e])
    slope[2] += times * (e - s)
    slope[3] += times * logs[e - s]
    slope[5 if beside else 4] += times


@numba.njit(cache=True, nogil=True)
def _distribution(
    summed: Array,
    rise: Array,
    logs: Array,
    low: int,
    high: int,
    beside: bool,
    theta: Array,
    prob: Array,
) -> float:
    """Fill ``prob[s, n]`` with the probability of n bars from s on; return log of that of none."""
    top = 0.0
    for s in range(low, high):
        for n in range(1, min(len(logs) - 1, high - s) + 1):
            prob[s, n] = _score(summed, rise, logs, s, s + n, beside, theta)
            top = max(top, prob[s, n])
    mass = np.exp(-top)
    for s in range(low, high):
        for n in range(1, min(len(logs) - 1, high - s) + 1):
            prob[s, n] = np.exp(prob[s, n] - top)
            mass += prob[s, n]
    prob[low:high] /= mass
    return float(-top - np.log(mass))


@numba.njit(cache=True, nogil=True)
def _likelihood(
    summed: Array,
    rise: Array,
    window: Int,
    low: Int,
    high: Int,
    beside: Bool,
    start: Int,
    stop: Int,
    logs: Array,
    theta: Array,
    slope: Array,
) -> float:
    """Log likelihood of all regions; its gradient is added to ``slope``."""
    likelihood = 0.0
    prob = np.zeros((summed.shape[1], len(logs)))
    for r in range(len(window)):
        total, edge, one = summed[window[r]], rise[window[r]], beside[r]
        likelihood += _distribution(total, edge, logs, low[r], high[r], one, theta, prob)
        for s in range(low[r], high[r]):
            for n in range(1, min(len(logs) - 1, high[r] - s) + 1):
                _add(slope, -prob[s, n], total, edge, logs, s, s + n, one)
        if start[r] >= 0:
            likelihood += _score(total, edge, logs, start[r], stop[r], one, theta)
            _add(slope, 1.0, total, edge, logs, start[r], stop[r], one)
    return likelihood


@numba.njit(cache=True, nogil=True)
def _summarise(
    summed: Array,
    rise: Array,
    window: Int,
    low: Int,
    high: Int,
    beside: Bool,
    start: Int,
    stop: Int,
    logs: Array,
    theta: Array,
    chance: Array,
    whole: Int,
) -> None:
    """Fill the columns of `Placed`."""
    prob = np.zeros((summed.shape[1], len(logs)))
    for r in range(len(window)):
        total, edge = summed[window[r]], rise[window[r]]
        none = _distribution(total, edge, logs, low[r], high[r], beside[r], theta, prob)
        chance[r, 0], best = np.exp(none), -1.0
        for s in range(low[r], high[r]):
            for n in range(1, min(len(logs) - 1, high[r] - s) + 1):
                e, p = s + n, prob[s, n]
                whole[r, 2] += 1
                if start[r] >= 0:
                    if s >= stop[r] or e <= start[r]:
                        continue
                    chance[r, 3] += p
                    off = max(abs(s - start[r]), abs(e - stop[r]))
                    if off == 0:
                        chance[r, 1] = p
                    elif off <= REACH:
                        chance[r, 2] += p
                if p > best:
                    best = p
                    whole[r, 0], whole[r, 1] = s, e
        chance[r, 3] = max(1 - chance[r, 3], 0.0)
