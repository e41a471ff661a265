"""Windows that share bars, found from the bars alone."""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from proxytools.types import Bool, Int

RUN = 6
MIN_PRICES = 4

Bits = NDArray[np.uint64]


def shared_bars(ohlc: NDArray[np.float64]) -> Int:
    """Find windows of one series that overlap, when no one says where they were cut.

    If two windows overlap, all their common bars are equal: the end of one is the beginning of
    the other. Each window's first telling run of bars is looked up among all runs of all windows
    by hash, and every hit is verified over the whole overlap it implies. A run is 6 bars (half a
    window where that is less) with at least 4 distinct prices: fewer, as in flat or coarsely
    priced bars, recur by chance. Overlaps without such a run are not found; equal windows always
    are.

    Parameters
    ----------
    ohlc : (N, T, 4) float64
        Finite.

    Returns
    -------
    (E, 2) int64
        Pairs of windows; they link whatever is linked, without naming every pair.

    Examples
    --------
    >>> bars = np.random.default_rng(0).random((30, 4))
    >>> shared_bars(np.stack([bars[:20], bars[10:]]))
    array([[0, 1]])
    """
    n_windows, n_bars, _ = ohlc.shape
    bits = _bits(ohlc)
    run = min(RUN, (n_bars + 1) // 2)
    hashes = _hash_runs(bits, run)  # (N, T - run + 1)
    telling = _telling_runs(bits, run)  # (N, T - run + 1)
    anchor = np.where(telling.any(axis=1), telling.argmax(axis=1), -1)  # (N,)
    owner = np.flatnonzero(anchor >= 0)
    keys = hashes[owner, anchor[owner]]
    order = np.argsort(keys, kind="stable")
    owner, keys = owner[order], keys[order]
    place = np.searchsorted(keys, hashes)  # (N, T - run + 1)
    hit = keys[np.minimum(place, len(keys) - 1)] == hashes if len(keys) else hashes != hashes
    window, position = np.nonzero(hit)
    whole = _hash_runs(bits, n_bars)[:, 0]
    by_hash = np.argsort(whole, kind="stable")
    pairs = np.empty((n_windows, 2), np.int64)
    n_pairs = _link(bits, whole, by_hash, window, position, place[hit], keys, owner, anchor, pairs)
    return pairs[:n_pairs]


def fingerprint(ohlc: NDArray[np.float64]) -> Bits:
    """(M,) sorted hashes of every run of 6 bars: enough to know the bars again, not to read them.

    Parameters
    ----------
    ohlc : (N, T, 4) float64
        Finite. Windows shorter than a run leave no trace.
    """
    if ohlc.shape[1] < RUN:
        return np.empty(0, np.uint64)
    return np.unique(_hash_runs(_bits(ohlc), RUN))


def shares_bars(ohlc: NDArray[np.float64], known: Bits) -> Bool:
    """(N,) whether a window has a run of 6 bars, 4 distinct prices in it, among known ones.

    Parameters
    ----------
    ohlc : (N, T, 4) float64
        Finite.
    known : (M,) uint64
        From `fingerprint`.

    Examples
    --------
    >>> bars = np.random.default_rng(0).random((40, 4))
    >>> shares_bars(np.stack([bars[10:30], bars[20:]]), fingerprint(bars[None, :15]))
    array([False, False])
    >>> shares_bars(np.stack([bars[10:30], bars[20:]]), fingerprint(bars[None, :16]))
    array([ True, False])
    """
    if ohlc.shape[1] < RUN or not len(known):
        return np.zeros(len(ohlc), bool)
    hashes = _hash_runs(_bits(ohlc), RUN)  # (N, T - RUN + 1)
    met: Bool = np.isin(hashes, known) & _telling_runs(_bits(ohlc), RUN)
    return np.asarray(met.any(axis=1))


def _bits(ohlc: NDArray[np.float64]) -> Bits:
    """(N, T, 4) prices as bit patterns; -0.0 becomes 0.0."""
    return (np.ascontiguousarray(ohlc, np.float64) + 0.0).view(np.uint64)


@numba.njit(cache=True, nogil=True)
def _hash_runs(bits: Bits, run: int) -> Bits:
    n_windows, n_bars, _ = bits.shape
    bar = np.zeros((n_windows, n_bars), np.uint64)
    hashes = np.zeros((n_windows, n_bars - run + 1), np.uint64)
    for w in range(n_windows):
        for t in range(n_bars):
            h = np.uint64(0xCBF29CE484222325)
            for c in range(4):
                h = (h ^ bits[w, t, c]) * np.uint64(0x9E3779B97F4A7C15)
                h ^= h >> np.uint64(29)
            bar[w, t] = h
        for t in range(n_bars - run + 1):
            for k in range(run):
                hashes[w, t] = hashes[w, t] * np.uint64(0x100000001B3) + bar[w, t + k]
    return hashes


@numba.njit(cache=True, nogil=True)
def _telling_runs(bits: Bits, run: int) -> Bool:
    """(N, T - run + 1) whether the run from each bar on has enough distinct prices."""
    n_windows, n_bars, _ = bits.shape
    telling = np.zeros((n_windows, n_bars - run + 1), np.bool_)
    seen = np.empty(MIN_PRICES, np.uint64)
    for w in range(n_windows):
        for t in range(n_bars - run + 1):
            n_seen = 0
            for k in range(4 * run):
                price = bits[w, t + k // 4, k % 4]
                if n_seen < MIN_PRICES and not (seen[:n_seen] == price).any():
                    seen[n_seen] = price
                    n_seen += 1
            telling[w, t] = n_seen == MIN_PRICES
    return telling


@numba.njit(cache=True, nogil=True)
def _link(
    bits: Bits,
    whole: Bits,
    by_hash: Int,
    window: Int,
    position: Int,
    place: Int,
    keys: Bits,
    owner: Int,
    anchor: Int,
    pairs: Int,
) -> int:
    """Write the verified pairs that join two components; return how many."""
    parent = np.arange(len(bits))
    n = 0
    for k in range(1, len(by_hash)):
        a, b = by_hash[k - 1], by_hash[k]
        if whole[a] == whole[b] and _overlap(bits[a], bits[b], 0):
            n = _join(parent, a, b, pairs, n)
    for k in range(len(window)):
        a, j = window[k], place[k]
        key = keys[j]
        while j < len(keys) and keys[j] == key:
            b = owner[j]
            if _root(parent, a) != _root(parent, b) and _overlap(
                bits[a], bits[b], position[k] - anchor[b]
            ):
                n = _join(parent, a, b, pairs, n)
            j += 1
    return n


@numba.njit(cache=True, nogil=True)
def _overlap(a: Bits, b: Bits, shift: int) -> bool:
    """Whether ``b``, begun ``shift`` bars after ``a``, equals it wherever both have bars."""
    n_bars = len(a)
    for t in range(max(0, shift), min(n_bars, n_bars + shift)):
        for c in range(4):
            if a[t, c] != b[t - shift, c]:
                return False
    return True


@numba.njit(cache=True, nogil=True)
def _root(parent: Int, a: int) -> int:
    while parent[a] != a:
        parent[a] = parent[parent[a]]
        a = parent[a]
    return a


@numba.njit(cache=True, nogil=True)
def _join(parent: Int, a: int, b: int, pairs: Int, n: int) -> int:
    a_root, b_root = _root(parent, a), _root(parent, b)
    if a_root == b_root:
        return n
    parent[b_root] = a_root
    pairs[n, 0], pairs[n, 1] = a, b
    return n + 1
