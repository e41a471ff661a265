"""The best segmentation of the chain, compiled: max-product, `deep.chain` adds up."""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from deep.chain import BOTH, INNER, LEFT, RIGHT, length_score
from proxytools.types import Float

Array = NDArray[np.float64]


@njit(cache=True, nogil=True)
def _best(
    e: Float, a: Float, b: Float, table: Float, log_ratio: float, origin: NDArray[np.int64]
) -> None:
    """Fill ``origin`` (T+1,) of one window; see `best_spans`."""
    n_directions, n_bars = e.shape
    best = 0.0
    opened, prefix = np.empty((n_directions, n_bars)), np.zeros(n_directions)
    tail, tail_start = np.full(n_directions, -np.inf), np.full(n_directions, -1)
    for stop in range(1, n_bars + 1):
        chosen, before = -1, best  # of the span that stops here, and of what came before
        for d in range(n_directions):
            start, found = _best_start(
                stop, before, d, e, a, b, table, log_ratio, opened, prefix, tail, tail_start
            )
            if found > best:
                best, chosen = found, start
        origin[stop] = chosen
    end = n_bars
    origin[0] = -1
    while end > 0:  # keep only what the best segmentation of the whole window passes through
        first = int(origin[end]) if origin[end] >= 0 else end - 1
        for t in range(first + 1, end):
            origin[t] = -1
        end = first


@njit(cache=True, nogil=True)
def _best_start(
    stop: int,
    best: float,
    d: int,
    e: Float,
    a: Float,
    b: Float,
    table: Float,
    log_ratio: float,
    opened: Array,
    prefix: Array,
    tail: Array,
    tail_start: NDArray[np.int64],
) -> tuple[int, float]:
    """Start of the best span of a direction that stops at ``stop``, and the score that far.

    ``best`` is the score of all before the last bar. The state of the direction is moved on.
    """
    n_bars, size = e.shape[1], table.shape[1]
    inner, bar = table[INNER], stop - 1
    opened[d, bar] = best + a[d, bar] - prefix[d] if bar > 0 else -np.inf
    prefix[d] += e[d, bar]
    if stop - size > 0:
        entering = opened[d, stop - size] + inner[size - 1]
        tail[d] += log_ratio
        if entering > tail[d]:
            tail[d], tail_start[d] = entering, stop - size
    high, start = -np.inf, -1
    if stop < n_bars:
        for i in range(min(size, stop) - 1):
            value = opened[d, bar - i] + inner[i]
            if value > high:
                high, start = value, bar - i
        if tail[d] > high:
            high, start = tail[d], int(tail_start[d])
        whole, end = length_score(table[LEFT], log_ratio, stop), b[d, bar]
    else:
        for i in range(bar):
            value = opened[d, bar - i] + length_score(table[RIGHT], log_ratio, i + 1)
            if value > high:
                high, start = value, bar - i
        whole, end = length_score(table[BOTH], log_ratio, stop), 0.0
    if whole > high:
        high, start = whole, 0
    return start, high + prefix[d] + end


@njit(cache=True, nogil=True, parallel=True)
def best_spans(
    e: Float, a: Float, b: Float, table: Float, log_ratio: float, origin: NDArray[np.int64]
) -> None:
    """Best segmentation: ``origin[n, t]`` (N, T+1) is the start of its span that stops at t, or -1.

    The best of all segmentations with a direction for each span. Between equally good ones a bar
    outside comes before a span, and a short span before a long one.
    """
    for w in prange(len(e)):
        _best(e[w], a[w], b[w], table, log_ratio, origin[w])
