"""The axis of a Label Studio task: where its bars stand, and which of them an edge means."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from proxytools.errors import InputError
from proxytools.exchange.labelstudio import SERIES
from proxytools.io import clock
from proxytools.io.column import At
from proxytools.types import Int, SpanDataset


@dataclass(frozen=True)
class Axis:
    """Where the bars of a task stand: numbers, or nanoseconds read from texts."""

    at: NDArray[Any]
    is_time: bool
    time_format: str | None

    @classmethod
    def of(
        cls,
        data: dict[str, Any],
        name: str,
        windows: SpanDataset | None,
        where: str,
        time_format: str | None,
    ) -> Axis:
        """Return the axis of a task: its own, or that of its window.

        Raises
        ------
        InputError
            The task does not hold its bars, and the windows do not either.
        """
        series = data.get(SERIES)
        if isinstance(series, dict):
            own = series.get("time")
            if own is None:
                return cls(np.arange(len(next(iter(series.values())))), False, time_format)
            if isinstance(own[0], str):
                ticks = moments(own, lambda i: f"{where}, bar {i}", time_format)
                return cls(ticks, True, time_format)
            return cls(np.array(own, np.float64), False, time_format)
        if windows is None:
            raise InputError(
                where,
                got="a task without its bars",
                expected="the file of its windows",
                fix="Name it (--windows)",
            )
        place = np.flatnonzero(windows.windows.ids == name)
        if not len(place):
            raise InputError(where, got="an unknown window", expected="one of the windows")
        time = windows.windows.time
        if time is None:
            return cls(np.arange(windows.n_bars), False, time_format)
        return cls(time[place[0]].astype("datetime64[ns]").astype(np.int64), True, time_format)

    def place(self, values: list[Any], at: At, edge: str) -> Int:
        """(n,) bars that edges of regions stand for: the first ("start") or the one after the last.

        Raises
        ------
        InputError
            A value is missing, or no time and no number.
        """

        def of(i: int) -> str:
            return f"{at(i)}, {edge}"

        side: Literal["left", "right"] = "left" if edge == "start" else "right"
        if self.is_time:
            found = moments(values, of, self.time_format)
            return np.searchsorted(self.at, found, side=side)
        for i, value in enumerate(values):
            if not _is_number(value):
                raise InputError(of(i), got=repr(value), expected="the number of a bar")
        return np.searchsorted(self.at, np.array(values, np.float64), side=side)


def _is_number(value: Any) -> bool:
    """Whether a value is a finite number, or a text that spells one."""
    try:
        return bool(np.isfinite(float(value)))
    except (TypeError, ValueError):
        return False


def moments(values: list[Any], at: At, time_format: str | None) -> Int:
    """(n,) nanoseconds since 1970 in UTC; texts are in ISO 8601 or the format given."""
    if not values:
        return np.empty(0, np.int64)
    texts = [None if value is None else str(value) for value in values]
    if time_format is not None:
        texts = [text and _iso(text, time_format, at(i)) for i, text in enumerate(texts)]
    return clock.utc(pa.array(texts, pa.string()), at, "UTC")


def _iso(text: str, time_format: str, where: str) -> str:
    try:  # d3's %L is milliseconds, which Python's %f reads too
        moment = dt.datetime.strptime(text, time_format.replace("%L", "%f"))
    except ValueError as error:
        raise InputError(where, got=repr(text), expected=f"a time such as {time_format}") from error
    if moment.tzinfo is not None:
        moment = moment.astimezone(dt.UTC).replace(tzinfo=None)
    return moment.isoformat()
