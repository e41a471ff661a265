"""How well predicted spans agree with the marked ones.

A predicted and a marked span match when their intersection over union (IoU) reaches a threshold;
each takes part in one match at most. Counts come from a maximum matching within each window and
are pooled over windows, so that a window with neither mark nor prediction adds nothing and a
prediction in a window without marks is a false positive.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from proxytools.errors import InputError
from proxytools.matching import match
from proxytools.metrics.bar import checked
from proxytools.metrics.pairing import columns, paired
from proxytools.metrics.span_ap import average_precision
from proxytools.types import Float, Int, Spans


def span_metrics(
    pred: Spans, true: Spans, *, by_class: bool = False
) -> dict[str, float | int | None]:
    """Span metrics, pooled over all spans of all windows.

    Parameters
    ----------
    pred, true : Spans
        Predicted and marked spans of the same windows, disjoint within a window; overlapping
        proposals are refused here and belong in `proxytools.metrics.span_ap.average_precision`.
    by_class : bool
        Whether only spans of one class (``label``) may match.

    Returns
    -------
    dict
        ``span_precision_k``, ``span_recall_k``, ``span_f1_k`` for IoU k = 30, 50, 70 percent;
        ``span_ap``, see `proxytools.metrics.span_ap.average_precision`; ``mean_iou`` over the
        marked spans, each with the prediction it is paired with (any overlap; the pairing of
        largest summed IoU), 0 where missed;
        ``start_error_signed``, ``start_error_abs``, ``stop_error_signed``, ``stop_error_abs``:
        mean bars from mark to prediction, above 0 when late, over the matches at IoU 0.5, of two
        equal halves the earlier; ``n_true``, ``n_pred``, ``n_matched`` (at IoU 0.5).
        None where nothing is there to divide by: precision without predictions, recall,
        ``span_ap`` and ``mean_iou`` without marks, F1 without either, errors without a match.

    Raises
    ------
    InputError
        Different numbers of windows, empty spans, overlapping spans.

    Examples
    --------
    >>> true = Spans.of([[(2, 6)], [(0, 4), (6, 9)], []])
    >>> pred = Spans.of([[(3, 6)], [(0, 4)], [(1, 3)]])
    >>> scores = span_metrics(pred, true)
    >>> scores["span_precision_50"], scores["span_recall_50"], scores["span_f1_50"]
    (0.6666666666666666, 0.6666666666666666, 0.6666666666666666)
    >>> scores["mean_iou"], scores["start_error_signed"], scores["stop_error_abs"]
    (0.5833333333333334, 0.5, 0.0)
    """
    pred, true = paired(pred, true, by_class)
    scores: dict[str, float | int | None] = {}
    for percent in (30, 50, 70):
        matched = int((partners(pred, true, percent / 100) >= 0).sum())
        scores[f"span_precision_{percent}"] = _ratio(matched, len(pred))
        scores[f"span_recall_{percent}"] = _ratio(matched, len(true))
        scores[f"span_f1_{percent}"] = _ratio(2 * matched, len(pred) + len(true))
    total = _summed_iou(*columns(pred), *columns(true))
    scores |= {"span_ap": average_precision(pred, true), "mean_iou": _ratio(total, len(true))}
    partner = partners(pred, true, 0.5)
    hit = partner >= 0
    for edge in ("start", "stop"):
        error = getattr(pred, edge)[hit] - getattr(true, edge)[partner[hit]]
        scores[f"{edge}_error_signed"] = _ratio(error.sum(), len(error))
        scores[f"{edge}_error_abs"] = _ratio(np.abs(error).sum(), len(error))
    return scores | {"n_true": len(true), "n_pred": len(pred), "n_matched": int(hit.sum())}


def window_counts(pred: Spans, true: Spans, iou: float = 0.5, *, by_class: bool = False) -> Int:
    """(N, 3) true positives, false positives and misses of each window.

    Their sums give the pooled precision, recall and F1, and they are what
    `proxytools.metrics.resample.f1_paired_interval` resamples. Parameters and errors are those of
    `span_metrics`.

    Examples
    --------
    >>> window_counts(Spans.of([[(3, 6)], [(1, 3)]]), Spans.of([[(2, 6), (7, 9)], []]))
    array([[1, 0, 1],
           [0, 1, 0]])
    """
    n_windows = pred.n_windows
    pred, true = paired(pred, true, by_class)
    hit = pred.window[partners(pred, true, iou) >= 0]
    matched = np.bincount(hit, minlength=pred.n_windows)
    counts = np.stack([matched, pred.count - matched, true.count - matched], axis=1)
    total: Int = counts.reshape(n_windows, -1, 3).sum(axis=1)  # (N, 3), classes added up
    return total


def window_bar_f1(
    prob: Float, mask: NDArray[np.generic], threshold: float = 0.5
) -> dict[str, float | None]:
    """Precision, recall and F1 over the bars of each window, averaged over windows.

    A bar is predicted where ``prob >= threshold``. Windows with neither a marked nor a predicted
    bar are left out, and all three are None when that leaves none; in the others a ratio with
    nothing to divide by is 0.

    Parameters
    ----------
    prob : (N, T) float
        In [0, 1].
    mask : (N, T) 0/1
    threshold : float

    Examples
    --------
    >>> window_bar_f1(np.array([[0.9, 0.6, 0.1], [0.2, 0.1, 0.1]]), np.array([[1, 0, 0]] * 2))
    {'bar_f1': 0.3333333333333333, 'bar_precision': 0.25, 'bar_recall': 0.5}
    """
    p, y = checked(prob, mask)
    marked = y.reshape(np.shape(prob))  # (N, T)
    predicted = (p >= threshold).reshape(marked.shape)
    n_pred, n_true = predicted.sum(axis=1), marked.sum(axis=1)
    used = n_pred + n_true > 0
    if not used.any():
        return {"bar_f1": None, "bar_precision": None, "bar_recall": None}
    hits = (predicted & marked).sum(axis=1)[used]
    n_pred, n_true = n_pred[used], n_true[used]
    return {
        "bar_f1": float(np.mean(2 * hits / (n_pred + n_true))),
        "bar_precision": float(np.mean(hits / np.maximum(n_pred, 1))),
        "bar_recall": float(np.mean(hits / np.maximum(n_true, 1))),
    }


def _ratio(part: float, whole: int) -> float | None:
    return float(part / whole) if whole else None


def partners(pred: Spans, true: Spans, iou: float) -> Int:
    """(P,) row of the marked span each prediction is matched with, or -1.

    Parameters
    ----------
    pred, true : Spans
        Of the same windows, disjoint within each (`span_metrics` checks that).
    iou : float
        Least intersection over union of a pair, in (0, 1].

    Examples
    --------
    >>> partners(Spans.of([[(0, 2), (3, 6)]]), Spans.of([[(2, 6)]]), 0.5)
    array([-1,  0])
    """
    if not 0 < iou <= 1:
        raise InputError("iou", got=str(iou), expected="a threshold in (0, 1]")
    partner = np.empty(len(pred), np.int64)
    _match_all(*columns(pred), *columns(true), iou, partner)
    return partner


@numba.njit(cache=True, nogil=True)
def _match_all(
    pred_first: Int,
    pred_start: Int,
    pred_stop: Int,
    true_first: Int,
    true_start: Int,
    true_stop: Int,
    iou: float,
    partner: Int,
) -> None:
    for w in range(len(pred_first) - 1):
        p, q = pred_first[w], pred_first[w + 1]
        s, e = true_first[w], true_first[w + 1]
        match(pred_start[p:q], pred_stop[p:q], true_start[s:e], true_stop[s:e], iou, partner[p:q])
        for i in range(p, q):
            if partner[i] >= 0:
                partner[i] += s


@numba.njit(cache=True, nogil=True)
def _summed_iou(
    pred_first: Int,
    pred_start: Int,
    pred_stop: Int,
    true_first: Int,
    true_start: Int,
    true_stop: Int,
) -> float:
    """Largest summed IoU of any one-to-one pairing.

    Overlapping pairs in order of place conflict only within runs that share a span, so the best
    sum up to a pair either skips it or adds it to the best sum from before both its runs.
    """
    total = 0.0
    for w in range(len(pred_first) - 1):
        i, j = pred_first[w], true_first[w]
        best = before_pred = before_true = 0.0
        while i < pred_first[w + 1] and j < true_first[w + 1]:
            shared = min(pred_stop[i], true_stop[j]) - max(pred_start[i], true_start[j])
            if shared > 0:
                union = pred_stop[i] - pred_start[i] + true_stop[j] - true_start[j] - shared
                best = max(best, min(before_pred, before_true) + shared / union)
            if pred_stop[i] <= true_stop[j]:
                i += 1
                before_pred = best
            else:
                j += 1
                before_true = best
        total += best
    return total
