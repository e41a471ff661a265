"""The feature set ``bars``, of methods that are given prices and nothing made of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from proxytools.types import OHLC, FeatureSet

BARS = "bars"
TINY = 1e-9  # a window's mean range, from which on it is not flat


def bars(ohlc: NDArray[np.float64]) -> FeatureSet:
    """Open, high, low and close in units of a window's mean range, from its first open on.

    Examples
    --------
    >>> bars(np.array([[[5.0, 7, 5, 6], [6, 8, 6, 7]]])).values[0, 1]
    array([0.5, 1.5, 0.5, 1. ], dtype=float32)
    """
    unit = np.maximum((ohlc[..., 1] - ohlc[..., 2]).mean(axis=1), TINY)  # (N,)
    values = (ohlc - ohlc[:, :1, :1]) / unit[:, None, None]  # (N, T, 4)
    return FeatureSet(values.astype(np.float32), OHLC, ohlc.shape[1] - 1, ohlc.shape[1] - 1)
