"""The obvious baseline: the twelve `jade` features made anew, by pandas, at every access.

``python -m benchmarks.recomputed`` prints the seconds that one epoch of loading takes.
"""

from __future__ import annotations

from statistics import median
from time import perf_counter

import numpy as np
import pandas as pd
import torch
from torch.utils.data import DataLoader, Dataset

from proxytools import synthetic

EPS = 1e-6
BATCH = 32


class RecomputedWindows(Dataset):
    """Windows (N, T, 4) whose item ``i`` is its features (T, 12), computed then, and ``i``."""

    def __init__(self, ohlc: np.ndarray) -> None:
        self.ohlc = ohlc

    def __len__(self) -> int:
        return len(self.ohlc)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        bars = pd.DataFrame(self.ohlc[i], columns=["open", "high", "low", "close"])
        return torch.from_numpy(by_pandas(bars).to_numpy(np.float32)), i


def loader(ohlc: np.ndarray, *, seed: int = 0) -> DataLoader:
    """Shuffled batches of 32: features (n, T, 12) and the windows (n,) they are of."""
    stream = torch.Generator().manual_seed(seed)
    return DataLoader(RecomputedWindows(ohlc), BATCH, shuffle=True, generator=stream)


def seconds_per_epoch(ohlc: np.ndarray, epochs: int = 3) -> float:
    """Median time in which the loader alone goes through windows (N, T, 4), without training."""
    batches, seconds = loader(ohlc), []
    next(iter(batches))  # what the first access imports
    for _ in range(epochs):
        begin = perf_counter()
        for _ in batches:
            pass
        seconds.append(perf_counter() - begin)
    return median(seconds)


def by_pandas(bars: pd.DataFrame) -> pd.DataFrame:
    """Compute the twelve features of one window: columns where it can, legs row by row."""
    extent = bars.high - bars.low
    size = extent.clip(lower=EPS)
    top, bottom = bars[["open", "close"]].max(axis=1), bars[["open", "close"]].min(axis=1)
    out = pd.DataFrame(
        {
            "open_norm": ((bars.open - bars.low) / size).clip(0, 1),
            "close_norm": ((bars.close - bars.low) / size).clip(0, 1),
            "body_pct": (bars.close - bars.open) / size,
            "upper_wick_pct": (bars.high - top) / size,
            "lower_wick_pct": (bottom - bars.low) / size,
        }
    )
    average = extent.ewm(alpha=2 / 21, adjust=False).mean().clip(lower=EPS)
    out["range_z"] = (extent / average).clip(0, 3)
    bars = bars.assign(atr=_atr(bars))
    walked = _legs(bars)
    above, below = walked.swing_high - bars.close, bars.close - walked.swing_low
    out["dist_to_prev_sh"] = (above / bars.atr).clip(-3, 3).fillna(0.0)
    out["dist_to_prev_sl"] = (below / bars.atr).clip(-3, 3).fillna(0.0)
    out["bars_since_sh_norm"] = ((bars.index - walked.high_at) / 105).clip(0, 3).fillna(0.0)
    out["bars_since_sl_norm"] = ((bars.index - walked.low_at) / 105).clip(0, 3).fillna(0.0)
    out["expansion_proxy"] = (out.range_z * walked.leg * out.body_pct).clip(-2, 2)
    age = (out.bars_since_sh_norm + out.bars_since_sl_norm) / 2
    out["consol_proxy"] = ((1 - out.range_z / 3) * (1 - out.body_pct.abs()) * age).clip(0, 3)
    return out


def _atr(bars: pd.DataFrame) -> pd.Series:
    """Average of the last ten true ranges; the first bar has none."""
    before = bars.close.shift()
    ranges = [bars.high - bars.low, (bars.high - before).abs(), (bars.low - before).abs()]
    true_range = pd.concat(ranges, axis=1).max(axis=1).where(before.notna())
    return true_range.rolling(10, min_periods=1).mean().clip(lower=EPS)


def _legs(bars: pd.DataFrame) -> pd.DataFrame:
    """Leg after each bar, with the price and the bar of the last swing high and swing low."""
    leg, extreme, at = 0, np.nan, -1
    swings = {"swing_high": np.nan, "high_at": np.nan, "swing_low": np.nan, "low_at": np.nan}
    rows = []
    for t, bar in bars.iterrows():
        if t == 1:
            leg, extreme, at = 1, bar["close"], t
        elif leg == 1:
            if bar["high"] > extreme:
                extreme, at = bar["high"], t
            quick = t - at <= 5 and extreme - bar["low"] >= 0.5 * bar["atr"]
            if quick or extreme - bar["close"] >= 1.2 * bar["atr"]:
                swings["swing_high"], swings["high_at"] = extreme, at
                leg, extreme, at = -1, bar["low"], t
        elif leg == -1:
            if bar["low"] < extreme:
                extreme, at = bar["low"], t
            quick = t - at <= 5 and bar["high"] - extreme >= 0.5 * bar["atr"]
            if quick or bar["close"] - extreme >= 1.2 * bar["atr"]:
                swings["swing_low"], swings["low_at"] = extreme, at
                leg, extreme, at = 1, bar["high"], t
        rows.append({"leg": leg, **swings})
    return pd.DataFrame(rows)


def main() -> None:
    """Measure on 168 planted windows, and print."""
    ohlc = synthetic.planted(168, preset="medium", seed=1).data.windows.ohlc
    print(f"{seconds_per_epoch(ohlc):.2f} seconds an epoch of {len(ohlc)} windows")


if __name__ == "__main__":
    main()
