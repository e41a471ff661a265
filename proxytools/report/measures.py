"""Held-out figures that the page draws, from probabilities, detections and marks alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from proxytools.decode import Decoder
from proxytools.metrics.span import partners, window_counts
from proxytools.types import Float, Int, Spans

Floats = NDArray[np.float64]
BINS = 10
LEVELS = np.arange(1, 50) / 50
"""Probabilities at which the threshold curve is measured."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """Bars by their probability: (B,) mean probability, share marked, its error, and how many."""

    prob: Floats
    share: Floats
    error: Floats
    count: Int


def calibration(prob: Float, mask: NDArray[np.generic], units: Int) -> Calibration:
    """Bin bars by probability, in tenths; tenths without bars are left out.

    ``error`` is the standard error of the share marked as a ratio of sums over units (linearised,
    Cochran 1977): bars of one unit are not counted as independent. It is 0 with one unit.

    Parameters
    ----------
    prob, mask : (N, T)
    units : (N,) int
        As in `proxytools.metrics.resample.pearson_interval`.

    Examples
    --------
    >>> found = calibration(np.array([[0.1, 0.96], [0.1, 0.94]]), np.array([[0, 1], [0, 1]]),
    ...                     np.array([0, 1]))
    >>> found.prob.round(2), found.share, found.count
    (array([0.1 , 0.95]), array([0., 1.]), array([2, 2]))
    """
    p = np.asarray(prob, np.float64)
    place = np.minimum((p * BINS).astype(np.int64), BINS - 1)  # (N, T)
    codes = np.unique(units, return_inverse=True)[1]
    n_units = int(codes.max()) + 1
    cell = (codes[:, None] * BINS + place).ravel()

    def sums(values: Floats | None = None) -> Floats:
        weights = None if values is None else values.ravel()
        summed: Floats = np.bincount(cell, weights, n_units * BINS).astype(np.float64)
        return summed.reshape(n_units, BINS)

    count, hits, total = sums(), sums(np.asarray(mask, np.float64)), sums(p)  # (U, B)
    used = count.sum(axis=0) > 0
    n = count.sum(axis=0)[used]
    share = hits.sum(axis=0)[used] / n
    residual = (hits[:, used] - share * count[:, used]) ** 2
    error = np.sqrt(residual.sum(axis=0) * n_units / max(1, n_units - 1)) / n
    return Calibration(total.sum(axis=0)[used] / n, share, error, n.astype(np.int64))


@dataclass(frozen=True, eq=False)
class Curve:
    """Pooled figures at each of `LEVELS`; nan where there is nothing to divide by."""

    precision: Floats
    recall: Floats
    bar_f1: Floats
    span_f1: Floats


def threshold_curve(prob: Float, marks: Spans) -> Curve:
    """Precision, recall and F1 of bars, and F1 of plain runs of bars at IoU 0.5, by threshold.

    Examples
    --------
    >>> curve = threshold_curve(np.array([[0.1, 0.7, 0.7, 0.1, 0.1]]), Spans.of([[(1, 3)]]))
    >>> curve.span_f1[[0, 24, 44]]
    array([0., 1., 0.])
    """
    p = np.asarray(prob, np.float64)
    inside, everything = np.sort(p[marks.mask(p.shape[1]) == 1]), np.sort(p, axis=None)
    hits = len(inside) - np.searchsorted(inside, LEVELS)
    n_pred = p.size - np.searchsorted(everything, LEVELS)
    counts = np.array([_span_counts(p, level, marks) for level in LEVELS])  # (L, 3)
    hit, false, missed = counts.T
    return Curve(
        _ratio(hits, n_pred),
        _ratio(hits, np.full(len(LEVELS), len(inside))),
        _ratio(2 * hits, n_pred + len(inside)),
        _ratio(2 * hit, 2 * hit + false + missed),
    )


def _span_counts(prob: Floats, level: float, marks: Spans) -> Int:
    found = Decoder(high=level, low=level).spans(prob)
    total: Int = window_counts(found, marks).sum(axis=0)
    return total


def _ratio(part: NDArray[np.integer], whole: NDArray[np.integer]) -> Floats:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def boundary_errors(found: Spans, marks: Spans) -> tuple[Int, Int]:
    """Bars from mark to detection at start and at stop, of each match at IoU 0.5; late above 0.

    Examples
    --------
    >>> boundary_errors(Spans.of([[(3, 7)], [(0, 1)]]), Spans.of([[(2, 7)], [(5, 9)]]))
    (array([1]), array([0]))
    """
    partner = partners(found, marks, 0.5)
    hit = partner >= 0
    mark = partner[hit]
    return found.start[hit] - marks.start[mark], found.stop[hit] - marks.stop[mark]


def window_errors(prob: Float, mask: NDArray[np.generic]) -> Floats:
    """(N,) mean squared difference of probability and mark over the bars of each window."""
    error: Floats = np.mean(
        (np.asarray(prob, np.float64) - np.asarray(mask, np.float64)) ** 2, axis=1
    )
    return error


def disagreement(probs: Float) -> Floats:
    """(N,) mean over bars of the range of probabilities (R, N, T) that runs give a bar.

    Examples
    --------
    >>> disagreement(np.array([[[0.0, 0.5]], [[1.0, 0.5]]]))
    array([0.5])
    """
    spread: Floats = np.ptp(np.asarray(probs, np.float64), axis=0).mean(axis=1)
    return spread
