"""Probabilities to spans: threshold with hysteresis, least length, bridged gaps."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numba
import numpy as np
from numpy.typing import NDArray

from proxytools.errors import InputError
from proxytools.matching import match
from proxytools.types import Float, Int, Spans

HIGH_LEVELS = 24
LOW_FRACTIONS = (1.0, 0.8, 0.6, 0.4)
MIN_LENGTHS = (1, 2, 3, 4, 5)
MAX_GAPS = (0, 1, 2)


@dataclass(frozen=True)
class Decoder:
    """Reads spans off per-bar probabilities.

    A span is a run of bars at or above ``low``, in which at most ``max_gap`` bars in a row may
    lie below it; it is kept when some bar of it reaches ``high`` (hysteresis, Canny 1986) and it
    is at least ``min_length`` bars long.

    Parameters
    ----------
    high, low : float
        Probabilities, ``low <= high``.
    min_length : int
        Bars, at least 1.
    max_gap : int
        Bars, at least 0.

    Raises
    ------
    InputError
        A setting outside its range.

    Examples
    --------
    >>> prob = np.array([[0.1, 0.5, 0.9, 0.2, 0.6, 0.1, 0.1, 0.5]])
    >>> spans = Decoder(high=0.8, low=0.5, max_gap=1).spans(prob)
    >>> spans.start, spans.stop, spans.score
    (array([1]), array([5]), array([0.55]))
    """

    high: float = 0.5
    low: float = 0.5
    min_length: int = 1
    max_gap: int = 0

    def __post_init__(self) -> None:
        ranges = {
            "low": (self.low <= self.high, self.low, f"a number up to high ({self.high})"),
            "min_length": (self.min_length >= 1, self.min_length, "at least 1 bar"),
            "max_gap": (self.max_gap >= 0, self.max_gap, "0 bars or more"),
        }
        for name, (legal, got, expected) in ranges.items():
            if not legal:
                raise InputError(f"decoder, {name}", got=str(got), expected=expected)

    def spans(self, prob: Float) -> Spans:
        """Spans of all windows.

        Parameters
        ----------
        prob : (N, T) float
            Probability of lying in a span.

        Returns
        -------
        Spans
            Disjoint within a window; the score is the mean probability inside.
        """
        n_windows, n_bars = prob.shape
        window = np.empty(n_windows * ((n_bars + 1) // 2), np.int64)  # a run and a bar between
        start, stop, score = np.empty_like(window), np.empty_like(window), np.empty(len(window))
        setting = (self.high, self.low, self.min_length, self.max_gap)
        n = _decode_all(prob, *setting, window, start, stop, score)
        return Spans(window[:n], start[:n], stop[:n], n_windows, score=score[:n])


def choose(prob: Float, spans: Spans, *, iou: float = 0.5) -> Decoder:
    """Find the decoder with the best pooled span F1 on these windows, by exhaustive search.

    ``high`` runs over quantiles of the probabilities and of each window's largest, ``low`` over
    fractions of it, ``min_length`` from 1 to 5 and ``max_gap`` from 0 to 2. Of equally good ones
    the simplest is taken (least gap, least length, least hysteresis), and of its thresholds the
    middle one. The result fits these windows: report it on others.

    Parameters
    ----------
    prob : (N, T) float
        Probabilities that were held out when they were made.
    spans : Spans
        The marks of the same windows, at least one.
    iou : float
        Intersection over union from which a span counts as found.

    Raises
    ------
    InputError
        No marked span, or another number of windows.

    Examples
    --------
    >>> prob = np.array([[0.1, 0.9, 0.9, 0.2, 0.1], [0.2, 0.1, 0.3, 0.9, 0.9]])
    >>> choose(prob, Spans.of([[(1, 3)], [(3, 5)]])).spans(prob).start
    array([1, 3])
    """
    if len(spans) == 0 or spans.n_windows != len(prob):
        raise InputError(
            "windows to choose the decoder on",
            got=f"{len(spans)} marked spans in {spans.n_windows} windows",
            expected=f"at least one in {len(prob)} windows",
            fix="Mark a span or give the thresholds yourself",
        )
    levels = _levels(prob)
    grid = list(product(MAX_GAPS, MIN_LENGTHS, LOW_FRACTIONS, levels))  # simplest first
    gap, length, fraction, high = (np.array(column) for column in zip(*grid, strict=True))
    low = fraction * high
    first = np.searchsorted(spans.window, np.arange(spans.n_windows + 1))
    counts = _search(prob, high, low, length, gap, first, spans.start, spans.stop, iou)
    f1 = 2 * counts[:, 0] / (counts[:, 1] + len(spans))  # (settings,)
    plateau = f1.reshape(-1, len(levels)) == f1.max()  # (other settings, levels)
    row = int(plateau.any(axis=1).argmax())
    ties = np.flatnonzero(plateau[row])
    best = row * len(levels) + ties[len(ties) // 2]
    return Decoder(float(high[best]), float(low[best]), int(length[best]), int(gap[best]))


def _levels(prob: Float) -> NDArray[np.float64]:
    """Thresholds worth trying: where bars, and where windows, would drop out."""
    rare = 1 - np.geomspace(0.5, 1 / prob.size, HIGH_LEVELS // 2)
    even = np.linspace(0, 1, HIGH_LEVELS // 2)
    levels = [np.quantile(prob, rare), np.quantile(prob.max(axis=1), even)]
    return np.unique(np.concatenate(levels).astype(np.float64))


@numba.njit(cache=True, nogil=True)
def _decode(
    prob: Float, high: float, low: float, min_length: int, max_gap: int, start: Int, stop: Int
) -> int:
    """Write the spans of one window into ``start`` and ``stop``; return how many."""
    n = 0
    first = last = -1  # of the open run
    peak = 0.0
    for t in range(len(prob)):
        if not prob[t] >= low:  # nan included
            continue
        if first < 0 or t - last > max_gap + 1:
            if first >= 0 and peak >= high and last + 1 - first >= min_length:
                start[n], stop[n] = first, last + 1
                n += 1
            first, peak = t, prob[t]
        last = t
        peak = max(peak, prob[t])
    if first >= 0 and peak >= high and last + 1 - first >= min_length:
        start[n], stop[n] = first, last + 1
        n += 1
    return n


@numba.njit(cache=True, nogil=True)
def _decode_all(
    prob: Float,
    high: float,
    low: float,
    min_length: int,
    max_gap: int,
    window: Int,
    start: Int,
    stop: Int,
    score: NDArray[np.float64],
) -> int:
    n = 0
    for w in range(len(prob)):
        found = _decode(prob[w], high, low, min_length, max_gap, start[n:], stop[n:])
        for k in range(n, n + found):
            window[k] = w
            total = 0.0
            for t in range(start[k], stop[k]):
                total += prob[w, t]
            score[k] = total / (stop[k] - start[k])
        n += found
    return n


@numba.njit(cache=True, nogil=True)
def _search(
    prob: Float,
    high: NDArray[np.float64],
    low: NDArray[np.float64],
    min_length: Int,
    max_gap: Int,
    true_first: Int,
    true_start: Int,
    true_stop: Int,
    iou: float,
) -> Int:
    """Count matched and predicted spans of each setting: (settings, 2)."""
    counts = np.zeros((len(high), 2), np.int64)
    size = (prob.shape[1] + 1) // 2
    start, stop, partner = (
        np.empty(size, np.int64),
        np.empty(size, np.int64),
        np.empty(size, np.int64),
    )
    for k in range(len(high)):
        for w in range(len(prob)):
            n = _decode(prob[w], high[k], low[k], min_length[k], max_gap[k], start, stop)
            s, e = true_first[w], true_first[w + 1]
            counts[k, 0] += match(
                start[:n], stop[:n], true_start[s:e], true_stop[s:e], iou, partner[:n]
            )
            counts[k, 1] += n
    return counts
