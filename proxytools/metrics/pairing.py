"""Predicted and marked spans of the same windows, checked and laid out for compiled loops."""

from __future__ import annotations

import numpy as np

from proxytools.errors import InputError
from proxytools.types import Int, Spans


def paired(
    pred: Spans, true: Spans, by_class: bool, *, disjoint: bool = True
) -> tuple[Spans, Spans]:
    """Both families checked; with ``by_class`` every class of a window as a window of its own."""
    if pred.n_windows != true.n_windows:
        raise InputError(
            "predicted spans",
            got=f"{pred.n_windows} windows",
            expected=f"the {true.n_windows} windows of the marks",
        )
    _check("predicted", pred, disjoint)
    _check("marked", true, disjoint=True)
    if not by_class:
        return pred, true
    n_classes = 1 + int(max(pred.label.max(initial=0), true.label.max(initial=0)))
    return _split(pred, n_classes), _split(true, n_classes)


def _check(kind: str, spans: Spans, disjoint: bool) -> None:
    empty = spans.length <= 0
    same = spans.window[1:] == spans.window[:-1]
    overlap = same & (spans.start[1:] < spans.stop[:-1]) & disjoint
    for wrong, got in ((empty, "an empty span"), (overlap, "overlapping spans")):
        if wrong.any():
            raise InputError(
                f"{kind} spans, window {spans.window[wrong.argmax()]}",
                got=got,
                expected="start < stop" + (" and spans that share no bar" if disjoint else ""),
            )


def _split(spans: Spans, n_classes: int) -> Spans:
    window = spans.window * n_classes + spans.label
    n_windows = spans.n_windows * n_classes
    return Spans(window, spans.start, spans.stop, n_windows, spans.label, spans.score)


def columns(spans: Spans) -> tuple[Int, Int, Int]:
    """First row of each window (N + 1 entries), starts, stops."""
    first = np.searchsorted(spans.window, np.arange(spans.n_windows + 1))
    return first, spans.start, spans.stop
