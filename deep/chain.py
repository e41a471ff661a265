"""The semi-Markov chain's recursions, compiled: sums over segmentations, and the best one.

Bars 0..T-1, boundaries 0..T. With ``E`` the prefix sums of the bar scores, a span ``[s, u)`` that
no edge cuts weighs ``exp(a[s] - E[s] + length(u - s) + E[u] + b[u-1])``, so that one number per
start, ``opened[s]``, is all a stop has to look back at. O(T * Lmax); spans beyond ``Lmax`` sit in
one further state. Everything is float64; results are logarithms.
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
def _length(row: Float, log_ratio: float, length: int) -> float:
    """Length score from one row of the table."""
    size = len(row)
    score: float = row[min(length, size) - 1] + max(0, length - size) * log_ratio
    return score


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _dot(x: Array, y: Array) -> float:
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
        found = _dot(weight, prob)
    if found < LEAST:
        reference = opened.max()
        weight[:] = np.exp(opened - reference)
        found = _dot(weight, prob)
    if found < LEAST:
        return _log_sum(opened + log_prob), reference
    return reference + np.log(found), reference


@njit(cache=True, nogil=True)
def _sum(
    e: Float, a: Float, b: Float, table: Array, log_ratio: float, total: Array, closing: Array
) -> None:
    """Fill ``total`` and ``closing`` (T+1,) of one window; see `sums`."""
    n_bars, size = len(e), table.shape[1]
    log_prob = table[INNER, size - 2 :: -1].copy()  # longest first, as starts stand before a stop
    prob = np.exp(log_prob)
    opened, weight = np.empty(n_bars), np.empty(n_bars)
    total[0], closing[0] = 0.0, -np.inf
    prefix, tail, reference = 0.0, -np.inf, -np.inf
    for stop in range(1, n_bars):
        bar = stop - 1
        spans = _length(table[LEFT], log_ratio, stop)
        if bar > 0:
            opened[bar] = total[bar] + a[bar] - prefix
            n = min(size - 1, bar)  # starts within reach; bar 0 is the edge's
            near, reference = _reach(
                opened[stop - n : stop],
                weight[stop - n : stop],
                reference,
                prob[-n:],
                log_prob[-n:],
            )
            spans = _add(spans, near)
        if stop > size:  # the tail: longer than Lmax, its prefix taken off
            tail = _add(tail + log_ratio, opened[stop - size] + table[INNER, size - 1])
            spans = _add(spans, tail)
        prefix += e[bar]
        closing[stop] = prefix + b[bar] + spans
        total[stop] = _add(total[bar], closing[stop])
    bar = n_bars - 1
    if bar > 0:
        opened[bar] = total[bar] + a[bar] - prefix
    prefix += e[bar]
    for start in range(1, n_bars):
        opened[start] += _length(table[RIGHT], log_ratio, n_bars - start)
    opened[0] = _length(table[BOTH], log_ratio, n_bars)
    closing[n_bars] = prefix + _log_sum(opened)
    total[n_bars] = _add(total[bar], closing[n_bars])


@njit(cache=True, nogil=True, parallel=True)
def sums(
    e: Float, a: Float, b: Float, table: Array, log_ratio: float, total: Array, closing: Array
) -> None:
    """Sum over segmentations, from the left and from the right.

    Parameters
    ----------
    e, a, b : (N, T)
        Scores of a bar inside a span, of a span's first bar and of its last.
    table : (4, Lmax + 1)
        Length scores, log probabilities; the rows are `INNER`, `LEFT`, `RIGHT`, `BOTH`.
    log_ratio : float
    total, closing : (2, N, T + 1), written
        ``total[0, :, t]`` is the log weight of all segmentations of the bars before boundary t that
        have no span across it, ``closing[0]`` of those among them with a span that stops there.
        ``[1]`` is the same read from the right: bars from t on, a span that starts there.
    """
    n_windows = len(e)
    mirrored = table.copy()
    mirrored[LEFT], mirrored[RIGHT] = table[RIGHT], table[LEFT]
    for k in prange(2 * n_windows):
        w = k // 2
        if k % 2 == 0:
            _sum(e[w], a[w], b[w], table, log_ratio, total[0, w], closing[0, w])
        else:  # time reversed, a span's last bar is its first
            back = (e[w, ::-1].copy(), b[w, ::-1].copy(), a[w, ::-1].copy())
            _sum(*back, mirrored, log_ratio, total[1, w, ::-1], closing[1, w, ::-1])


@njit(cache=True, nogil=True)
def _best(
    e: Float, a: Float, b: Float, table: Float, log_ratio: float, origin: NDArray[np.int64]
) -> None:
    """Fill ``origin`` (T+1,) of one window; see `best_spans`."""
    n_bars, size = len(e), table.shape[1]
    inner = table[INNER]
    opened = np.empty(n_bars)
    best, prefix, tail, tail_start = 0.0, 0.0, -np.inf, -1
    for stop in range(1, n_bars + 1):
        bar = stop - 1
        opened[bar] = best + a[bar] - prefix if bar > 0 else -np.inf
        prefix += e[bar]
        if stop - size > 0:
            entering = opened[stop - size] + inner[size - 1]
            tail += log_ratio
            if entering > tail:
                tail, tail_start = entering, stop - size
        high, start = -np.inf, -1
        if stop < n_bars:
            for i in range(min(size, stop) - 1):
                value = opened[bar - i] + inner[i]
                if value > high:
                    high, start = value, bar - i
            if tail > high:
                high, start = tail, tail_start
            whole, end = _length(table[LEFT], log_ratio, stop), b[bar]
        else:
            for i in range(bar):
                value = opened[bar - i] + _length(table[RIGHT], log_ratio, i + 1)
                if value > high:
                    high, start = value, bar - i
            whole, end = _length(table[BOTH], log_ratio, stop), 0.0
        if whole > high:
            high, start = whole, 0
        high += prefix + end
        origin[stop] = start if high > best else -1
        best = max(best, high)
    stop = n_bars
    origin[0] = -1
    while stop > 0:  # keep only what the best segmentation of the whole window passes through
        start = origin[stop]
        before = start if start >= 0 else stop - 1
        for t in range(before + 1, stop):
            origin[t] = -1
        stop = before


@njit(cache=True, nogil=True, parallel=True)
def best_spans(
    e: Float, a: Float, b: Float, table: Float, log_ratio: float, origin: NDArray[np.int64]
) -> None:
    """Best segmentation: ``origin[n, t]`` (N, T+1) is the start of its span that stops at t, or -1.

    Between equally good ones a bar outside comes before a span, and a short span before a long one.
    """
    for w in prange(len(e)):
        _best(e[w], a[w], b[w], table, log_ratio, origin[w])
