"""Long bars with or without marks, cut into windows of one length."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from proxytools.errors import InputError
from proxytools.io import check, clock
from proxytools.io.bars import stream
from proxytools.io.marks import Marks, Series, read_marks
from proxytools.io.table import Table, open_table
from proxytools.types import Bool, Int, SpanDataset, Spans, Windows


def read_bars(
    path: str | os.PathLike[str] | Table,
    *,
    spans: str | os.PathLike[str] | Table | None = None,
    labelled: str | os.PathLike[str] | Table | None = None,
    bars: int = 105,
    stride: int | None = None,
    zone: str | None = None,
    gap: clock.Duration | None = None,
    classes: Sequence[str] | None = None,
) -> SpanDataset:
    """Read long bars and cut each gap-free run into windows; see `proxytools.io.read`."""
    table = open_table(path)
    stride = bars if stride is None else stride
    for name, value in (("bars", bars), ("stride", stride)):
        if value < 1:
            raise InputError(name, got=f"{value}", expected="at least 1 bar")
    pieces = list(stream(table, zone=zone, gap=gap))
    edges = np.cumsum([0, *map(len, pieces)])  # (P+1,)
    ohlc = np.concatenate([piece.ohlc for piece in pieces])  # (M, 4)
    times = [piece.time for piece in pieces if piece.time is not None]
    time = np.concatenate(times) if times else None  # (M,)
    series = Series(
        tuple(piece.series for piece in pieces if piece.offset == 0),
        np.append(edges[:-1][[piece.offset == 0 for piece in pieces]], len(ohlc)),
        None if time is None else time.view(np.int64),
    )
    first = _starts(
        edges[:-1][[piece.first for piece in pieces]],
        edges[1:][[piece.last for piece in pieces]],
        bars,
        stride,
    )
    if not len(first):
        raise InputError(
            str(table.path),
            got=f"no run of {bars} bars without a gap",
            expected="at least one",
            fix="Ask for fewer bars a window, or for a longer gap",
        )

    marks = read_marks(spans, series, zone, disjoint=True) if spans is not None else None
    looked = read_marks(labelled, series, zone, disjoint=False) if labelled is not None else None
    found, names = _clip(marks, first, bars, classes)
    is_labelled = found.count > 0
    if looked is not None:
        seen = _seen(looked, len(ohlc))
        if marks is not None:
            _refuse_unseen(marks, seen)
        is_labelled = np.diff(seen[np.add.outer(first, [0, bars])], axis=1)[:, 0] == bars
        found = _only(found, is_labelled)

    owner = np.searchsorted(series.edges, first, side="right") - 1  # (N,)
    offset = first - series.edges[owner]
    of_series = np.array(series.names)[owner]
    windows = Windows(
        ohlc=sliding_window_view(ohlc, bars, axis=0)[first].transpose(0, 2, 1).copy(),  # (N, T, 4)
        ids=np.strings.add(np.strings.add(of_series, ":"), offset.astype(np.str_)),
        series=of_series,
        offset=offset,
        time=None if time is None else time[np.add.outer(first, np.arange(bars))],  # (N, T)
    )
    return SpanDataset(windows, found, is_labelled, names)


def _starts(begin: Int, end: Int, bars: int, stride: int) -> Int:
    """(N,) first bars of the windows that fit in the runs ``[begin, end)``."""
    count = np.maximum((end - begin - bars) // stride + 1, 0)
    return np.repeat(begin, count) + stride * _within(count)


def _clip(
    marks: Marks | None, first: Int, bars: int, classes: Sequence[str] | None
) -> tuple[Spans, tuple[str, ...]]:
    """Lay spans over the windows; one that a window's edge cuts is clipped to it."""
    if marks is None:
        return Spans.of([[]] * len(first)), tuple(classes) if classes else (check.CLASS,)
    label = marks.label
    if label is None:  # one class: the known one where only one is known
        only = classes[0] if classes is not None and len(classes) == 1 else check.CLASS
        label = np.full(len(marks.start), only)
    codes, names = check.codes(label, marks.table.places(0, "label"), classes)
    order = np.argsort(marks.start)
    start, stop, codes = marks.start[order], marks.stop[order], codes[order]
    # Disjoint and sorted, so those that touch a window stand together.
    low = np.searchsorted(stop, first, side="right")
    count = np.searchsorted(start, first + bars, side="left") - low
    window = np.repeat(np.arange(len(first)), count)
    span = np.repeat(low, count) + _within(count)
    return Spans(
        window,
        np.maximum(start[span] - first[window], 0),
        np.minimum(stop[span] - first[window], bars),
        len(first),
        codes[span],
    ), names


def _seen(looked: Marks, n_bars: int) -> Int:
    """(M+1,) how many of the bars before each one were looked at."""
    change = np.zeros(n_bars + 1, np.int64)
    np.add.at(change, looked.start, 1)
    np.add.at(change, looked.stop, -1)
    return np.concatenate([[0], np.cumsum(change[:-1].cumsum() > 0)])


def _refuse_unseen(marks: Marks, seen: Int) -> None:
    wrong = seen[marks.stop] - seen[marks.start] < marks.stop - marks.start
    if wrong.any():
        raise InputError(
            marks.table.at(int(np.argmax(wrong))),
            got="a span outside the bars that were looked at",
            expected="a span inside one of the labelled ranges",
            fix="Widen the labelled range",
        )


def _only(spans: Spans, windows: Bool) -> Spans:
    """Spans of the chosen windows, in place among all of them."""
    keep = windows[spans.window]
    columns = (spans.window, spans.start, spans.stop)
    window, start, stop = (values[keep] for values in columns)
    return Spans(window, start, stop, spans.n_windows, spans.label[keep], spans.score[keep])


def _within(count: Int) -> Int:
    """0, 1, ... inside each group of ``count`` items."""
    return np.arange(count.sum()) - np.repeat(count.cumsum() - count, count)
