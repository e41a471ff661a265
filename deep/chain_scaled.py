"""The chain's sums in multiplications alone: what `deep.chain.sums` finds, several times faster.

Weights are kept in one scale for each direction, which is all that moves from bar to bar: the
scaling of hidden Markov models (Rabiner 1989, section V.A), put on the recursion of `deep.chain`.
Exponentials come in and logarithms are taken after, both of whole arrays. Scores so extreme that a
weight could be lost are told of, and are for `deep.chain.sums` to do.
"""

from __future__ import annotations

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from deep.chain import BOTH, INNER, LEFT, RIGHT, dot

Array = NDArray[np.float64]
LARGE, SMALL = 1e100, 1e-100  # of a scale, beyond which it is put into the weights
LEAST, MOST = 1e-250, 1e250  # of a weight that is still told from nothing, and from too much


@njit(cache=True, nogil=True)
def _rescaled(weight: Array, scale: float) -> bool:
    """Put the scale into the weights; whether all can still be told from nothing."""
    kept = True
    for i in range(len(weight)):
        weight[i] *= scale
        kept = kept and LEAST < weight[i] < MOST
    return kept


@njit(cache=True, nogil=True)
def _way(
    e: Array,
    a: Array,
    b: Array,
    rows: Array,
    near: Array,
    right: Array,
    tail_ratio: float,
    one: bool,
    total: Array,
    closing: Array,
) -> bool:
    """Fill ``total`` (T+1,) and ``closing`` (D, T+1) of one window read one way; see `sums`.

    A weight times its direction's scale is that of all segmentations with a span from its start
    that is still open, over that of all segmentations of the bars before the last one read.
    """
    n_directions, n_bars = e.shape
    reach = len(near)
    weight = np.zeros((n_directions, n_bars + 1))  # by start; last the tail, starts beyond reach
    weight[:, 0] = 1.0
    scale = np.ones(n_directions)
    fine, grown = True, 0.0
    total[0], closing[:, 0] = 0.0, 0.0
    for stop in range(1, n_bars + 1):
        bar, found = stop - 1, 0.0
        for d in range(n_directions):
            own = weight[d]
            scale[d] *= e[d, bar] / (1.0 + grown)
            if not SMALL < scale[d] < LARGE:
                fine = _rescaled(own[: max(bar, 1)], scale[d]) and fine
                own[n_bars] *= scale[d]
                scale[d] = 1.0
            if bar > 0:
                own[bar] = a[d, bar] * e[d, bar] / scale[d]
                fine = fine and LEAST < own[bar] < MOST
            if stop == n_bars:
                spans = own[0] * rows[BOTH, bar] + dot(own[1:n_bars], right[1:])
            else:
                n = min(reach, bar)  # starts within reach; bar 0 is the edge's
                spans = own[0] * rows[LEFT, bar] + dot(own[stop - n : stop], near[reach - n :])
                if bar > reach:
                    entering = own[bar - reach] * rows[INNER, reach]
                    fine = fine and entering > LEAST
                    own[n_bars] = own[n_bars] * tail_ratio + entering
                    spans += own[n_bars]
                spans *= b[d, bar]
            spans *= scale[d]
            fine = fine and LEAST < spans < MOST
            closing[d, stop] = spans
            found += spans
        grown = 0.0 if one else found
        total[stop] = grown
    return fine


@njit(cache=True, nogil=True, parallel=True)
def sums(
    e: Array,
    a: Array,
    b: Array,
    rows: Array,
    tail_ratio: float,
    size: int,
    one: bool,
    total: Array,
    closing: Array,
    fine: NDArray[np.bool_],
) -> None:
    """Sum over segmentations, from the left and from the right, bar by bar in units of the last.

    Parameters
    ----------
    e, a, b : (N, D, T)
        Exponentials of the scores of a bar inside a span, of its first bar and of its last.
    rows : (4, T)
        Probabilities of visible lengths from 1 on, as a span is cut; see `deep.sums.length_rows`.
    tail_ratio : float
        Of one length beyond ``size`` and the one before it.
    size : int
        Lmax + 1, the lengths that have a probability of their own.
    one : bool
        Sum over the segmentations of a single span alone.
    total : (2, N, T + 1), written
        What each bar adds to the weight of all segmentations so far, which is 1; read from the
        left, and from the right.
    closing : (2, N, D, T + 1), written
        Weight of those with a span that stops there, by its direction, over the weight of all
        segmentations that end a bar before.
    fine : (2, N), written
        Whether no weight was lost; figures of other windows mean nothing.
    """
    n_windows, n_bars = len(e), e.shape[2]
    mirrored = rows.copy()
    mirrored[LEFT], mirrored[RIGHT] = rows[RIGHT], rows[LEFT]
    left, right = rows[LEFT, ::-1].copy(), rows[RIGHT, ::-1].copy()  # by start
    near = rows[INNER, : min(size - 1, n_bars)][::-1].copy()  # longest first, as starts stand
    for k in prange(2 * n_windows):
        w = k // 2
        if k % 2 == 0:
            fine[0, w] = _way(
                e[w], a[w], b[w], rows, near, right, tail_ratio, one, total[0, w], closing[0, w]
            )
        else:  # time reversed, a span's last bar is its first
            back = (e[w, :, ::-1].copy(), b[w, :, ::-1].copy(), a[w, :, ::-1].copy())
            end = (total[1, w, ::-1], closing[1, w, :, ::-1])
            fine[1, w] = _way(*back, mirrored, near, left, tail_ratio, one, *end)
