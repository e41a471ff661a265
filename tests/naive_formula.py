"""The formula and its search, written slowly from their definitions."""

import numpy as np
import pandas as pd


def prob(X, parameters, streak_bars=10.0):
    """(n,) the formula for one parameter set."""
    w_ret, w_streak, eps = parameters
    ret, streak, vol = np.asarray(X, float).T
    return np.clip((ret * w_ret + streak / streak_bars * w_streak) / (vol + eps), 0, 1)


def scores(X, target, sets, streak_bars=10.0):
    """(K,) correlation of every set with the target; 0 where either never changes."""
    y = np.asarray(target, float)
    found = []
    for parameters in sets:
        p = prob(X, parameters, streak_bars)
        constant = np.ptp(p) == 0 or np.ptp(y) == 0
        found.append(0.0 if constant else np.corrcoef(p, y)[0, 1])
    return np.array(found)


def classic(window, parameters):
    """(T,) the old formula on one window (T, 4), in float64 pandas; warm-up bars are 0."""
    w_ret, w_streak, eps = parameters
    bars = pd.DataFrame(window, columns=["open", "high", "low", "close"])
    ret = bars.close.pct_change().rolling(5).sum().fillna(0.0)
    streak = (bars.close > bars.open).astype(float).rolling(10).sum().fillna(0.0) / 10
    vol = (bars.high - bars.low).rolling(20).std().fillna(0.0)
    return ((ret * w_ret + streak * w_streak) / (vol + eps)).clip(0, 1).to_numpy()
