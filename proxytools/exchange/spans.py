"""Spans as plain CSV: by window, or by series as marks of long bars.

By window (``window_id``, ``start``, ``end``, ``label``, and ``score`` where there is one) a row is
a span, half-open, in bars counted from the window's first; a row without ``start`` and ``end`` says
that the window was looked at and has none. By series (``series_id``, ``start``, ``end``, ``label``)
the bars count from the first of their series, as `proxytools.io.read` takes them with ``spans``.
"""

from __future__ import annotations

import csv
import io as text
from itertools import pairwise

import pyarrow.compute as pc

from proxytools.errors import InputError
from proxytools.exchange.marks import Mark, Marks
from proxytools.io import check
from proxytools.io.column import At, integers, names, numbers, texts
from proxytools.io.table import Table, require
from proxytools.types import SpanDataset

HEADER = ("window_id", "start", "end", "label")


def by_window(marks: Marks) -> str:
    r"""Return the CSV text of marks by window.

    Examples
    --------
    >>> by_window({"a": [Mark(3, 9, "up")], "b": []})
    'window_id,start,end,label\na,3,9,up\nb,,,\n'
    """
    scored = any(mark.score != 1 for given in marks.values() for mark in given)
    header = (*HEADER, "score") if scored else HEADER
    rows: list[list[object]] = []
    for name, given in marks.items():
        rows += [[name, *mark][: len(header)] for mark in given]
        if not given:
            rows.append([name, *[""] * (len(header) - 1)])
    return _csv(header, rows)


def by_series(data: SpanDataset) -> str:
    """Return the CSV text of a data set's spans, counted from the first bar of their series.

    Windows that overlap may hold the same span; it is written once. That a window was looked at
    and has no span is not in this format.

    Raises
    ------
    InputError
        The windows do not say where in their series they stand, or contradict each other.
    """
    windows, spans = data.windows, data.spans
    if windows.series is None or windows.offset is None:
        raise InputError(
            "spans by series",
            got="windows without series_id and offset",
            expected="windows cut from long bars",
            fix="Write them by window",
        )
    offset = windows.offset[spans.window]
    columns = (
        windows.series[spans.window].tolist(),
        (offset + spans.start).tolist(),
        (offset + spans.stop).tolist(),
        [data.classes[code] for code in spans.label.tolist()],
    )
    rows = sorted(set(zip(*columns, strict=True)))
    for (series, start, stop, _), (other, again, _, _) in pairwise(rows):
        if series == other and again < stop:
            raise InputError(
                "spans by series",
                got=f"a span of {series!r} from {start} to {stop} and one from {again}, "
                "marked in windows that overlap",
                expected="spans that share no bar",
                fix="Write them by window, or mark windows that do not overlap",
            )
    return _csv(("series_id", "start", "end", "label"), [list(row) for row in rows])


def read_by_window(table: Table) -> Marks:
    """Read marks or detections by window; the column ``stop`` may stand for ``end``.

    A file without the column ``label`` gives every span the class "expansion".

    Raises
    ------
    InputError
        A value is missing or no bar; a window has spans and a row without.
    """
    end = "stop" if "stop" in table.names and "end" not in table.names else "end"
    require(table, ["window_id", "start", end], ["label", "score"])
    extra = [name for name in ("label", "score") if name in table.names]
    columns = table.read(["window_id", "start", end, *extra])
    owner = texts(columns["window_id"], table.places(0, "window_id"), "a window's name").to_pylist()
    blank = pc.and_(columns["start"].is_null(), columns[end].is_null()).to_pylist()
    rows = [i for i, empty in enumerate(blank) if not empty]
    columns = {
        name: column.filter([not empty for empty in blank]) for name, column in columns.items()
    }

    def at(column: str) -> At:
        return lambda i: table.at(rows[i], column)

    start, stop = (integers(columns[name], at(name)).tolist() for name in ("start", end))
    label = [check.CLASS] * len(rows)
    if "label" in columns:
        label = names(columns["label"]).tolist()
    score = [1.0] * len(rows)
    if "score" in columns:
        score = numbers(columns["score"], at("score")).tolist()
    marks: Marks = {name: [] for name in owner}
    for i, row in enumerate(rows):
        marks[owner[row]].append(Mark(start[i], stop[i], label[i], score[i]))
    for row, empty in enumerate(blank):
        if empty and marks[owner[row]]:
            raise InputError(
                table.at(row),
                got=f"no span for window {owner[row]!r}, which has one in another row",
                expected="spans, or one row without start and end",
            )
    return marks


def _csv(header: tuple[str, ...], rows: list[list[object]]) -> str:
    buffer = text.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows([header, *rows])
    return buffer.getvalue()
