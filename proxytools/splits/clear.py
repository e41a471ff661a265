"""Windows that may stand beside tested ones without giving anything of them away."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from proxytools.splits.identical import fingerprint, shares_bars
from proxytools.splits.purged import duration, intervals, overlap
from proxytools.types import Bool, Windows


def clear_of(
    windows: Windows, tested: Windows, *, lookback_bars: int = 0, embargo: str = "0"
) -> Bool:
    """Tell which windows share neither bars nor a parent nor, on a clock, a moment with any tested.

    Bars are known again by their prices (`shares_bars`) and, where both sides have it, by their
    place in the series. On a clock the intervals are those of `folds`: a window's begins
    ``lookback_bars`` before it, that of a tested one ends later by ``embargo``. Links by way of
    third windows do not count: overlapping windows of one long recording would all be linked.

    Parameters
    ----------
    windows, tested : Windows

    Returns
    -------
    (n,) bool
        For each of ``windows``.

    Examples
    --------
    >>> bars = np.random.default_rng(0).random((60, 4))
    >>> windows = Windows(np.stack([bars[:20], bars[10:30], bars[40:]]), np.array([*"abc"]))
    >>> clear_of(windows, windows.take([0]))
    array([False, False,  True])
    """
    touched = shares_bars(windows.ohlc, fingerprint(tested.ohlc))
    if windows.parent is not None and tested.parent is not None:
        touched |= (windows.parent != "") & np.isin(windows.parent, tested.parent)
    if windows.offset is not None and tested.offset is not None:
        touched |= _same_place(windows, tested)
    if windows.time is not None and tested.time is not None:
        start, stop = intervals(windows, lookback_bars)
        test_start, test_stop = intervals(tested, lookback_bars)
        touched |= overlap(start, stop, test_start, test_stop + duration(embargo))
    return ~touched


def _same_place(windows: Windows, tested: Windows) -> Bool:
    """(n,) whether a window overlaps a tested one in its series."""
    assert windows.offset is not None
    assert tested.offset is not None
    both = np.concatenate([_names(windows), _names(tested)])
    code = np.unique(both, return_inverse=True)[1].astype(np.int64)
    # Series are laid out one after the other, so that one look-up serves all of them.
    farthest = max(windows.offset.max(initial=0), tested.offset.max(initial=0))
    apart = int(farthest) + windows.n_bars
    first = code[: len(windows)] * apart + windows.offset
    test_first = code[len(windows) :] * apart + tested.offset
    return overlap(first, first + windows.n_bars, test_first, test_first + tested.n_bars)


def _names(windows: Windows) -> NDArray[np.str_]:
    return np.full(len(windows), "") if windows.series is None else windows.series
