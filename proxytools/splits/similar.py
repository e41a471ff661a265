"""Windows that are copies of each other but for the price scale, rounding or a little noise."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from proxytools.types import Float, Int

ALIKE = 0.98
LEAST_BARS = 10  # fewer look alike by chance
AT_ONCE = 1024  # windows compared with all others together


def shapes(ohlc: Float) -> NDArray[np.float32]:
    """(N, 3T) unit vectors of how price moves from bar to bar, whatever its level and scale.

    The inner product of two is their similarity: 1 for a copy, rescaled or moved. A flat window
    is like no other, and has a vector of zeros; so do windows of fewer than 10 bars.

    Parameters
    ----------
    ohlc : (N, T, 4) float
        Finite.

    Examples
    --------
    >>> bars = 100 + np.random.default_rng(0).random((2, 30, 4))
    >>> moved = 7 * bars[:1] + 3
    >>> alike = shapes(np.concatenate([bars, moved])) @ shapes(moved).T
    >>> (alike[:, 0] > ALIKE).tolist()
    [True, False, True]
    """
    n_windows, n_bars, _ = ohlc.shape
    if n_bars < LEAST_BARS:
        return np.zeros((n_windows, 3 * n_bars), np.float32)
    before = np.concatenate([ohlc[:, :1, 0], ohlc[:, :-1, 3]], axis=1)  # (N, T) previous close
    moves = (ohlc[:, :, 1:] - before[:, :, None]).reshape(n_windows, 3 * n_bars)
    largest = np.abs(moves).max(axis=1, keepdims=True, initial=0.0)  # (N, 1)
    moves = moves / np.where(largest > 0, largest, 1.0)
    length = np.sqrt((moves**2).sum(axis=1, keepdims=True))
    return np.asarray(moves / np.where(length > 0, length, 1.0), np.float32)


def near_copies(ohlc: Float, alike: float = ALIKE) -> tuple[Int, NDArray[np.float32]]:
    """Find the pairs of windows whose shapes are alike.

    Parameters
    ----------
    ohlc : (N, T, 4) float
        Finite.
    alike : float
        Least similarity, in (0, 1].

    Returns
    -------
    pairs : (E, 2) int64
        Every pair, the earlier window first.
    similarity : (E,) float32
    """
    vectors = shapes(ohlc)
    pairs, similarity = [np.empty((0, 2), np.int64)], [np.empty(0, np.float32)]
    for begin in range(0, len(vectors), AT_ONCE):
        product = vectors[begin : begin + AT_ONCE] @ vectors[begin:].T  # (B, N - begin)
        a, b = np.nonzero(np.triu(product, 1) >= alike)
        pairs.append(np.stack([a, b], axis=1) + begin)
        similarity.append(product[a, b])
    return np.concatenate(pairs), np.concatenate(similarity)
