"""Folds that no group straddles, purged and embargoed on the clock."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from proxytools.errors import InputError
from proxytools.splits.grouping import groups, nanoseconds, series_code
from proxytools.types import Bool, Int, SpanDataset, Windows


@dataclass(frozen=True, eq=False)
class Fold:
    """One split of the windows.

    Parameters
    ----------
    train, test : (n,) and (m,) int64
        Positions of windows, ascending. Purged windows are in neither.
    """

    train: Int
    test: Int


def folds(
    data: SpanDataset | Windows,
    n_folds: int = 5,
    *,
    seed: int = 0,
    lookback_bars: int = 0,
    embargo: str = "0",
) -> list[Fold]:
    """Split windows so that no group, and on a clock no moment, is on both sides.

    With clock times the folds are consecutive blocks of time, and windows whose interval overlaps
    that of a test window, whatever their series, are dropped from training (purged). A window's
    interval is half-open, from ``lookback_bars`` before its first bar to the close of its last;
    that of a test window ends later by ``embargo``. Without clock times shuffled groups are dealt
    out, the largest first, each to the fold with the fewest windows. See Lopez de Prado 2018,
    "Advances in Financial Machine Learning", chapter 7.

    Parameters
    ----------
    data : SpanDataset or Windows
    n_folds : int
        At least 2; with fewer groups there are as many folds as groups.
    seed : int
        Of the shuffle; blocks of time need none.
    lookback_bars : int
        Bars before a window that its features read; counted on the clock, where there is one.
    embargo : str
        A duration as pandas reads it ("30min", "2h"), on the clock.

    Returns
    -------
    list of Fold
        Every window is tested exactly once.

    Raises
    ------
    InputError
        One group only, a purge that leaves nothing to train on, an embargo that is no duration
        or has no clock times to act on, a number out of range.

    Examples
    --------
    >>> hours = np.arange(20).reshape(5, 4) * np.timedelta64(1, "h")
    >>> time = np.datetime64("2024-01-01", "ns") + hours
    >>> windows = Windows(np.ones((5, 4, 4)), np.array([*"abcde"]), time=time)
    >>> [(fold.train, fold.test) for fold in folds(windows, 2, lookback_bars=1)]
    [(array([3, 4]), array([0, 1])), (array([0]), array([2, 3, 4]))]
    """
    windows = data.windows if isinstance(data, SpanDataset) else data
    for name, value, least in (("n_folds", n_folds, 2), ("lookback_bars", lookback_bars, 0)):
        if value < least:
            raise InputError(name, got=str(value), expected=f"at least {least}")
    delay = duration(embargo)
    if delay and windows.time is None:
        raise InputError("embargo", got="windows without clock times", expected="timestamps")
    group = groups(windows)
    n_groups = int(group.max(initial=-1)) + 1
    if n_groups < 2:
        raise InputError(
            "folds",
            got=f"{len(windows)} windows that form {n_groups} group",
            expected="at least two groups that share neither bars nor a parent",
            fix="Bring windows of another recording or time, or cut them with a stride of at "
            f"least {windows.n_bars} bars",
        )
    n_folds = min(n_folds, n_groups)
    everyone = np.arange(len(windows))
    if windows.time is None:
        fold_of = _deal(np.bincount(group), n_folds, seed)[group]  # (N,)
        return [Fold(everyone[fold_of != k], everyone[fold_of == k]) for k in range(n_folds)]
    fold_of = _blocks_of_time(group, nanoseconds(windows.time)[:, 0], n_folds)
    start, stop = intervals(windows, lookback_bars)
    split = []
    for k in range(n_folds):
        test, rest = everyone[fold_of == k], everyone[fold_of != k]
        clear = ~overlap(start[rest], stop[rest], start[test], stop[test] + delay)
        if not clear.any():
            raise InputError(
                f"fold {k + 1} of {n_folds}",
                got="no window left to train on after the purge",
                expected="windows apart in time from those tested",
                fix="Use more folds or a shorter embargo, or bring windows of other times",
            )
        split.append(Fold(rest[clear], test))
    return split


def duration(text: str) -> int:
    """Nanoseconds of an embargo."""
    try:
        delay = int(pd.Timedelta(text).value)
    except ValueError:
        delay = -1
    if delay < 0:
        raise InputError("embargo", got=repr(text), expected='a duration such as "30min" or "2h"')
    return delay


def _deal(size: Int, n_folds: int, seed: int) -> Int:
    """(G,) fold of each group, shuffled, then the largest first to the emptiest fold."""
    shuffled = np.random.default_rng(seed).permutation(len(size))
    fold_of, filled = np.empty(len(size), np.int64), np.zeros(n_folds, np.int64)
    for group in shuffled[np.argsort(-size[shuffled], kind="stable")]:
        fold_of[group] = filled.argmin()
        filled[fold_of[group]] += size[group]
    return fold_of


def _blocks_of_time(group: Int, start: Int, n_folds: int) -> Int:
    """(N,) fold of each window: groups in order of their first bar, cut where windows balance."""
    order = np.argsort(start, kind="stable")
    codes, first = np.unique(group[order], return_index=True)
    in_time = codes[np.argsort(first)]  # (G,)
    size = np.bincount(group)[in_time]
    middle = size.cumsum() - size / 2
    k = np.arange(1, n_folds)
    cuts = np.searchsorted(middle, size.sum() * k / n_folds)
    cuts = np.maximum.accumulate(np.maximum(cuts - k, 0)) + k  # a group at least in every fold
    cuts = np.minimum(cuts, len(size) - n_folds + k)
    fold_of = np.empty(len(size), np.int64)
    fold_of[in_time] = np.searchsorted(cuts, np.arange(len(size)), side="right")
    return fold_of[group]


def intervals(windows: Windows, lookback_bars: int) -> tuple[Int, Int]:
    """(N,) nanoseconds at which each window's look-back opens and its last bar closes."""
    assert windows.time is not None
    time = nanoseconds(windows.time)  # (N, T)
    series = series_code(windows)
    if windows.n_bars > 1:
        step = pd.Series(np.median(np.diff(time, axis=1), axis=1))
    else:
        step = pd.Series(time[:, 0]).sort_values().groupby(pd.Series(series)).diff()
        step = step.where(step > 0).sort_index()
    bar = step.groupby(series).transform("median").fillna(1).to_numpy().astype(np.int64)  # (N,)
    return time[:, 0] - lookback_bars * bar, time[:, -1] + bar


def overlap(start: Int, stop: Int, test_start: Int, test_stop: Int) -> Bool:
    """(n,) whether each interval overlaps any of the test intervals."""
    order = np.argsort(test_start)
    reach = np.append(np.iinfo(np.int64).min, np.maximum.accumulate(test_stop[order]))
    begun = np.searchsorted(test_start[order], stop)  # test intervals that start before each stop
    overlap: Bool = reach[begun] > start
    return overlap
