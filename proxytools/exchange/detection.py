"""sktime's detection frames: the segments of a series as ``ilocs`` and ``labels``.

``ilocs`` is a pandas interval index, closed on the left, of positions in the series; ``labels``
holds the classes. Here every window is a series: a dict holds one frame a window that was looked
at, empty where it has no span. As text (CSV) they stand below each other behind ``window_id``, an
interval as pandas prints it, "[3, 9)", and an empty one for a window without a span.
"""

from __future__ import annotations

import csv
import io as text
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from proxytools.errors import InputError
from proxytools.exchange.marks import Mark, Marks
from proxytools.io.column import names, texts
from proxytools.io.table import Table, require

if TYPE_CHECKING:
    import pandas as pd

HEADER = ("window_id", "ilocs", "labels")
_INTERVAL = re.compile(r"\[(-?\d+), (-?\d+)\)")
_EXPECTED = "an interval of bars, closed on the left, such as [3, 9)"


def frames(marks: Marks) -> dict[str, pd.DataFrame]:
    """Return one detection frame a window that was looked at.

    Examples
    --------
    >>> frames({"a": [Mark(3, 9, "up")], "b": []})["a"]
        ilocs labels
    0  [3, 9)     up
    """
    import pandas as pd

    return {
        name: pd.DataFrame(
            {
                "ilocs": pd.IntervalIndex.from_arrays(
                    np.array([mark.start for mark in given], np.int64),
                    np.array([mark.stop for mark in given], np.int64),
                    closed="left",
                ),
                "labels": pd.Series([mark.label for mark in given], dtype="str"),
            }
        )
        for name, given in marks.items()
    }


def from_frames(detected: Mapping[str, pd.DataFrame]) -> Marks:
    """Return the marks in detection frames, one a window.

    Raises
    ------
    InputError
        A frame lacks a column, or its intervals are not closed on the left.

    Examples
    --------
    >>> from_frames(frames({"a": [Mark(3, 9, "up")], "b": []}))
    {'a': [Mark(start=3, stop=9, label='up', score=1.0)], 'b': []}
    """
    marks: Marks = {}
    for name, frame in detected.items():
        where = f"the detection frame of {name!r}"
        lacking = [column for column in HEADER[1:] if column not in frame]
        if lacking:
            raise InputError(
                where,
                got=f"the columns {', '.join(map(str, frame.columns))}",
                expected=f"a column {lacking[0]}",
            )
        marks[name] = []
        for row, (interval, label) in enumerate(zip(frame["ilocs"], frame["labels"], strict=True)):
            if getattr(interval, "closed", "") != "left":
                raise InputError(f"{where}, row {row}", got=repr(interval), expected=_EXPECTED)
            marks[name].append(Mark(int(interval.left), int(interval.right), str(label)))
    return marks


def to_text(marks: Marks) -> str:
    r"""Return the CSV text.

    Examples
    --------
    >>> to_text({"a": [Mark(3, 9, "up")], "b": []})
    'window_id,ilocs,labels\na,"[3, 9)",up\nb,,\n'
    """
    buffer = text.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(HEADER)
    for name, given in marks.items():
        writer.writerows([name, f"[{mark.start}, {mark.stop})", mark.label] for mark in given)
        if not given:
            writer.writerow([name, "", ""])
    return buffer.getvalue()


def read_text(table: Table) -> Marks:
    """Read detection frames from a table with ``window_id``, ``ilocs`` and ``labels``."""
    require(table, HEADER)
    columns = table.read(HEADER)
    owner = texts(columns["window_id"], table.places(0, "window_id"), "a window's name").to_pylist()
    intervals, labels = names(columns["ilocs"]).tolist(), names(columns["labels"]).tolist()
    marks: Marks = {name: [] for name in owner}
    for row, (name, interval, label) in enumerate(zip(owner, intervals, labels, strict=True)):
        match = _INTERVAL.fullmatch(interval)
        if match:
            marks[name].append(Mark(int(match[1]), int(match[2]), label))
        elif interval or label:
            raise InputError(table.at(row, "ilocs"), got=repr(interval), expected=_EXPECTED)
    return marks
