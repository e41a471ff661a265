"""Long bars, one row a bar, read as a stream of gap-free pieces in bounded memory."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from proxytools.errors import InputError
from proxytools.io import check, clock
from proxytools.io.column import numbers, texts
from proxytools.io.table import Table, open_table, require
from proxytools.types import OHLC, Int

SERIES = ("series_id", "symbol")
TIMES = ("timestamp", "t")


@dataclass(frozen=True, eq=False)
class Piece:
    """Consecutive bars of one series with no gap between them.

    Parameters
    ----------
    series : str
    offset : int
        Position of the first bar in its series.
    time : (n,) datetime64[ns] or None
        UTC time at which each bar opens; None where the file has only a clock ``t``.
    ohlc : (n, 4) float64
    first, last : bool
        Whether the piece begins, and ends, a gap-free run of bars.
    """

    series: str
    offset: int
    time: NDArray[np.datetime64] | None
    ohlc: NDArray[np.float64]
    first: bool
    last: bool

    def __len__(self) -> int:
        return len(self.ohlc)


def stream(
    path: str | os.PathLike[str] | Table,
    *,
    chunk: int = 262_144,
    zone: str | None = None,
    gap: clock.Duration | None = None,
) -> Iterator[Piece]:
    """Read long bars of any number in bounded memory, as validated gap-free pieces.

    Columns: open, high, low, close and ``timestamp`` or ``t``; ``series_id`` (or ``symbol``) where
    there are several series, else the file's stem names the one. Others, volume included, are
    ignored. ``timestamp`` is the time at which a bar opens. ``t`` is seconds on the recording's own
    clock: it orders bars and shows gaps, but is no date, so `Piece.time` is None.

    The clock column is read and checked at once, in a first pass that also finds each series'
    median interval; the prices are checked as they come. How a run is cut into pieces depends on
    ``chunk`` alone: at each multiple of it, counted from the run's first bar.

    Parameters
    ----------
    path : path
        Parquet or CSV. The rows of a series stand together, sorted by time.
    chunk : int
        The most bars in a piece.
    zone : str, optional
        Zone of naive timestamps. Those that name an offset do not need it.
    gap : duration, optional
        A longer interval than this is a gap; by default 1.5 times the series' median interval.

    Yields
    ------
    Piece

    Raises
    ------
    InputError
        At the call or while reading: one clear sentence on what is wrong and where.
    """
    if chunk < 1:
        raise InputError("chunk", got=f"{chunk}", expected="at least 1 bar")
    source = _Source.open(path, zone)
    return _pieces(source, _longest_steps(source, gap), chunk)


@dataclass(frozen=True)
class _Rows:
    """Consecutive rows of one series, as they come from the file."""

    series: str
    row: int
    ticks: Int
    ohlc: NDArray[np.float64]  # (n, 4), or (n, 0) in the pass over the clock


@dataclass(frozen=True)
class _Source:
    """A file of long bars and which of its columns are the series and the clock."""

    table: Table
    series: str | None
    time: str
    zone: str | None

    @classmethod
    def open(cls, path: str | os.PathLike[str] | Table, zone: str | None) -> _Source:
        table = open_table(path)
        series = next((name for name in SERIES if name in table.names), None)
        time = "t" if "t" in table.names and "timestamp" not in table.names else "timestamp"
        require(table, [time, *OHLC], optional=[] if series else SERIES)
        return cls(table, series, time, zone)

    def rows(self, prices: bool) -> Iterator[_Rows]:
        """Read the file, in parts that belong to one series each."""
        wanted = [self.time, *([self.series] if self.series else []), *(OHLC if prices else [])]
        row = 0
        for batch in self.table.batches(wanted):
            columns = dict(zip(batch.schema.names, batch.columns, strict=True))
            at = self.table.places(row, self.time)
            if self.time == "t":
                ticks = clock.seconds(columns["t"], at)
            else:
                ticks = clock.utc(columns["timestamp"], at, self.zone)
            ohlc = np.empty((batch.num_rows, 4 if prices else 0))
            if prices:
                for k, name in enumerate(OHLC):
                    ohlc[:, k] = numbers(
                        columns[name], self.table.places(row, name), "a finite price"
                    )
                check.prices(ohlc, self.table.places(row))
            for name, start, stop in self._runs(columns, batch.num_rows, row):
                yield _Rows(name, row + start, ticks[start:stop], ohlc[start:stop])
            row += batch.num_rows
        if not row:
            raise self.table.empty()

    def _runs(self, columns: dict[str, Any], n_rows: int, row: int) -> list[tuple[str, int, int]]:
        """Name, start and stop of each stretch of rows that belong to one series."""
        if self.series is None:
            return [(self.table.path.stem, 0, n_rows)] if n_rows else []
        at = self.table.places(row, self.series)
        runs = pc.run_end_encode(texts(columns[self.series], at, "the name of a series"))
        stops = runs.run_ends.to_pylist()
        stretches = zip(runs.values.to_pylist(), pairwise([0, *stops]), strict=True)
        return [(name, start, stop) for name, (start, stop) in stretches]


def _longest_steps(source: _Source, gap: clock.Duration | None) -> dict[str, float]:
    """Check every series' clock, and return its longest interval, in ns, that is no gap.

    Memory: one count for each distinct interval of a series.
    """
    fixed = None if gap is None else clock.duration(gap, "gap")
    longest: dict[str, float] = {}
    series, last, counts = "", np.empty(0, np.int64), Counter[int]()
    for part in source.rows(prices=False):
        if part.series != series or not len(last):
            if part.series in longest:
                raise InputError(
                    source.table.at(part.row, source.series or ""),
                    got=f"the series {part.series!r} again, after another one",
                    expected="all rows of a series together",
                    fix="Sort the file by series, then time",
                )
            series, last, counts = part.series, np.empty(0, np.int64), Counter()
        ticks = np.concatenate([last, part.ticks])
        clock.increasing(ticks, source.table.places(part.row - len(last), source.time))
        sizes, times = np.unique(np.diff(ticks), return_counts=True)
        counts.update(dict(zip(sizes.tolist(), times.tolist(), strict=True)))
        last = part.ticks[-1:]
        median = clock.median_interval(counts) if counts else np.inf
        longest[series] = fixed if fixed is not None else clock.GAP_FACTOR * median
    return longest


def _pieces(source: _Source, longest: dict[str, float], chunk: int) -> Iterator[Piece]:
    # The newest bars wait here until the next ones tell whether their run goes on.
    held, held_ticks = None, np.empty(0, np.int64)
    for part in source.rows(prices=True):
        ticks, ohlc, offset, is_first = part.ticks, part.ohlc, 0, True
        if held is not None and held.series == part.series:
            ticks, ohlc = np.concatenate([held_ticks, ticks]), np.concatenate([held.ohlc, ohlc])
            offset, is_first = held.offset, held.first
        elif held is not None:
            yield replace(held, last=True)
        breaks = np.flatnonzero(np.diff(ticks) > longest[part.series]) + 1
        for begin, end in zip([0, *breaks], [*breaks, len(ticks)], strict=True):
            for start in range(begin, end, chunk):
                stop = min(start + chunk, end)
                held_ticks = ticks[start:stop]
                held = Piece(
                    part.series,
                    offset + start,
                    None if source.time == "t" else held_ticks.view("datetime64[ns]"),
                    ohlc[start:stop],
                    first=start == begin and (begin > 0 or is_first),
                    last=stop == end,
                )
                if stop < len(ticks):
                    yield held
    if held is not None:
        yield replace(held, last=True)
