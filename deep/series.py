"""Spans of long series: overlapping windows, scores stitched, spans read off each gap-free run.

Every bar takes the scores of the window in which it lies most centrally; over the stitched scores
of a run goes what is read off a window elsewhere. Bars, windows and scores are held for a moment
only, so ten million bars take the memory of a hundred thousand.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from deep.detector import SpanDetector
from deep.device import limited
from deep.lengths import LengthScores
from deep.newfile import new_file
from deep.reading import BarReader, MatchReader
from deep.streaming import BarStream, ChainStream, Found, Stream
from proxytools import features, io
from proxytools.io.table import open_table
from proxytools.label import Batch, batches
from proxytools.proxies.store import Model

MARGIN = 1 / 5  # of a window; nearer to its edges its scores are worse
WINDOWS = 128  # scored at once: more leave the cache
COLUMNS = ("series_id", "start", "end", "score", "length")

Scores = NDArray[np.float32]
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


def windows(model: Model, pieces: Iterable[io.Piece]) -> Iterator[Batch]:
    """Cut bars into windows of the training length; all but a margin of each is asked for."""
    margin = int(model.n_bars * MARGIN)
    return batches(pieces, model.n_bars, stride=max(1, model.n_bars - 2 * margin))


def spans(model: Model, todo: Iterable[Batch], threads: int = 0) -> Iterator[SeriesSpans]:
    """Spans of each gap-free run, as they are found.

    Each span comes once, and none crosses a gap. Batches are scored beside one another, a thread
    each: an LSTM's steps are too small to share.

    Parameters
    ----------
    model : Model
        Of a `SpanDetector`.
    todo : iterable of Batch
        From `windows`.
    threads : int
        Of the CPU; 0 for all.
    """
    detector = cast(SpanDetector, model.proxy)
    new_stream = _streams(detector)
    run: _Run | None = None
    with limited(threads):
        for batch, values in _scored(detector, todo):
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

    def push(self, batch: Batch, values: Scores) -> SeriesSpans:
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
        length = LengthScores(*(x.detach().cpu() for x in detector.ensemble_.length()))
        return partial(ChainStream, length, reader.longest, reader.threshold)
    return partial(BarStream, cast(BarReader, reader).decoder)


def _scored(detector: SpanDetector, todo: Iterable[Batch]) -> Iterator[tuple[Batch, Scores]]:
    """Batches with the values (n, K) of the bars they are asked for, in order."""
    device = next(detector.ensemble_.parameters()).device
    workers = torch.get_num_threads() if device.type == "cpu" else 1
    torch.set_num_threads(1 if device.type == "cpu" else workers)  # `limited` takes it back
    waiting: deque[Future[list[Scores]]] = deque()
    groups: deque[list[Batch]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for group in _groups(todo):
            groups.append(group)
            waiting.append(pool.submit(_score, detector, group))
            if len(waiting) > 2 * workers:
                yield from zip(groups.popleft(), waiting.popleft().result(), strict=True)
        while waiting:
            yield from zip(groups.popleft(), waiting.popleft().result(), strict=True)


def _groups(todo: Iterable[Batch]) -> Iterator[list[Batch]]:
    """Batches that together fill a model: those of short runs are small."""
    group: list[Batch] = []
    for batch in todo:
        group.append(batch)
        if sum(len(other.ohlc) for other in group) >= WINDOWS:
            yield group
            group = []
    if group:
        yield group


def _score(detector: SpanDetector, group: list[Batch]) -> list[Scores]:
    """Values (n, K) of the bars that each batch is asked for; windows of one length together."""
    scored: list[Scores] = [np.empty((0, 0), np.float32)] * len(group)
    by_length: dict[int, list[int]] = {}
    for i, batch in enumerate(group):
        by_length.setdefault(batch.ohlc.shape[1], []).append(i)
    for places in by_length.values():
        values = _values(detector, np.concatenate([group[i].ohlc for i in places]))
        first = 0
        for i in places:
            scored[i] = values[first + group[i].window, group[i].bar]
            first += len(group[i].ohlc)
    return scored


@torch.inference_mode()
def _values(detector: SpanDetector, ohlc: NDArray[np.float64]) -> Scores:
    """(B, T, K) what spans are read off: the chain's scores, or probabilities (K = 1)."""
    model, reader = detector.ensemble_, detector.reader_
    device = next(model.parameters()).device
    own = features.compute(ohlc, detector.feature_set)  # (B, T, F)
    parts = torch.split(torch.from_numpy(own.values), WINDOWS)
    if isinstance(reader, MatchReader):
        made = [model(part.to(device)).numpy(force=True) for part in parts]
    else:
        made = [reader.prob(model, part.to(device))[..., None] for part in parts]
    return np.concatenate(made)
