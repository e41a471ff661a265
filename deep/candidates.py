"""The candidates of a window that are worth a look: their match exceeds the threshold.

`deep.matches` scores every candidate, O(T * L * L) a window. Over a long series most bars lie in
no span, and a bound that costs little says so: spans that match a candidate hold its centre, and
are neither much shorter nor much longer. Odd candidates have one central bar, and spans over one
bar exclude each other, so the probability that a span of such lengths holds it bounds the match.
Even ones have two; a span with an IoU above 0.5 holds both, one with exactly 0.5, the least that
counts, at least one of them. What the bound leaves is scored exactly, so nothing is lost.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
import torch
from numpy.typing import NDArray

from deep.chain import BOTH, INNER, LEFT, RIGHT
from deep.lengths import LengthScores
from deep.marginals import outside
from deep.matches import IOUS, matching, neighbours
from deep.sums import compiled_sums, length_rows
from proxytools.types import Int

Array = NDArray[np.float64]
SLACK = 1e-9  # of the bound: sums are rounded


class Candidates(NamedTuple):
    """Spans that a mark matches with a probability above the threshold, by stop, then length."""

    start: Int  # (C,)
    stop: Int  # (C,)
    match: Array  # (C,)


def candidates(
    scores: NDArray[np.float32], length: LengthScores, longest: int, threshold: float
) -> Candidates:
    """Find the candidates of one window, as the dense table of `deep.matches` has them.

    Parameters
    ----------
    scores : (T, 3 D) float32
        Of a bar inside a span, of a span's first bar and of its last, for each direction.
    length : LengthScores
        On the CPU.
    longest : int
        Bars of the longest candidate.
    threshold : float

    Examples
    --------
    >>> from deep.lengths import LengthPrior, length_scores
    >>> prior = LengthPrior.of([2, 3, 3, 4], l_max=4)
    >>> tail, entry = torch.tensor(prior.ratio).logit(), torch.tensor(-3.0)
    >>> length = length_scores(torch.tensor(prior.mass).log(), tail, entry)
    >>> scores = np.zeros((7, 3), np.float32)
    >>> scores[:, 0] = -5, -5, 5, 5, 5, -5, -5
    >>> found = candidates(scores, length, longest=4, threshold=0.8)
    >>> found.start, found.stop, found.match.round(2)
    (array([2, 1, 2]), array([5, 5, 6]), array([0.99, 0.98, 0.98]))
    """
    n_bars, longest = len(scores), min(longest, len(scores))
    e, a, b = np.ascontiguousarray(scores.reshape(n_bars, -1, 3).transpose(2, 1, 0))  # (D, T)
    e_, a_, b_ = (torch.from_numpy(x)[None] for x in (e, a, b))  # (1, D, T) each
    sums = compiled_sums(e_, a_, b_, length)
    left, right = sums.total[:, 0].numpy()  # (T+1,) each
    prefix = np.pad(np.cumsum(e, axis=1, dtype=np.float64), ((0, 0), (1, 0)))  # (D, T+1)
    opened = left[:-1] - prefix[:, :-1] - float(sums.log_z[0])  # (D, T)
    opened[:, 1:] += a[:, 1:]
    closed = right[1:] + prefix[:, 1:]  # (D, T)
    closed[:, :-1] += b[:, :-1]
    rows = length_rows(length, n_bars)[:, :longest].numpy()  # (4, L)
    inside = 1 - outside(sums)[0].numpy()
    return Candidates(*_above(opened, closed, rows, inside, threshold))


@numba.njit(cache=True, nogil=True)
def _above(
    opened: Array, closed: Array, rows: Array, inside: Array, threshold: float
) -> tuple[Int, Int, Array]:
    """Score the candidates around each likely centre; the place of a pair is its first bar."""
    n_bars, longest = opened.shape[1], rows.shape[1]
    near, alike = neighbours(longest), _alike(longest)
    # Memory that is never written costs nothing.
    below = np.empty((n_bars, longest + 1))  # of a start, the sum over shorter spans
    cover = np.empty((n_bars, longest + 1))  # of a bar, the sum over shorter spans that hold it
    summed = covered = 0  # rows of these that are done with
    found, size = 0, n_bars * longest
    start, stop, match = np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size)
    for centre in range(n_bars):
        after = min(centre + 1, n_bars - 1)
        low, high = min(inside[centre], inside[after]), max(inside[centre], inside[after])
        if max(high, low + high / len(IOUS)) + SLACK < threshold:
            continue
        first = max(summed, centre - int(longest / IOUS[0]))
        for s in range(first, min(centre + longest + 1, n_bars)):
            _sum_spans(opened, closed, rows, s, below[s])
            summed = s + 1
        for bar in range(max(covered, centre), after + 1):
            _sum_cover(below, bar, cover[bar])
            covered = bar + 1
        for n in range(1, longest + 1):
            s = centre - (n - 1) // 2
            if s < 0 or s + n > n_bars:
                break
            if not _may_match(cover, centre, after, n, alike, threshold):
                continue
            prob = matching(below, s, n, near, threshold)
            if prob > threshold:
                start[found], stop[found], match[found] = s, s + n, prob
                found += 1
    order = _by_stop(start[:found], stop[:found], n_bars)
    return start[order], stop[order], match[order]


@numba.njit(cache=True, nogil=True)
def _by_stop(start: Int, stop: Int, n_bars: int) -> Int:
    """(C,) order of candidates by stop, then length: few share a stop."""
    place = np.zeros(n_bars + 2, np.int64)
    for u in stop:
        place[u + 1] += 1
    place = place.cumsum()
    begin, order = place.copy(), np.empty(len(stop), np.int64)
    for c in range(len(stop)):
        u, i = stop[c], place[stop[c]]
        place[u] += 1
        while i > begin[u] and start[order[i - 1]] < start[c]:
            order[i] = order[i - 1]
            i -= 1
        order[i] = c
    return order


@numba.njit(cache=True, nogil=True)
def _alike(longest: int) -> NDArray[np.int32]:
    """(L+1, I, 2) of a candidate's length and an IoU: too short a span, and the longest."""
    limits = np.zeros((longest + 1, len(IOUS), 2), np.int32)
    for n in range(1, longest + 1):
        for i, iou in enumerate(IOUS):
            limits[n, i, 0] = min(int(np.ceil(n * iou - SLACK)) - 1, longest)
            limits[n, i, 1] = min(int(n / iou + SLACK), longest)
    return limits


@numba.njit(cache=True, nogil=True)
def _may_match(
    cover: Array, one: int, other: int, n: int, alike: NDArray[np.int32], threshold: float
) -> bool:
    """Whether the bound, by ``cover`` of a candidate's central bar or bars, is no less."""
    bound = 0.0
    for i, iou in enumerate(IOUS):
        shorter, longest = alike[n, i, 0], alike[n, i, 1]
        p = cover[one, longest] - cover[one, shorter]
        if n % 2 == 0:
            q = cover[other, longest] - cover[other, shorter]
            p = min(p, q) if iou > 0.5 else min(p + q, 1.0)
        bound += p
        rest = (len(IOUS) - i - 1) * p  # fewer match as IoUs rise
        if (bound + rest) / len(IOUS) + SLACK < threshold:
            return False
    return True


@numba.njit(cache=True, nogil=True)
def _sum_cover(below: Array, bar: int, cover: Array) -> None:
    """Fill cover (L+1,): probability that a span of up to k bars holds a bar."""
    cover[:] = 0.0
    for before in range(min(len(cover) - 1, bar + 1)):
        row = below[bar - before]
        for k in range(before + 1, len(cover)):
            cover[k] += row[k] - row[before]


@numba.njit(cache=True, nogil=True)
def _sum_spans(opened: Array, closed: Array, rows: Array, start: int, below: Array) -> None:
    """Fill below (L+1,): probability of the spans of up to k bars from a start on."""
    n_directions, n_bars = opened.shape
    below[0] = 0.0
    for k in range(rows.shape[1]):
        stop, prob = start + k + 1, 0.0
        if stop <= n_bars:
            at_end = stop == n_bars
            row = (BOTH if at_end else LEFT) if start == 0 else (RIGHT if at_end else INNER)
            for d in range(n_directions):
                prob += np.exp(opened[d, start] + closed[d, stop - 1] + rows[row, k])
        below[k + 1] = below[k] + prob
