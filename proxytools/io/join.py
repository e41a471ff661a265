"""Labelled windows and unlabelled ones as one data set."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proxytools.errors import InputError
from proxytools.types import SpanDataset, Spans, Windows

PREFIX = "unlabelled:"  # of the names of windows put beside the labelled ones


def with_unlabelled(data: SpanDataset, others: SpanDataset) -> SpanDataset:
    """Put windows nobody looked at beside those of a data set; marks they may have are left out.

    What is not known of them is filled in so that folds of ``data`` stay as they are: a window
    without a place stands in a series of its own, one without a parent has none.

    Raises
    ------
    InputError
        Their windows have another length, or no clock times where those of ``data`` have.

    Examples
    --------
    >>> from proxytools import synthetic
    >>> a, b = (synthetic.planted(3, preset="easy", seed=seed, n_bars=60).data for seed in (0, 1))
    >>> both = with_unlabelled(a, b)
    >>> both.labelled.astype(int), both.spans.count, str(both.windows.ids[3])
    (array([1, 1, 1, 0, 0, 0]), array([1, 1, 1, 0, 0, 0]), 'unlabelled:w00000')
    """
    ours, theirs = data.windows, others.windows
    if theirs.n_bars != ours.n_bars:
        raise InputError(
            "unlabelled windows",
            got=f"{theirs.n_bars} bars",
            expected=f"{ours.n_bars} bars, as the labelled ones have",
        )
    if ours.time is not None and theirs.time is None:
        raise InputError(
            "unlabelled windows",
            got="no clock times",
            expected="timestamps, as the labelled ones have",
            fix="Bring bars with a timestamp column, so that test windows' times can be left out",
        )
    ids = np.strings.add(PREFIX, theirs.ids)
    filled = replace(
        theirs,
        ids=ids,
        parent=_blank(theirs) if theirs.parent is None else theirs.parent,
        series=ids if theirs.offset is None else _series(theirs),
        offset=np.zeros(len(theirs), np.int64) if theirs.offset is None else theirs.offset,
    )
    known = {
        "parent": _blank(ours) if ours.parent is None else ours.parent,
        "series": _series(ours),
        "offset": ours.offset,
        "time": ours.time,
    }
    joined: dict[str, Any] = {
        name: None if column is None else np.concatenate([column, getattr(filled, name)])
        for name, column in {"ohlc": ours.ohlc, "ids": ours.ids, **known}.items()
    }
    spans = Spans.concatenate(
        [data.spans, Spans.of([])],
        [np.arange(len(data)), np.empty(0, np.int64)],
        len(data) + len(others),
    )
    labelled = np.append(data.labelled, np.zeros(len(others), bool))
    return replace(data, windows=Windows(**joined), spans=spans, labelled=labelled)


def _blank(windows: Windows) -> NDArray[np.str_]:
    return np.full(len(windows), "")


def _series(windows: Windows) -> NDArray[np.str_]:
    return _blank(windows) if windows.series is None else windows.series
