"""The semi-Markov chain's recursion in logarithms, compiled: sums over segmentations.

Bars 0..T-1, boundaries 0..T. With ``E`` the prefix sums of the bar scores, a span ``[s, u)`` that
no edge cuts weighs ``exp(a[s] - E[s] + length(u - s) + E[u] + b[u-1])``, so that one number per
start, ``opened[s]``, is all a stop has to look back at. O(T * Lmax); spans beyond ``Lmax`` sit in
one further state. Where a span has one of several directions, each has scores of its own and
the weights of a span add up over them. Everything is float64; results are logarithms.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from proxytools.types import Float

Array = NDArray[np.float64]
INNER, LEFT, RIGHT, BOTH = 0, 1, 2, 3  # rows of the length table
NOTHING = -40.0  # log of a share that float64 does not see
LARGE, LEAST = 200.0, 1e-200  # a weight's logarithm at most, a sum of weights at least


@njit(cache=True, nogil=True, inline="always")
def _add(x: float, y: float) -> float:
    """log(exp(x) + exp(y)); y may be -inf."""
    high, low = max(x, y), min(x, y)
    return high if low - high < NOTHING else high + np.log1p(np.exp(low - high))


@njit(cache=True, nogil=True, inline="always")
def length_score(row: Float, log_ratio: float, length: int) -> float:
    """Length score from one row of the table."""
    size = len(row)
    score: float = row[min(length, size) - 1] + max(0, length - size) * log_ratio
    return score


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def dot(x: Array, y: Array) -> float:
    """Sum of products, in any order."""
    total = 0.0
    for i in range(len(x)):
        total += x[i] * y[i]
    return total


@njit(cache=True, nogil=True)
def _log_sum(term: Array) -> float:
    """log(sum(exp(term)))."""
    high: float = term.max()
    total = 0.0
    for x in term:
        total += np.exp(x - high)
    result: float = high + np.log(total)
    return result


@njit(cache=True, nogil=True)
def _reach(
    opened: Array, weight: Array, reference: float, prob: Array, log_prob: Array
) -> tuple[float, float]:
    """Log sum of ``opened + log_prob``, and the reference it used; the last start is new.

    ``weight = exp(opened - reference)`` saves all but one exponential a bar. The reference moves
    when a weight would grow too large or all have become too small; where even that leaves too
    little (a length prior of vanishing probabilities), the sum is taken in logarithms.
    """
    shift = opened[-1] - reference
    found = 0.0
    if shift < LARGE:
        weight[-1] = np.exp(shift)
        found = dot(weight, prob)
    if found < LEAST:
        reference = opened.max()
        weight[:] = np.exp(opened - reference)
        found = dot(weight, prob)
    if found < LEAST:
        return _log_sum(opened + log_prob), reference
    return reference + np.log(found), reference


@njit(cache=True, nogil=True)
def _sum(
    e: Float,
    a: Float,
    b: Float,
    table: Array,
    log_ratio: float,
    one: bool,
    total: Array,
    closing: Array,
) -> None:
    """Fill ``total`` (T+1,) and ``closing`` (D, T+1) of one window; see `sums`."""
    n_directions, n_bars = e.shape
    size = table.shape[1]
    log_prob = table[INNER, size - 2 :: -1].copy()  # longest first, as starts stand before a stop
    prob = np.exp(log_prob)
    opened, weight = np.empty((n_directions, n_bars)), np.empty((n_directions, n_bars))
    prefix, tail = np.zeros(n_directions), np.full(n_directions, -np.inf)
    reference = np.full(n_directions, -np.inf)
    total[0], closing[:, 0] = 0.0, -np.inf
    for stop in range(1, n_bars):
        bar = stop - 1
        total[stop] = total[bar]
        for d in range(n_directions):
            spans = length_score(table[LEFT], log_ratio, stop)
            if bar > 0:
                opened[d, bar] = total[bar] + a[d, bar] - prefix[d]
                n = min(size - 1, bar)  # starts within reach; bar 0 is the edge's
                near, reference[d] = _reach(
                    opened[d, stop - n : stop],
                    weight[d, stop - n : stop],
                    reference[d],
                    prob[-n:],
                    log_prob[-n:],
                )
                spans = _add(spans, near)
            if stop > size:  # the tail: longer than Lmax, its prefix taken off
                entering = opened[d, stop - size] + table[INNER, size - 1]
                tail[d] = _add(tail[d] + log_ratio, entering)
                spans = _add(spans, tail[d])
            prefix[d] += e[d, bar]
            closing[d, stop] = prefix[d] + b[d, bar] + spans
            if not one:
                total[stop] = _add(total[stop], closing[d, stop])
    bar = n_bars - 1
    total[n_bars] = total[bar]
    for d in range(n_directions):
        if bar > 0:
            opened[d, bar] = total[bar] + a[d, bar] - prefix[d]
        for start in range(1, n_bars):
            opened[d, start] += length_score(table[RIGHT], log_ratio, n_bars - start)
        opened[d, 0] = length_score(table[BOTH], log_ratio, n_bars)
        last: float = prefix[d] + e[d, bar] + _log_sum(opened[d])
        closing[d, n_bars] = last
        if not one:
            total[n_bars] = _add(total[n_bars], last)  # type: ignore[arg-type]


@njit(cache=True, nogil=True, parallel=True)
def sums(
    e: Float,
    a: Float,
    b: Float,
    table: Array,
    log_ratio: float,
    one: bool,
    total: Array,
    closing: Array,
) -> None:
    """Sum over segmentations, from the left and from the right.

    Parameters
    ----------
    e, a, b : (N, D, T)
        Scores of a bar inside a span, of a span's first bar and of its last, by direction.
    table : (4, Lmax + 1)
        Length scores, log probabilities; the rows are `INNER`, `LEFT`, `RIGHT`, `BOTH`.
    log_ratio : float
    one : bool
        Sum over the segmentations of a single span alone: nothing comes before or after it, and
        ``total`` is 0.
    total : (2, N, T + 1), written
        ``[0, :, t]`` is the log weight of all segmentations of the bars before boundary t that have
        no span across it. ``[1]`` is the same read from the right: bars from t on.
    closing : (2, N, D, T + 1), written
        Of those among them with a span that stops (read from the right: starts) there, by its
        direction.
    """
    n_windows = len(e)
    mirrored = table.copy()
    mirrored[LEFT], mirrored[RIGHT] = table[RIGHT], table[LEFT]
    for k in prange(2 * n_windows):
        w = k // 2
        if k % 2 == 0:
            _sum(e[w], a[w], b[w], table, log_ratio, one, total[0, w], closing[0, w])
        else:  # time reversed, a span's last bar is its first
            back = (e[w, :, ::-1].copy(), b[w, :, ::-1].copy(), a[w, :, ::-1].copy())
            _sum(*back, mirrored, log_ratio, one, total[1, w, ::-1], closing[1, w, :, ::-1])
