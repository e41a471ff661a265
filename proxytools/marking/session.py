"""What the page shows and changes: windows, their marks, suggestions, and where they are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from proxytools import io
from proxytools.errors import InputError
from proxytools.exchange import Mark, Marks, marks_of, with_marks
from proxytools.exchange.journal import Journal
from proxytools.io import check
from proxytools.types import SpanDataset


class Session:
    """Windows that are being marked.

    Parameters
    ----------
    data : SpanDataset
    journal : Journal
        Where every change goes first.
    out : Path
        Where the marked windows are written.
    suggestions : dict
        By window, the spans to suggest.
    classes : sequence of str
        Classes to offer beside those of ``data``.
    """

    def __init__(
        self,
        data: SpanDataset,
        journal: Journal,
        out: Path,
        suggestions: Marks,
        classes: Sequence[str] = (),
    ) -> None:
        undecided = not data.labelled.any() and data.classes == (check.CLASS,)
        offered = dict.fromkeys(classes if undecided and classes else [*data.classes, *classes])
        used = [*suggestions.values(), *journal.changes.values()]
        new = sorted({mark.label for given in used for mark in given or ()} - set(offered))
        self.data = replace(data, classes=(*offered, *new))
        self.journal, self.out, self.suggestions = journal, out, suggestions
        with_marks(self.data, suggestions, "suggestions")  # refuses those that do not fit
        self._lock = Lock()

    def marked(self) -> SpanDataset:
        """Return the windows with all marks made so far."""
        return with_marks(self.data, self.journal.changes, str(self.journal.path))

    def write(self) -> None:
        """Write the marked windows, all of them or nothing."""
        with self._lock:
            io.write(self.out, self.marked())

    def change(self, window: int, spans: Any) -> None:
        """Replace the marks of a window; what is wrong with them is refused.

        Parameters
        ----------
        window : int
        spans : list of [start, stop, class], or None
            None makes it unlabelled; an empty list says that it has no span.
        """
        one, marks = self._window(window), None if spans is None else _marks(spans)
        name = str(one.windows.ids[0])
        for mark in marks or ():
            if mark.label not in self.data.classes:
                expected = f"one of {', '.join(self.data.classes)}"
                raise InputError(
                    f"window {name!r}", got=f"the class {mark.label!r}", expected=expected
                )
        with_marks(one, {name: marks}, "the page")
        with self._lock:
            self.journal.append(name, marks)

    def state(self) -> dict[str, Any]:
        """Return everything but the bars, as the page reads it."""
        with self._lock:
            marks = marks_of(self.marked())
        return {
            "bars": self.data.n_bars,
            "classes": list(self.data.classes),
            "out": str(self.out),
            "windows": [
                {
                    "id": name,
                    "spans": _rows(marks[name]) if name in marks else None,
                    "suggested": _rows(self.suggestions.get(name, [])),
                }
                for name in self.data.windows.ids.tolist()
            ],
        }

    def bars(self, window: int) -> dict[str, Any]:
        """Return the prices and opening times of a window's bars."""
        windows = self._window(window).windows
        time = None
        if windows.time is not None:
            time = np.datetime_as_string(windows.time[0], unit="s").tolist()
        return {"ohlc": windows.ohlc[0].tolist(), "time": time}

    def _window(self, window: int) -> SpanDataset:
        if not 0 <= window < len(self.data):
            raise InputError(
                "window", got=f"{window}", expected=f"a number from 0 to {len(self.data) - 1}"
            )
        return self.data.take([window])


def _marks(spans: Any) -> list[Mark]:
    """Return spans as they come from the page as marks."""
    try:
        marks = [Mark(start, stop, label) for start, stop, label in spans]
    except (TypeError, ValueError) as error:
        raise InputError(
            "the page", got=repr(error), expected="spans: start, stop, class"
        ) from None
    for mark in marks:
        if type(mark.start) is not int or type(mark.stop) is not int:
            raise InputError(
                "the page", got=f"{mark.start!r} to {mark.stop!r}", expected="whole bar indices"
            )
    return sorted(marks)


def _rows(marks: Sequence[Mark]) -> list[list[Any]]:
    return [[mark.start, mark.stop, mark.label, mark.score] for mark in marks]
