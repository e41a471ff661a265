"""Slow, obvious twins of proxytools.splits: every pair of windows, one by one."""

import numpy as np


def components(n, linked):
    """Codes in order of first appearance, where linked(i, j) says what belongs together."""
    code = [-1] * n
    for first in range(n):
        if code[first] >= 0:
            continue
        code[first] = max(code, default=-1) + 1
        todo = [first]
        while todo:
            i = todo.pop()
            for j in range(n):
                if code[j] < 0 and linked(i, j):
                    code[j] = code[first]
                    todo.append(j)
    return code


def groups(windows):
    def linked(i, j):
        parent = windows.parent is not None and windows.parent[i] == windows.parent[j] != ""
        if windows.series is not None and windows.series[i] != windows.series[j]:
            return parent
        if windows.offset is not None:
            return parent or abs(windows.offset[i] - windows.offset[j]) < windows.n_bars
        a, b = windows.time[i], windows.time[j]
        return parent or (a[0] <= b[-1] and b[0] <= a[-1])

    return components(len(windows), linked)


def shares_bars(a, b, run, min_prices):
    """Whether two windows agree in all bars of some shift, and the common bars are telling."""
    if np.array_equal(a, b):
        return True
    for shift in range(len(a)):
        for x, y in ((a, b), (b, a)):
            common = x[shift:]
            if np.array_equal(common, y[: len(y) - shift]) and any(
                len(np.unique(common[k : k + run])) >= min_prices
                for k in range(len(common) - run + 1)
            ):
                return True
    return False


def trainable(windows, test, lookback_bars, embargo):
    """Windows outside test whose interval meets no test window's, pair by pair."""
    keep = []
    for i in set(range(len(windows))) - set(test):
        start, stop = interval(windows, i, lookback_bars)
        clear = True
        for j in test:
            test_start, test_stop = interval(windows, j, lookback_bars)
            clear &= not (start < test_stop + embargo and test_start < stop)
        if clear:
            keep.append(i)
    return sorted(keep)


def interval(windows, i, lookback_bars):
    mine = windows.series == windows.series[i]
    bar = np.median(
        [np.median(np.diff(t).astype("timedelta64[ns]").astype(float)) for t in windows.time[mine]]
    )
    bar = np.timedelta64(int(bar), "ns")
    return windows.time[i, 0] - lookback_bars * bar, windows.time[i, -1] + bar
