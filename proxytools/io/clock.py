"""Timestamps, zones and durations as whole nanoseconds."""

from __future__ import annotations

import datetime as dt
import difflib
import re
import zoneinfo
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from proxytools.errors import InputError
from proxytools.io.column import At, cast, first, numbers, present
from proxytools.types import Int

Duration = str | dt.timedelta | np.timedelta64

GAP_FACTOR = 1.5
SECOND = 1_000_000_000
UNITS = {"ms": SECOND // 1000, "s": SECOND, "min": 60 * SECOND, "h": 3600 * SECOND}
UNITS["d"] = 24 * UNITS["h"]

_OFFSET = re.compile(r":\d\d(?:\.\d+)?\s*(?:Z|[+-]\d\d(?::?\d\d)?)$")
_TIME = "a UTC timestamp such as 2024-01-31T09:30:00Z"


def duration(value: Duration, name: str) -> int:
    """Nanoseconds in a duration: a text such as "90s", a `timedelta` or a `timedelta64`.

    Examples
    --------
    >>> duration("1.5min", "gap") // SECOND
    90
    """
    ticks = 0
    if isinstance(value, str):
        match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([a-z]+)", value.strip().lower())
        if match and match[2] in UNITS:
            ticks = round(float(match[1]) * UNITS[match[2]])
    else:
        ticks = int(np.timedelta64(value, "ns").astype(np.int64))
    if ticks <= 0:
        raise InputError(
            name,
            got=repr(value),
            expected=f"a duration above 0 such as 1min or 90s (units: {', '.join(UNITS)})",
        )
    return ticks


def utc(column: Any, at: At, zone: str | None) -> Int:
    """(n,) nanoseconds since 1970 in UTC, from a timestamp, date or ISO 8601 text column.

    Raises
    ------
    InputError
        Where a value is missing or no time, or is naive and no zone is stated.
    """
    column = present(column, at, _TIME)
    if zone is not None:
        check_zone(zone)
    if not len(column):
        return np.empty(0, np.int64)
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        aware = _OFFSET.search(column[0].as_py()) is not None
    elif pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        aware = getattr(kind, "tz", None) is not None
    else:
        raise InputError(
            at(0),
            got=f"{column[0]} (type {kind})",
            expected=_TIME,
            fix="If these are seconds on the recording's own clock, name the column t",
        )
    if aware:
        return _ticks(cast(column, pa.timestamp("ns", "UTC"), at, _TIME))
    local = cast(column, pa.timestamp("ns"), at, _TIME)
    if zone is None:
        raise InputError(
            at(0),
            got=f"{column[0]}, which names no zone",
            expected=_TIME,
            fix="State the zone of the file's clock, for example UTC or America/New_York",
        )
    return _ticks(_placed(local, at, zone))


def seconds(column: Any, at: At) -> Int:
    """(n,) nanoseconds, from a column ``t`` of seconds on the recording's own clock."""
    expected = "seconds, a finite number below 9e9"
    values = numbers(column, at, expected)
    wrong = ~(np.abs(values) < 9e9)  # NaN included; more would not fit
    if wrong.any():
        raise InputError(at(first(wrong)), got=f"{values[first(wrong)]:g}", expected=expected)
    return np.rint(values * SECOND).astype(np.int64)


def increasing(ticks: Int, at: At) -> None:
    """Refuse times that stand still (a duplicate) or go backwards."""
    step = np.diff(ticks)
    if not (step <= 0).any():
        return
    i = first(step <= 0)
    raise InputError(
        at(i + 1),
        got="the time of the bar before again" if step[i] == 0 else "a time before the bar before",
        expected="one bar a time, sorted by time",
    )


def median_interval(counts: Counter[int]) -> float:
    """Median of intervals given as a count of each, as `numpy.median` of them all.

    Examples
    --------
    >>> median_interval(Counter({60: 3, 120: 2, 240: 1}))
    90.0
    """
    sizes = np.array(sorted(counts), np.int64)
    ends = np.cumsum([counts[int(size)] for size in sizes])
    middle = ((ends[-1] - 1) // 2, ends[-1] // 2)
    return float(np.mean(sizes[np.searchsorted(ends, middle, side="right")]))


def show(ticks: Any) -> str:
    """Nanoseconds since 1970 as text, without idle digits."""
    return str(np.datetime64(int(ticks), "ns")).removesuffix(".000000000") + "Z"


def check_zone(zone: str) -> None:
    """Refuse a zone that the zone database does not have."""
    try:
        zoneinfo.ZoneInfo(zone)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        near = difflib.get_close_matches(zone, zoneinfo.available_timezones(), n=1)
        raise InputError(
            "zone",
            got=repr(zone),
            expected="a zone of the IANA database such as UTC or America/New_York",
            fix=f"Did you mean {near[0]}" if near else "",
        ) from error


def _placed(local: Any, at: At, zone: str) -> Any:
    """Naive timestamps placed in a zone; an hour that the clocks skip or repeat is refused."""
    try:
        return pc.assume_timezone(local, zone)
    except pa.ArrowInvalid as error:
        if len(local) > 1:
            half = len(local) // 2
            _placed(local[:half], at, zone)
            _placed(local[half:], lambda i: at(i + half), zone)
        raise InputError(
            at(0),
            got=f"{local[0]} ({str(error).partition(':')[0]})",
            expected=_TIME,
            fix="Convert the file's times to UTC",
        ) from error


def _ticks(times: Any) -> Int:
    return np.asarray(times.cast(pa.int64()), np.int64)
