"""Average precision of scored spans."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from proxytools.metrics.pairing import columns, paired
from proxytools.types import Int, Spans

IOUS = np.arange(50, 100, 5) / 100


def average_precision(pred: Spans, true: Spans, *, by_class: bool = False) -> float | None:
    """Mean average precision over IoU 0.50, 0.55, ..., 0.95 (Lin et al. 2014, COCO).

    Predictions are ranked by score over all windows; in that order each takes the free mark
    with which its IoU reaches the threshold. The area is that under the precision
    envelope at every recall reached (all points, not COCO's 101), and equal scores enter the
    ranking together. Predictions may overlap each other.

    Returns
    -------
    float or None
        None where nothing is marked.

    Examples
    --------
    >>> pred = Spans([0, 0, 1], [0, 5, 2], [4, 7, 6], 2, score=[0.9, 0.8, 0.7])
    >>> average_precision(pred, Spans.of([[(0, 4)], [(2, 6)]]))
    0.8333333333333333
    """
    pred, true = paired(pred, true, by_class, disjoint=False)
    if len(true) == 0:
        return None
    if len(pred) == 0:
        return 0.0
    order = np.argsort(-pred.score, kind="stable")
    last = np.append(np.diff(pred.score[order]) != 0, True)  # of equal scores
    hits = _ranked_hits(order, pred.window, pred.start, pred.stop, *columns(true), IOUS)
    found = hits.cumsum(axis=1)[:, last]  # (10, R)
    precision = found / (np.flatnonzero(last) + 1)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    gain = np.diff(found, axis=1, prepend=0) / len(true)
    return float((gain * envelope).sum(axis=1).mean())


@numba.njit(cache=True, nogil=True)
def _ranked_hits(
    order: Int,
    window: Int,
    start: Int,
    stop: Int,
    true_first: Int,
    true_start: Int,
    true_stop: Int,
    ious: NDArray[np.float64],
) -> Int:
    """(len(ious), P) 1 where the prediction at that rank takes a mark."""
    hits = np.zeros((len(ious), len(order)), np.int64)
    for k in range(len(ious)):
        taken = np.zeros(len(true_start), np.bool_)
        for rank in range(len(order)):
            p = order[rank]
            for t in range(true_first[window[p]], true_first[window[p] + 1]):
                shared = min(stop[p], true_stop[t]) - max(start[p], true_start[t])
                iou = shared / (stop[p] - start[p] + true_stop[t] - true_start[t] - shared)
                # Marks are disjoint: from an IoU of 0.5 on no other one fits better.
                if iou >= ious[k] and not taken[t]:
                    taken[t] = True
                    hits[k, rank] = 1
                    break
    return hits
