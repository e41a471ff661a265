"""Speed of the features, against pandas, numpy, coreforecast, and copying the bars."""

from __future__ import annotations

from statistics import median
from typing import Any

import numba
import numpy as np
import pandas as pd
from coreforecast.grouped_array import GroupedArray
from coreforecast.lag_transforms import RollingMax, RollingMean, RollingMin, RollingStd
from numpy.lib.stride_tricks import sliding_window_view

from benchmarks.speed_proxies import Line, ratio, timed
from proxytools import features, synthetic

Floats = np.ndarray


def features_lines(
    windows: int = 20_000, pandas_windows: int = 200, repeats: int = 7
) -> list[Line]:
    """Time `classic` against four rivals on the same bars, and `full` for each core.

    The pandas way is timed on fewer windows; its ratio is of the times of one window.
    """
    base = synthetic.planted(min(windows, 1_000), preset="medium", seed=1).data.windows.ohlc
    ohlc = np.tile(base, (-(-windows // len(base)), 1, 1))[:windows]
    few = ohlc[:pandas_windows]
    rivals = timed(
        lambda: features.compute(ohlc, "classic"),
        lambda: vectorised(ohlc),
        lambda: by_coreforecast(ohlc),
        lambda: ohlc.copy(),
        lambda: [by_pandas(window) for window in few],
        repeats=repeats,
    )
    ours, numpys, coreforecasts, copies, pandas = rivals
    a_window = ratio(ours, pandas) * windows / len(few)
    cores = numba.config.NUMBA_NUM_THREADS
    bars = windows * ohlc.shape[1]
    causal, full = timed(
        lambda: features.compute(ohlc, "causal"),
        lambda: features.compute(ohlc, "full"),
        repeats=repeats,
    )
    rates = {
        "classic": bars / median(ours) / 1e6,
        "causal": bars / median(causal) / 1e6 / cores,
        "full": bars / median(full) / 1e6 / cores,
    }
    return [
        _line("classic features: times faster than pandas a window", a_window, "1,000"),
        _line("classic features: times faster than vectorised numpy", ratio(ours, numpys), "20"),
        _line("classic features: times faster than coreforecast", ratio(ours, coreforecasts), ""),
        _line("classic features: speed over that of copying the bars", ratio(ours, copies), "0.25"),
        _line("classic features: million bars a second", rates["classic"], ""),
        _line("causal features: million bars a second for each core", rates["causal"], ""),
        _line("full features: million bars a second for each core", rates["full"], "5"),
    ]


def _line(what: str, value: float, aim: str) -> Line:
    shown = f"{value:,.0f}" if value >= 100 else f"{value:.2g}" if value < 1 else f"{value:.1f}"
    return {"what": what, "value": value, "measured": shown, "aim": aim}


def by_pandas(window: Floats) -> pd.DataFrame:
    """Compute the classic features of one window (T, 4) the predecessor's way."""
    bars = pd.DataFrame(window, columns=["open", "high", "low", "close"])
    extent = bars.high.rolling(4).max() - bars.low.rolling(4).min()
    return pd.DataFrame(
        {
            "momentum_3": (bars.close - bars.close.shift(3)) / (extent + 1e-9),
            "direction_streak": (bars.close > bars.open).astype(float).rolling(10).sum(),
            "cum_return_5": bars.close.pct_change().rolling(5).sum(),
            "volatility": (bars.high - bars.low).rolling(20).std(),
        }
    ).fillna(0.0)


def vectorised(ohlc: Floats) -> Floats:
    """Compute the classic features of all windows (N, T, 4) with numpy, no loop over windows."""
    open_, high, low, close = np.moveaxis(ohlc, 2, 0)  # (N, T) each
    out = np.zeros((*close.shape, 4), np.float32)
    top = sliding_window_view(high, 4, axis=1).max(axis=-1)
    bottom = sliding_window_view(low, 4, axis=1).min(axis=-1)
    out[:, 3:, 0] = (close[:, 3:] - close[:, :-3]) / (top - bottom + 1e-9)
    out[:, 9:, 1] = sliding_window_view(close > open_, 10, axis=1).sum(axis=-1)
    change = close[:, 1:] / close[:, :-1] - 1.0
    out[:, 5:, 2] = sliding_window_view(change, 5, axis=1).sum(axis=-1)
    out[:, 19:, 3] = sliding_window_view(high - low, 20, axis=1).std(axis=-1, ddof=1)
    return out


def by_coreforecast(ohlc: Floats) -> Floats:
    """Compute the classic features of all windows (N, T, 4), each a group, on all cores."""
    open_, high, low, close = (np.ascontiguousarray(x) for x in np.moveaxis(ohlc, 2, 0))
    begins = np.arange(0, close.size + 1, close.shape[1], dtype=np.int32)

    def rolled(transform: Any, values: Floats) -> Floats:
        groups = GroupedArray(values.ravel(), begins, num_threads=numba.config.NUMBA_NUM_THREADS)
        found: Floats = transform.transform(groups).reshape(close.shape)
        return found

    change = np.zeros(close.shape)
    change[:, 1:] = close[:, 1:] / close[:, :-1] - 1.0
    out = np.zeros((*close.shape, 4), np.float32)
    extent = rolled(RollingMax(0, 4), high) - rolled(RollingMin(0, 4), low)
    out[:, 3:, 0] = (close[:, 3:] - close[:, :-3]) / (extent[:, 3:] + 1e-9)
    out[:, 9:, 1] = 10 * rolled(RollingMean(0, 10), (close > open_).astype(float))[:, 9:]
    out[:, 5:, 2] = 5 * rolled(RollingMean(0, 5), change)[:, 5:]
    out[:, 19:, 3] = rolled(RollingStd(0, 20), high - low)[:, 19:]
    return out
