"""Which predicted span is which marked span: maximum bipartite matching on a line."""

from __future__ import annotations

import numba

from proxytools.types import Int


# Compiled callers keep a copy of this in their own cache: touch them after a change here.
@numba.njit(cache=True, nogil=True)
def match(
    pred_start: Int, pred_stop: Int, true_start: Int, true_stop: Int, iou: float, partner: Int
) -> int:
    """Maximum matching of the spans of one window at an intersection over union of ``iou``.

    Each family is disjoint and sorted by start, so no two overlaps cross: of all pairs in order
    of place, the first shares at most one of its two spans with later pairs. Taking it therefore
    never costs a match, and one sweep is exact.

    Parameters
    ----------
    pred_start, pred_stop : (P,) int64
        Predicted spans.
    true_start, true_stop : (S,) int64
        Marked spans.
    iou : float
        Least intersection over union of a pair, in (0, 1].
    partner : (P,) int64
        Filled with the marked span of each predicted one, -1 where it has none.

    Returns
    -------
    int
        Number of pairs.

    Examples
    --------
    >>> import numpy as np
    >>> partner = np.empty(2, np.int64)
    >>> match(np.array([0, 6]), np.array([4, 9]), np.array([1]), np.array([4]), 0.5, partner)
    1
    >>> partner
    array([ 0, -1])
    """
    partner[:] = -1
    i = j = pairs = 0
    while i < len(pred_start) and j < len(true_start):
        shared = min(pred_stop[i], true_stop[j]) - max(pred_start[i], true_start[j])
        union = pred_stop[i] - pred_start[i] + true_stop[j] - true_start[j] - shared
        if shared > 0 and shared / union >= iou:
            partner[i] = j
            pairs += 1
            i += 1
            j += 1
        elif pred_stop[i] <= true_stop[j]:
            i += 1
        else:
            j += 1
    return pairs
