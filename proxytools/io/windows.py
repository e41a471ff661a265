"""Windows parquet, one row a window: the predecessor's format, widened without loss."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from proxytools.errors import InputError
from proxytools.io import check, clock
from proxytools.io.column import At, first, integers, names, numbers, present, texts
from proxytools.io.table import Table, require
from proxytools.types import Int, SpanDataset, Spans, Windows

FORMAT = 1
KEY = b"proxytools"  # of the JSON in the file's metadata: format and classes
NEEDED = ("window_id", "features")
START, END = "expansion_start", "expansion_end"  # inclusive, as in the predecessor
MARKS = ("label", START, END)
OPTIONAL = ("base_window_id", "series_id", "offset", "timestamp", "score")

# Names the place of the i-th window, in the column it is given.
Places = Callable[..., At]


def read_windows(
    table: Table,
    *,
    zone: str | None = None,
    bar_interval: clock.Duration | None = None,
    classes: Sequence[str] | None = None,
) -> SpanDataset:
    """Read a table of windows; see `proxytools.io.read`."""
    if table.is_csv:
        raise InputError(str(table.path), got="windows in a CSV file", expected="a parquet file")
    marked = any(name in table.names for name in MARKS)
    require(table, [*NEEDED, *(MARKS if marked else ())], [*MARKS, *OPTIONAL])
    known = (*NEEDED, *MARKS, *OPTIONAL)
    columns = table.read([name for name in known if name in table.names])
    ids = _ids(columns["window_id"], table)

    def at(column: str = "") -> At:
        tail = f", column {column}" if column else ""
        return lambda i: f"{table.path}, window {str(ids[i])!r} (row {i}){tail}"

    ohlc = _ohlc(columns["features"], at("features"))  # (N, T, 4)
    origin: dict[str, Any] = {}
    for field, name in (("parent", "base_window_id"), ("series", "series_id")):
        if name in columns:
            origin[field] = names(columns[name])
    if "offset" in columns:
        origin["offset"] = integers(columns["offset"], at("offset"))
    if "timestamp" in columns:
        n_bars = ohlc.shape[1]
        origin["time"] = _time(columns["timestamp"], at("timestamp"), n_bars, zone, bar_interval)
    windows = Windows(ohlc, ids, **origin)

    classes = _stored_classes(table) if classes is None else classes
    if not marked:
        nothing, nobody = Spans.of([[]] * len(ids)), np.zeros(len(ids), bool)
        return SpanDataset(windows, nothing, nobody, tuple(classes or (check.CLASS,)))
    spans, class_names = _spans(columns, at, windows.n_bars, classes)
    return SpanDataset(windows, spans, np.array(columns["label"].is_valid()), class_names)


def _ids(column: Any, table: Table) -> NDArray[np.str_]:
    at = table.places(0, "window_id")
    ids = names(texts(column, at, "the window's name"))
    order = np.argsort(ids, kind="stable")
    again = ids[order[1:]] == ids[order[:-1]]
    if again.any():
        i, j = order[first(again)], order[first(again) + 1]
        raise InputError(
            at(int(j)), got=f"{str(ids[j])!r}, as in row {i}", expected="a name of its own"
        )
    return ids


def _ohlc(column: Any, at: At) -> NDArray[np.float64]:
    """(N, T, 4) from lists of bars, each a list of four prices."""
    expected = "a list of bars, each a list of 4 numbers: open, high, low, close"
    present(column, at, expected)
    if not (is_list(column.type) and is_list(column.type.value_type)):
        raise InputError(at(0), got=f"the type {column.type}", expected=expected)
    size = lengths(column)
    common, count = np.unique(size, return_counts=True)
    n_bars = int(common[np.argmax(count)])
    _same(size, max(n_bars, 1), at, "bars")

    bar = _bars_of(at, n_bars)
    bars = present(pc.list_flatten(column), bar, expected)
    _same(lengths(bars), 4, bar, "prices")
    prices = numbers(pc.list_flatten(bars), lambda i: bar(i // 4), "a finite price")
    ohlc = np.array(prices).reshape(-1, 4)  # (N * T, 4), writable
    check.prices(ohlc, bar)
    return ohlc.reshape(-1, n_bars, 4)


def _time(
    column: Any, at: At, n_bars: int, zone: str | None, bar_interval: clock.Duration | None
) -> NDArray[np.datetime64]:
    """(N, T) opening times, from a list a window, or from its first bar's and the interval."""
    if not is_list(column.type):
        if bar_interval is None:
            raise InputError(
                at(0),
                got="one time a window",
                expected="the time of each bar",
                fix="State the time from bar to bar, for example a bar interval of 1min",
            )
        step = clock.duration(bar_interval, "bar_interval")
        ticks = np.add.outer(clock.utc(column, at, zone), step * np.arange(n_bars))
        return ticks.view("datetime64[ns]")
    _same(lengths(present(column, at, "a list of times")), n_bars, at, "times")
    bar = _bars_of(at, n_bars)
    ticks = clock.utc(pc.list_flatten(column), bar, zone).reshape(-1, n_bars)  # (N, T)
    stuck = (np.diff(ticks, axis=1) <= 0).any(axis=1)
    if stuck.any():
        i = first(stuck)
        clock.increasing(ticks[i], lambda k: bar(i * n_bars + k))
    return ticks.view("datetime64[ns]")


def _spans(
    columns: dict[str, Any], at: Places, n_bars: int, classes: Sequence[str] | None
) -> tuple[Spans, tuple[str, ...]]:
    wanted = [name for name in (START, END, "label", "score") if name in columns]
    listed = is_list(columns[START].type)
    window, flat = (_many if listed else _one)({name: columns[name] for name in wanted}, at)

    def place(column: str = "") -> At:
        return lambda i: at(column)(int(window[i]))

    start, last = integers(flat[START], place(START)), integers(flat[END], place(END))
    check.spans(window, start, last + 1, n_bars, place(), columns=(START, END), inclusive=True)
    present(flat["label"], place("label"), "the span's class (null: nobody looked at the window)")
    codes, known = check.codes(names(flat["label"]), place("label"), classes)
    score = numbers(flat["score"], place("score")) if "score" in flat else np.ones(len(window))
    return Spans(window, start, last + 1, len(columns["label"]), codes, score), known


def _one(columns: dict[str, Any], at: Places) -> tuple[Int, dict[str, Any]]:
    """Take the windows that have a span: (S,) which they are, and each column's values there."""
    found = np.zeros(len(columns[START]), bool)
    for name, column in columns.items():
        if is_list(column.type):
            raise InputError(at(name)(0), got="a list", expected=f"one value, as in {START}")
        if name in (START, END):
            # Null, NaN (pandas) and -1 all mean that there is none.
            index = column.cast(pa.float64()) if pa.types.is_null(column.type) else column
            found |= ~np.isin(np.nan_to_num(_floats(index, at(name)), nan=-1.0), -1.0)
    window = np.flatnonzero(found)
    return window, {name: column.take(pa.array(window)) for name, column in columns.items()}


def _floats(column: Any, at: At) -> NDArray[np.float64]:
    return numbers(column.fill_null(-1), at, "a bar")


def _many(columns: dict[str, Any], at: Places) -> tuple[Int, dict[str, Any]]:
    """Lay lists of spans end to end: (S,) the window of each, and each column's values."""
    count = lengths(columns[START])
    window = np.repeat(np.arange(len(count)), count)
    flat = {}
    for name, column in columns.items():
        if is_list(column.type):
            _same(lengths(column), count, at(name), "values")
            flat[name] = pc.list_flatten(column)
        else:  # one class for all spans of a window
            flat[name] = column.take(pa.array(window))
    return window, flat


def _stored_classes(table: Table) -> tuple[str, ...] | None:
    """Return the class names in the metadata of a file that this project wrote."""
    if KEY not in table.metadata:
        return None
    where = f"{table.path}, metadata {KEY.decode()}"
    try:
        note = json.loads(table.metadata[KEY])
        version, classes = int(note["format"]), [str(name) for name in note["classes"]]
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(where, got=repr(error), expected="a format and classes") from error
    if version > FORMAT:
        raise InputError(
            where, got=f"format {version}", expected=f"at most {FORMAT}", fix="Update proxytools"
        )
    return tuple(classes)


def is_list(kind: Any) -> bool:
    """Whether a pyarrow type is a list of any sort."""
    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def lengths(column: Any) -> Int:
    """(n,) length of each list, 0 for a null one."""
    return np.asarray(pc.list_value_length(column).fill_null(0)).astype(np.int64)


def _same(size: Int, wanted: int | Int, at: At, things: str) -> None:
    wrong = size != wanted
    if wrong.any():
        i = first(wrong)
        expected = np.broadcast_to(wanted, size.shape)[i]
        raise InputError(at(i), got=f"{size[i]} {things}", expected=f"{expected} {things}")


def _bars_of(at: At, n_bars: int) -> At:
    return lambda i: f"{at(i // n_bars)}, bar {i % n_bars}"
