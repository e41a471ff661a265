"""Spans of long series: scores stitched from windows, spans read off each gap-free run.

Bars, windows and scores are held for a moment only, so ten million bars take the memory of a
hundred thousand.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from deep.detector import SpanDetector
from deep.device import limited
from deep.newfile import new_file
from deep.reading import BarReader, MatchReader
from deep.stitching import scored, windows
from deep.streaming import BarStream, ChainStream, Found, Stream
from proxytools import io
from proxytools.io.table import open_table
from proxytools.label import Batch
from proxytools.proxies.store import Model

COLUMNS = ("series_id", "start", "end", "score", "length")

Track = Callable[[Iterable[Batch], int | None], Iterable[Batch]]


@dataclass(frozen=True)
class SeriesSpans:
    """Spans of a series, in order.

    Attributes
    ----------
    series : str
    first : int
        Index in the series of the bar that ``found`` counts from.
    found : Found
    start, end : (S,) datetime64[ns] or None
        When the first bar of each span opens, and the bar after its last one, UTC; where a run
        ends, the time at which that bar would.
    """

    series: str
    first: int
    found: Found
    start: NDArray[np.datetime64] | None
    end: NDArray[np.datetime64] | None

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Rows of `COLUMNS`; ``end`` is exclusive, as in a file of marks."""
        start, stop, score = self.found
        edges: list[Any] = [start + self.first, stop + self.first]
        if self.start is not None and self.end is not None:
            edges = [np.datetime_as_string(t, timezone="UTC") for t in (self.start, self.end)]
        shown = [f"{x:.6f}" for x in score]
        length = stop - start
        yield from zip([self.series] * len(start), *edges, shown, length, strict=True)


def detect(
    model: Model,
    bars: Path,
    out: Path,
    *,
    threads: int = 0,
    zone: str | None = None,
    gap: str | None = None,
    chunk: int = 65_536,
    track: Track = lambda todo, n_bars: todo,
) -> dict[str, Any]:
    """Write the spans of a file of bars as CSV, and return how many bars and spans there are.

    The file can be read back as marks of the same bars: ``start`` and ``end`` are half-open, in
    time where the bars have one, else as bar indices in their series. It appears whole.

    Parameters
    ----------
    model : Model
        Of a `SpanDetector`.
    bars : Path
        Long bars, parquet or CSV.
    out : Path
        Must not exist.
    threads : int
        Of the CPU; 0 for all.
    zone, gap : str, optional
        As in `proxytools.io.stream`.
    chunk : int
        Bars read at a time; has no influence on the result.
    track : callable, optional
        As in `proxytools.label.label`.

    Returns
    -------
    dict
        ``bars``, ``series``, ``runs`` without a gap, ``spans``, and the model's ``lookahead_bars``.

    Raises
    ------
    InputError
        Bad bars, or ``out`` exists or has nowhere to go. Nothing is left behind.
    """
    counts = _Counts()
    with new_file(out, "--out") as half, half.open("w", newline="", encoding="utf-8") as file:
        pieces = io.stream(bars, chunk=chunk, zone=zone, gap=gap)
        n_bars = None if open_table(bars).is_csv else pq.read_metadata(bars).num_rows
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        todo = counts.watch(track(windows(model, pieces), n_bars))
        for found in spans(model, todo, threads):
            table.writerows(found.rows())
            counts.spans += len(found.found.start)
    return {**counts.as_dict(), "lookahead_bars": model.lookahead_bars}


def spans(model: Model, todo: Iterable[Batch], threads: int = 0) -> Iterator[SeriesSpans]:
    """Spans of each gap-free run, as they are found.

    Each span comes once, and none crosses a gap.

    Parameters
    ----------
    model : Model
        Of a `SpanDetector`.
    todo : iterable of Batch
        From `deep.stitching.windows`.
    threads : int
        Of the CPU; 0 for all.
    """
    detector = cast(SpanDetector, model.proxy)
    new_stream = _streams(detector)
    run: _Run | None = None
    with limited(threads):
        for batch, values in scored(detector, todo):
            if run is None or run.ended:
                step = run.step if run and run.series == batch.series else None
                run = _Run(new_stream(), batch.series, batch.first, step)
            yield run.push(batch, values)


@dataclass
class _Counts:
    """What went through."""

    bars: int = 0
    series: int = 0
    runs: int = 0
    spans: int = 0

    def watch(self, todo: Iterable[Batch]) -> Iterator[Batch]:
        last = None
        for batch in todo:
            self.bars += len(batch)
            self.runs += batch.ends
            self.series += batch.series != last
            last = batch.series
            yield batch

    def as_dict(self) -> dict[str, int]:
        return {"bars": self.bars, "series": self.series, "runs": self.runs, "spans": self.spans}


@dataclass
class _Run:
    """A gap-free run on its way through a stream, and the times of the bars in it.

    ``step`` is the shortest time between two bars of the series so far: so long after a run's last
    bar no other has opened.
    """

    stream: Stream
    series: str
    first: int
    step: np.timedelta64 | None
    ended: bool = False
    _kept: int = 0  # bar of the first of the times that are kept
    _time: NDArray[np.datetime64] | None = None

    def push(self, batch: Batch, values: NDArray[np.float32]) -> SeriesSpans:
        """Take the scores of the next bars."""
        found = self.stream.push(values, ends=batch.ends)
        self.ended = batch.ends
        if batch.time is None:
            return SeriesSpans(self.series, self.first, found, None, None)
        time = batch.time if self._time is None else np.concatenate([self._time, batch.time])
        if len(time) > 1:
            step = np.diff(time).min()
            self.step = step if self.step is None else min(step, self.step)
        end = time[-1] + (np.timedelta64(1, "ns") if self.step is None else self.step)
        known = np.append(time, end)  # (n + 1,) no span stops there unless the run does
        edges = [known[x - self._kept] for x in (found.start, found.stop)]
        first = min(self.stream.settled, self._kept + len(time) - 1)
        self._time, self._kept = time[first - self._kept :], first
        return SeriesSpans(self.series, self.first, found, *edges)


def _streams(detector: SpanDetector) -> Callable[[], Stream]:
    """Return what makes the stream of a run."""
    reader = detector.reader_
    if isinstance(reader, MatchReader):
        length = reader.series_length(detector.ensemble_)
        return partial(ChainStream, length, reader.longest, reader.threshold)
    return partial(BarStream, cast(BarReader, reader).decoder)
