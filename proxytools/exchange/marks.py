"""Marks by the name of their window: what all formats of exchange have in common."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from proxytools.errors import InputError
from proxytools.io import check
from proxytools.types import SpanDataset, Spans


class Mark(NamedTuple):
    """A span ``[start, stop)`` of bars in a window, its class and, for a detection, its score."""

    start: int
    stop: int
    label: str
    score: float = 1.0


Marks = dict[str, list[Mark]]
"""By name, the windows that were looked at; an empty list is "labelled, no span"."""


def marks_of(data: SpanDataset) -> Marks:
    """Return the marks of a data set's labelled windows.

    Examples
    --------
    >>> from proxytools import synthetic
    >>> data = synthetic.planted(1, preset="easy", seed=0, n_bars=60).data
    >>> marks_of(data)
    {'w00000': [Mark(start=28, stop=34, label='expansion', score=1.0)]}
    """
    ids = data.windows.ids.tolist()
    marks: Marks = {ids[i]: [] for i in np.flatnonzero(data.labelled).tolist()}
    spans = data.spans
    columns = (spans.window, spans.start, spans.stop, spans.label, spans.score)
    for window, start, stop, code, score in zip(*(c.tolist() for c in columns), strict=True):
        marks[ids[window]].append(Mark(start, stop, data.classes[code], score))
    return marks


def with_marks(
    data: SpanDataset, marks: Mapping[str, Sequence[Mark] | None], where: str
) -> SpanDataset:
    """Lay marks over windows: those they name are labelled with them, others stay as they are.

    Parameters
    ----------
    data : SpanDataset
    marks : mapping of str to list of Mark
        None makes a window unlabelled.
    where : str
        What errors call the source of the marks.

    Returns
    -------
    SpanDataset
        Its classes are those of ``data``, then the new ones, sorted. Where nobody marked ``data``
        and it names no class of its own, they are those of the marks alone.

    Raises
    ------
    InputError
        A window is unknown, or a span leaves it, is empty or overlaps another.

    Examples
    --------
    >>> from proxytools import synthetic
    >>> data = synthetic.planted(2, preset="easy", seed=0, n_bars=60).data
    >>> with_marks(data, {"w00001": [Mark(3, 5, "up")]}, "marks.csv").classes
    ('expansion', 'up')
    """
    ids = data.windows.ids.tolist()
    place = {name: i for i, name in enumerate(ids)}
    for name in marks:
        if name not in place:
            near = difflib.get_close_matches(name, ids, n=1)
            raise InputError(
                where,
                got=f"the unknown window {name!r}",
                expected=f"one of the {len(ids)} windows",
                fix=f"Did you mean {near[0]!r}" if near else "",
            )
    own = {name: given for name, given in marks_of(data).items() if name not in marks}
    all_marks = {**own, **marks}
    rows = [(place[name], mark) for name, given in all_marks.items() for mark in given or ()]
    window = np.array([row for row, _ in rows], np.int64)
    start = np.array([mark.start for _, mark in rows], np.int64)
    stop = np.array([mark.stop for _, mark in rows], np.int64)

    def at(i: int) -> str:
        return f"{where}, window {ids[window[i]]!r}"

    check.spans(window, start, stop, data.n_bars, at, columns=("start", "end"))
    labels = np.array([mark.label for _, mark in rows], np.str_)
    undecided = not data.labelled.any() and data.classes == (check.CLASS,)
    known = () if undecided else data.classes
    new = tuple(sorted(set(labels.tolist()) - set(known)))
    codes, classes = check.codes(labels, at, (known + new) or data.classes)
    score = np.array([mark.score for _, mark in rows], np.float64)
    labelled = data.labelled.copy()
    for name, given in marks.items():
        labelled[place[name]] = given is not None
    spans = Spans(window, start, stop, len(data), codes, score)
    return replace(data, spans=spans, labelled=labelled, classes=classes)
