"""Groups: windows that share bars or a parent, and so may never stand on both sides of a split."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from proxytools.splits.identical import shared_bars
from proxytools.types import Int, Windows


def groups(windows: Windows) -> Int:
    """Find the windows that belong together: they share a parent or bars, directly or in a chain.

    Shared bars are found from the position in the series (``offset``, else ``time``; windows
    without a series name count as one series), and where neither is known from the bars
    themselves (`proxytools.splits.identical.shared_bars`).

    Parameters
    ----------
    windows : Windows

    Returns
    -------
    (N,) int64
        A group's code, 0 to G - 1, in order of first appearance.

    Examples
    --------
    >>> windows = Windows(np.ones((4, 10, 4)), np.array([*"abcd"]), offset=np.array([0, 9, 18, 40]))
    >>> groups(windows)
    array([0, 0, 0, 1])
    """
    if windows.offset is not None:
        shared = _overlaps(windows, windows.offset, windows.offset + windows.n_bars - 1)
    elif windows.time is not None:
        time = nanoseconds(windows.time)
        shared = _overlaps(windows, time[:, 0], time[:, -1])
    else:
        shared = shared_bars(windows.ohlc)
    a, b = np.concatenate([shared, _siblings(windows)]).T
    graph = coo_array((np.ones(len(a)), (a, b)), shape=(len(windows), len(windows)))
    code: Int = connected_components(graph, directed=False)[1].astype(np.int64)
    return code


def resampling_units(windows: Windows, groups: Int, *, min_units: int = 20) -> Int:
    """Units to resample in a bootstrap: the groups, or blocks of them where they are few.

    With fewer than ``min_units`` groups each is cut into blocks of consecutive windows (in order
    of series and position), in proportion to its size, so that there are at least ``min_units``
    as far as there are windows.

    Parameters
    ----------
    windows : Windows
    groups : (N,) int64
        From `groups`.
    min_units : int

    Returns
    -------
    (N,) int64
        Unit of each window, 0 to U - 1.

    Examples
    --------
    >>> windows = Windows(np.ones((6, 10, 4)), np.array([*"abcdef"]), offset=np.arange(6)[::-1])
    >>> resampling_units(windows, np.zeros(6, np.int64), min_units=3)
    array([2, 2, 1, 1, 0, 0])
    """
    names, code, size = np.unique(groups, return_inverse=True, return_counts=True)
    if len(names) >= min_units:
        return code.astype(np.int64)
    order = np.lexsort((_position(windows), series_code(windows), code))
    rank = np.empty(len(windows), np.int64)  # within the group
    rank[order] = np.arange(len(windows)) - np.repeat(size.cumsum() - size, size)
    blocks = np.minimum(size, -(-min_units * size // len(windows)))
    first = blocks.cumsum() - blocks
    units: Int = first[code] + rank * blocks[code] // size[code]
    return units


def series_code(windows: Windows) -> Int:
    """(N,) code of each window's series; all 0 where series have no names."""
    if windows.series is None:
        return np.zeros(len(windows), np.int64)
    return np.unique(windows.series, return_inverse=True)[1].astype(np.int64)


def nanoseconds(time: NDArray[np.datetime64]) -> Int:
    """Clock times as whole nanoseconds since 1970."""
    return time.astype("datetime64[ns]").astype(np.int64)


def _position(windows: Windows) -> Int:
    if windows.offset is not None:
        return windows.offset
    if windows.time is not None:
        return nanoseconds(windows.time)[:, 0]
    return np.arange(len(windows))


def _overlaps(windows: Windows, first: Int, last: Int) -> Int:
    """(E, 2) neighbours in one series, in order of ``first``, of which one begins by a ``last``."""
    series = series_code(windows)
    order = np.lexsort((first, series))
    # Ends are ranked with the series in front, so that one running maximum serves all series.
    ends = np.unique(np.concatenate([first, last]))
    reach = np.maximum.accumulate(series[order] * len(ends) + np.searchsorted(ends, last[order]))
    begin = series[order] * len(ends) + np.searchsorted(ends, first[order])
    linked = begin[1:] <= reach[:-1]
    return np.stack([order[:-1][linked], order[1:][linked]], axis=1)


def _siblings(windows: Windows) -> Int:
    """(E, 2) neighbours, in order of name, among windows with one parent."""
    if windows.parent is None:
        return np.empty((0, 2), np.int64)
    order = np.argsort(windows.parent, kind="stable")
    name = windows.parent[order]
    linked = (name[1:] == name[:-1]) & (name[1:] != "")
    return np.stack([order[:-1][linked], order[1:][linked]], axis=1)
