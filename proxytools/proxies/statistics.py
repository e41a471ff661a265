"""What marked spans look like in the classic features, under the predecessor's names."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from proxytools import features
from proxytools.types import SpanDataset

COLUMNS = ("momentum_3", "direction_streak", "cum_return_5", "volatility", "accel")


def expansion_stats(data: SpanDataset) -> pd.DataFrame:
    """One row a span, averaged over its bars.

    Columns are ``window_id``, ``momentum_mean``, ``momentum_std`` (population), ``streak_mean``,
    ``streak_max``, ``cum_return_mean`` (mean of cum_return_5), ``cum_return_total`` (sum of the
    span's simple returns, close to close; the first bar of a window has none), ``vol_mean``,
    ``accel_mean`` and ``expansion_length`` (bars).

    Examples
    --------
    >>> from proxytools import synthetic
    >>> expansion_stats(synthetic.planted(3, seed=0).data).shape
    (3, 10)
    """
    spans = data.spans
    values = features.compute(data.windows.ohlc, COLUMNS).values.astype(np.float64)  # (N, T, 5)
    returns = _returns(data.windows.ohlc[..., 3])  # (N, T)
    rows = []
    for window, start, stop in zip(spans.window, spans.start, spans.stop, strict=True):
        inside = values[window, start:stop]  # (L, 5)
        momentum, streak, cum_return, volatility, accel = inside.mean(axis=0)
        rows.append(
            {
                "window_id": data.windows.ids[window],
                "momentum_mean": momentum,
                "momentum_std": inside[:, 0].std(),
                "streak_mean": streak,
                "streak_max": inside[:, 1].max(),
                "cum_return_mean": cum_return,
                "cum_return_total": returns[window, start:stop].sum(),
                "vol_mean": volatility,
                "accel_mean": accel,
                "expansion_length": stop - start,
            }
        )
    return pd.DataFrame(rows)


def calibration_stats(stats: pd.DataFrame) -> dict[str, float]:
    """Average momentum, streak, return, volatility and length over all spans."""
    columns = {
        "momentum": "momentum_mean",
        "streak": "streak_mean",
        "return": "cum_return_mean",
        "volatility": "vol_mean",
        "length": "expansion_length",
    }
    return {name: float(stats[column].mean()) for name, column in columns.items()}


def _returns(close: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, T) simple returns; 0 for the first bar and after a price of 0."""
    out = np.zeros_like(close)
    np.divide(np.diff(close), close[:, :-1], out=out[:, 1:], where=close[:, :-1] != 0)
    return out
