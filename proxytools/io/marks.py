"""Spans and looked-at ranges of long bars: small files that name bars by index or by time."""

from __future__ import annotations

import difflib
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from proxytools.errors import InputError
from proxytools.io import check, clock
from proxytools.io.bars import SERIES
from proxytools.io.column import At, first, integers, names, present, texts
from proxytools.io.table import Table, open_table, require
from proxytools.types import Int

_COLUMNS = ("start", "end")
_BAR = "a bar index or a timestamp, one kind in a column"


@dataclass(frozen=True)
class Series:
    """The series of a file of long bars, one after the other.

    Parameters
    ----------
    names : tuple of str
    edges : (K + 1,) int64
        The first bar of each series, and the number of all bars.
    ticks : (M,) int64 or None
        The time, in ns, at which each bar opens, where the bars have one.
    """

    names: tuple[str, ...]
    edges: Int
    ticks: Int | None


@dataclass(frozen=True)
class Marks:
    """Half-open ranges of bars, counted over all series, as they stand in their file.

    Parameters
    ----------
    table : Table
    start, stop : (S,) int64
    label : (S,) str or None
        None in a file without the column.
    """

    table: Table
    start: Int
    stop: Int
    label: NDArray[np.str_] | None


def read_marks(
    path: str | os.PathLike[str] | Table, series: Series, zone: str | None, *, disjoint: bool
) -> Marks:
    """Read ``start`` and ``end`` (half-open), optionally ``series_id`` and ``label``.

    Raises
    ------
    InputError
        Where a range leaves its series or is empty, or two share a bar though ``disjoint``.
    """
    table = open_table(path)
    named = next((name for name in SERIES if name in table.names), None)
    require(table, _COLUMNS, [*([] if named else SERIES), "label"])
    extra = [name for name in (named, "label") if name in table.names]
    columns = table.read([*_COLUMNS, *extra])
    owner = _owner(
        columns.get(named or ""), table.places(0, named or ""), series, len(columns["start"])
    )
    start, stop = (
        _bars(columns[name], table.places(0, name), owner, series, zone) for name in _COLUMNS
    )
    check.spans(
        owner if disjoint else np.arange(len(owner)),
        start,
        stop,
        np.diff(series.edges)[owner],
        table.places(),
        columns=_COLUMNS,
    )
    label = names(columns["label"]) if "label" in columns else None
    return Marks(table, start + series.edges[owner], stop + series.edges[owner], label)


def _owner(column: Any, at: At, series: Series, n_rows: int) -> Int:
    """(S,) the series of each row, as an index."""
    if column is None:
        if len(series.names) > 1:
            raise InputError(
                at(0),
                got=f"no column {SERIES[0]}",
                expected=f"one, because the bars hold {len(series.names)} series",
            )
        return np.zeros(n_rows, np.int64)
    wanted = texts(column, at, "the name of a series")
    owner = pc.index_in(wanted, pa.array(series.names, pa.string()))
    if owner.null_count:
        i = first(owner.is_null())
        near = difflib.get_close_matches(wanted[i].as_py(), series.names, n=1)
        few = ", ".join(series.names[:5]) + (", ..." if len(series.names) > 5 else "")
        raise InputError(
            at(i),
            got=f"the unknown series {wanted[i].as_py()!r}",
            expected=f"a series of the bars: {few}",
            fix=f"Did you mean {near[0]}" if near else "",
        )
    return np.asarray(owner, np.int64)


def _bars(column: Any, at: At, owner: Int, series: Series, zone: str | None) -> Int:
    """(S,) positions in their series of bars named by index or by opening time.

    A time means the first bar that opens at or after it.
    """
    present(column, at, _BAR)
    if pa.types.is_string(column.type):
        is_index = pc.match_substring_regex(column, r"^[+-]?[0-9.]+$")
        if pc.any(is_index).as_py():
            if not pc.all(is_index).as_py():
                i = first(pc.invert(is_index))
                raise InputError(at(i), got=repr(column[i].as_py()), expected=_BAR)
            return integers(column, at, "a whole bar index")
    elif not pa.types.is_temporal(column.type):
        return integers(column, at, "a whole bar index")
    if series.ticks is None:
        raise InputError(
            at(0),
            got=f"{column[0]}",
            expected="a bar index, because these bars have seconds t and no timestamp",
        )
    return _found(clock.utc(column, at, zone), at, owner, series.names, series.edges, series.ticks)


def _found(moments: Int, at: At, owner: Int, names: tuple[str, ...], edges: Int, ticks: Int) -> Int:
    positions = np.empty_like(moments)
    for k in np.unique(owner).tolist():
        opens = ticks[edges[k] : edges[k + 1]]
        rows = np.flatnonzero(owner == k)
        end = opens[-1] + (int(np.median(np.diff(opens))) if len(opens) > 1 else 0)
        outside = (moments[rows] < opens[0]) | (moments[rows] > end)
        if outside.any():
            i = int(rows[first(outside)])
            raise InputError(
                at(i),
                got=clock.show(moments[i]),
                expected=f"a time from {clock.show(opens[0])} to {clock.show(end)}, "
                f"which the bars of series {names[k]!r} cover",
            )
        positions[rows] = np.searchsorted(opens, moments[rows])
    return positions
