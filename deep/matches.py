"""Spans by how likely a mark matches them.

The most probable segmentation answers another question than the one asked: where an edge is
unsure every single span is improbable, and none is returned. What is asked is how many returned
spans match a mark. So a candidate's score is the summed posterior probability of all spans that
match it, mean over three IoUs (at 0.5 alone half a span is as good as the whole), and what is
returned are the disjoint candidates whose scores exceed a threshold by most in total: the decision
of least expected cost, where a false alarm costs the threshold and a match earns the rest of 1.
For F1 the best threshold is half the F1 that can be reached (Lipton, Elkan, Naryanaswamy 2014).
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from proxytools.types import Spans

IOUS = (0.5, 0.6, 0.7)
THRESHOLD = 0.3  # where there are no marks to choose it on
THRESHOLDS = np.linspace(0.05, 0.75, 29)
Array = NDArray[np.float64]
Ranges = NDArray[np.int32]


def spans_above(match: Array, threshold: float) -> Spans:
    """Disjoint candidates of largest summed ``match - threshold``; their score is ``match``.

    Of equals the one that stops first is taken, of those the shortest.

    Parameters
    ----------
    match : (N, T, L)
        From `match_probability`.
    threshold : float
        Above 0: a candidate below it is never returned.

    Examples
    --------
    >>> prob = np.zeros((1, 6, 3))
    >>> prob[0, 1, 2], prob[0, 2, 1] = 0.4, 0.3  # [1, 4) or [2, 4), or neither
    >>> spans = spans_above(match_probability(prob), threshold=0.5)
    >>> spans.start, spans.stop, spans.score.round(3)
    (array([1]), array([4]), array([0.6]))
    """
    n_windows, n_bars, _ = match.shape
    origin = np.full((n_windows, n_bars + 1), -1)
    _best(match, threshold, origin)
    window, stop = np.nonzero(origin >= 0)
    start = origin[window, stop]
    return Spans(window, start, stop, n_windows, score=match[window, start, stop - start - 1])


def choose_threshold(match: Array, marks: Spans) -> float:
    """Threshold with the best F1 to be expected: as many hits as the returned spans' scores add to.

    Counting hits instead would let chance decide: F1 is flat around its best, and on a few hundred
    windows the threshold that wins is far off it as often as not. Scores are probabilities, their
    sum varies less (plug-in maximisation of F1, Ye, Chai, Lee, Chieu 2012). Of ``marks`` only
    their number is used.
    """
    expected = [_expected_f1(spans_above(match, threshold), marks) for threshold in THRESHOLDS]
    return float(THRESHOLDS[np.argmax(expected)])


def _expected_f1(found: Spans, marks: Spans) -> float:
    return 2 * float(found.score.sum()) / max(len(found) + len(marks), 1)


@numba.njit(cache=True, nogil=True, parallel=True)
def match_probability(prob: Array, ious: tuple[float, ...] = IOUS) -> Array:
    """(N, T, L) probability that a candidate matches some span, mean over IoUs.

    Parameters
    ----------
    prob : (N, T, L) float64
        Posterior probability of the span of ``k + 1`` bars from bar ``s``, at ``[:, s, k]``; 0
        where it does not fit. O(N * T * L * L).
    ious : tuple of float
        In (0, 1], ascending. Above 0.5 matching spans exclude each other and the sum is exact; at
        0.5 two halves may both match, and the sum is clipped at 1.
    """
    n_windows, n_bars, n_lengths = prob.shape
    match = np.zeros_like(prob)
    near = neighbours(n_lengths, ious)
    for w in numba.prange(n_windows):
        below = np.zeros((n_bars, n_lengths + 1))  # of a start, the sum over shorter spans
        for s in range(n_bars):
            for k in range(n_lengths):
                below[s, k + 1] = below[s, k] + prob[w, s, k]
        for s in range(n_bars):
            for k in range(min(n_lengths, n_bars - s)):
                match[w, s, k] = matching(below, s, k + 1, near, 0.0)
    return match


@numba.njit(cache=True, nogil=True)
def neighbours(n_lengths: int, ious: tuple[float, ...] = IOUS) -> tuple[Ranges, Ranges]:
    """Which spans match a candidate, by its length; the same wherever it stands.

    Of a candidate from bar 0 to n, and spans from bar d, whose overlap starts at M = max(d, 0) and
    whose union at m = min(d, 0), those match that stop from ``M + iou (n - m)`` to
    ``m + (n - M) / iou``.

    Returns
    -------
    first, reach : (I, L+1, 2) and (I, L+1, D, 2) int32
        For each IoU and n: the range of d; and for each d in it (place 0 is the first) the longest
        span that is too short, and the longest that matches.
    """
    tiny = 1e-9
    first = np.zeros((len(ious), n_lengths + 1, 2), np.int32)
    widest = int(np.ceil(n_lengths / min(ious))) + 1
    reach = np.zeros((len(ious), n_lengths + 1, widest, 2), np.int32)
    for i, iou in enumerate(ious):
        for n in range(1, n_lengths + 1):
            begin = int(np.ceil(n - n / iou - tiny))
            end = int(np.floor(n - iou * n + tiny)) + 1
            first[i, n] = begin, end
            for d in range(begin, end):
                later, earlier = max(d, 0), min(d, 0)
                low, high = later + iou * (n - earlier), earlier + (n - later) / iou
                shorter = min(int(np.ceil(low - tiny)) - d - 1, n_lengths)
                longest = min(int(np.floor(high + tiny)) - d, n_lengths)
                reach[i, n, d - begin] = shorter, max(longest, shorter)
    return first, reach


@numba.njit(cache=True, nogil=True)
def matching(below: Array, start: int, n: int, near: tuple[Ranges, Ranges], least: float) -> float:
    """Probability that a span matches the candidate of ``n`` bars from ``start``, mean over IoUs.

    ``below[s, k]`` is the probability of the spans of up to k bars from s; ``near`` is from
    `neighbours`. Of a candidate that cannot reach ``least`` the sum may stop early.
    """
    first, reach = near
    match = 0.0
    for i in range(len(first)):
        total = 0.0
        begin, end = first[i, n, 0], first[i, n, 1]  # no view of an array, which would cost more
        for d in range(max(begin, -start), end):
            shorter, longest = reach[i, n, d - begin, 0], reach[i, n, d - begin, 1]
            total += below[start + d, longest] - below[start + d, shorter]
        total = min(total, 1.0)
        match += total
        if match + (len(first) - i - 1) * total < least * len(first):  # fewer match as IoUs rise
            break
    return match / len(first)


@numba.njit(cache=True, nogil=True, parallel=True)
def _best(match: Array, threshold: float, origin: NDArray[np.int64]) -> None:
    """Fill origin (N, T+1): the start of the chosen span that stops there, or -1."""
    n_windows, n_bars, n_lengths = match.shape
    for w in numba.prange(n_windows):
        value, back = np.zeros(n_bars + 1), np.full(n_bars + 1, -1)
        for stop in range(1, n_bars + 1):
            value[stop] = value[stop - 1]
            for k in range(min(n_lengths, stop)):
                start = stop - k - 1
                found = value[start] + match[w, start, k] - threshold
                if found > value[stop]:
                    value[stop], back[stop] = found, start
        place = n_bars
        while place > 0:
            origin[w, place] = back[place]
            place = int(back[place]) if back[place] >= 0 else place - 1
