"""What stands on both sides of a split that was given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from proxytools import splits
from proxytools.errors import InputError
from proxytools.io.column import names, texts
from proxytools.io.table import open_table, require
from proxytools.splits.identical import shared_bars
from proxytools.types import Int, Windows

SUFFIXES = (".csv", ".parquet", ".pq")


def leaks(windows: Windows, side: NDArray[np.str_]) -> Int:
    """(L, 2) pairs of windows that belong together and stand on different sides.

    They share bars or a parent, directly or in a chain. Each group that is torn gives one pair for
    every further side: the first window of the one and of the other.

    Parameters
    ----------
    windows : Windows
    side : (N,) str
        Name of each window's side, as train or test; "" for none.

    Examples
    --------
    >>> bars = np.random.default_rng(0).random((40, 4))
    >>> windows = Windows(np.stack([bars[:20], bars[10:30], bars[20:]]), np.array([*"abc"]))
    >>> leaks(windows, np.array(["train", "train", "test"]))
    array([[0, 2]])
    """
    group, n = splits.groups(windows), len(windows)
    a, b = np.concatenate([shared_bars(windows.ohlc), _chain(group)]).T
    whole = connected_components(coo_array((np.ones(len(a)), (a, b)), shape=(n, n)), False)[1]
    has_side = np.flatnonzero(side != "")
    code = np.unique(side, return_inverse=True)[1]
    keys = np.stack([whole, code], axis=1)[has_side]
    first = has_side[np.unique(keys, axis=0, return_index=True)[1]]  # of each group and side
    first = first[np.lexsort((first, whole[first]))]
    begins = np.append(True, whole[first][1:] != whole[first][:-1])[: len(first)]
    leading = first[np.maximum.accumulate(np.where(begins, np.arange(len(first)), 0))]
    return np.asarray(np.stack([leading, first], axis=1)[~begins], np.int64)


def _chain(code: Int) -> Int:
    """(E, 2) neighbours, in order of code, of one code."""
    order = np.argsort(code, kind="stable")
    linked = code[order[1:]] == code[order[:-1]]
    return np.stack([order[:-1][linked], order[1:][linked]], axis=1)


def read_split(split: str, data: Path | None, ids: NDArray[np.str_]) -> NDArray[np.str_]:
    """(N,) side of each window, "" where it has none.

    Parameters
    ----------
    split : str
        A column of the windows in ``data``, or a CSV or parquet file with ``window_id`` and
        ``split``.
    data : Path or None
        The windows parquet.
    ids : (N,) str
        The windows' names.

    Raises
    ------
    InputError
        Neither is there, or the file names a window twice or one that is not in the data.
    """
    is_file = Path(split).suffix in SUFFIXES
    if not is_file and data is None:
        raise InputError(
            "--split",
            got=f"{split!r} without --data",
            expected="a column of --data, or a CSV file with window_id and split",
        )
    table = open_table(split if is_file or data is None else data)
    column = "split" if is_file else split
    require(table, ["window_id", column])
    columns = table.read(["window_id", column])
    own = names(texts(columns["window_id"], table.places(0, "window_id"), "the window's name"))
    side = dict(zip(own.tolist(), names(columns[column]).tolist(), strict=True))
    if len(side) < len(own):
        name, count = np.unique(own, return_counts=True)
        again = str(name[count.argmax()])
        raise InputError(str(table.path), got=f"{again!r} twice", expected="each window once")
    known = set(ids.tolist())
    strange = [name for name in side if name not in known]
    if strange:
        raise InputError(
            str(table.path),
            got=f"the unknown window {strange[0]!r}",
            expected="windows of --data",
        )
    return np.array([side.get(name, "") for name in ids.tolist()], np.str_)
