"""The candidates of a window that are worth a look: their match exceeds the threshold.

`deep.matches` scores every candidate, O(T * L * L) a window. Over a long series most bars lie in
no span, and a bound that costs nothing says so: spans that match a candidate hold its centre. Odd
candidates have one central bar, and spans over one bar exclude each other, so the posterior of
that bar bounds their match. Even ones have two; a span with an IoU above 0.5 holds both, one with
exactly 0.5, the least that counts, at least one of them. What the bound leaves is scored exactly,
so nothing is lost.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
import torch
from numpy.typing import NDArray

from deep.chain import BOTH, INNER, LEFT, RIGHT
from deep.lengths import LengthScores
from deep.marginals import compiled_sums, length_rows, outside
from deep.matches import IOUS, matching, neighbours
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
    sums = compiled_sums(*(torch.from_numpy(x)[None] for x in (e, a, b)), length)
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
    near = neighbours(longest)
    below = np.zeros((n_bars, longest + 1))  # of a start, the sum over shorter spans
    known = np.zeros(n_bars, np.bool_)
    start, stop, match = [0 for _ in range(0)], [0 for _ in range(0)], [0.0 for _ in range(0)]
    for centre in range(n_bars):
        after = inside[centre + 1] if centre + 1 < n_bars else 0.0
        low, high = min(inside[centre], after), max(inside[centre], after)
        for odd in range(2):
            bound = inside[centre] if odd else low + high / len(IOUS)
            if bound + SLACK < threshold:
                continue
            for n in range(2 - odd, longest + 1, 2):
                s = centre + 1 - (n + odd) // 2
                u = s + n
                if s < 0 or u > n_bars:
                    break
                for other in range(max(u - int(n / IOUS[0]), 0), u):
                    if not known[other]:
                        _sum_spans(opened, closed, rows, other, below[other])
                        known[other] = True
                found = matching(below, s, n, near)
                if found > threshold:
                    start.append(s)
                    stop.append(u)
                    match.append(found)
    starts, stops, matches = np.array(start), np.array(stop), np.array(match)
    order = np.argsort(stops * (longest + 1) + stops - starts)  # no two are equal
    return starts[order], stops[order], matches[order]


@numba.njit(cache=True, nogil=True)
def _sum_spans(opened: Array, closed: Array, rows: Array, start: int, below: Array) -> None:
    """Fill below (L+1,): probability of the spans of up to k bars from a start on."""
    n_directions, n_bars = opened.shape
    for k in range(rows.shape[1]):
        stop, prob = start + k + 1, 0.0
        if stop <= n_bars:
            at_end = stop == n_bars
            row = (BOTH if at_end else LEFT) if start == 0 else (RIGHT if at_end else INNER)
            for d in range(n_directions):
                prob += np.exp(opened[d, start] + closed[d, stop - 1] + rows[row, k])
        below[k + 1] = below[k] + prob
