"""Soft labels for any number of unlabelled bars, in bounded memory.

Bars are scored in windows of the training length with a stride of a third of it; each bar takes
the probability of its most central window (the earlier one where two are equally central). A run
of bars without a time gap that is shorter than a window is one shorter window. Windows are scored
in batches counted from the start of their run, so the result is the same to the bit however the
bars arrive, and however often the job was interrupted.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from proxytools import features, io, rundir
from proxytools.errors import InputError
from proxytools.proxies.store import Model
from proxytools.types import Int

WINDOWS_A_BATCH = 256
BATCHES_A_PART = 64


@dataclass(frozen=True, eq=False)
class Batch:
    """Windows to score together, and the bars that each of them is asked for.

    Attributes
    ----------
    ohlc : (B, T, 4) float64
    window, bar : (n,) int64
        Where in the batch each wanted bar lies, in the order of the series.
    series : str
    first : int
        Index in its series of the first wanted bar; the others follow one by one.
    time : (n,) datetime64[ns] or None
        When the wanted bars open, UTC.
    """

    ohlc: NDArray[np.float64]
    window: Int
    bar: Int
    series: str
    first: int
    time: NDArray[np.datetime64] | None


def batches(pieces: Iterable[io.Piece], n_bars: int) -> Iterator[Batch]:
    """Cut gap-free runs of bars, given piece by piece, into batches of overlapping windows."""
    stride = max(1, n_bars // 3)
    step = WINDOWS_A_BATCH * stride
    run: _Run | None = None
    for piece in pieces:
        run = _Run.of(piece) if piece.first or run is None else run.extended(piece)
        # One window more than a batch must be whole: it ends the last window's share of bars.
        while len(run.ohlc) >= run.done + step + n_bars:
            starts = run.done + stride * np.arange(WINDOWS_A_BATCH)
            last = int(starts[-1])
            yield run.batch(starts, n_bars, stop=int(_share(last, last + stride, n_bars)))
            run = run.advanced(step, n_bars)
        if piece.last:
            yield from run.rest(n_bars, stride)
            run = None


Place = TypeVar("Place", int, Int)


def _share(start: Place, following: Place, n_bars: int) -> Place:
    """First bar that is more central in the following window than in the one at ``start``."""
    return (start + following + n_bars - 1) // 2 + 1


@dataclass(frozen=True, eq=False)
class _Run:
    """The bars of a gap-free run that are still needed, counted from the first kept one.

    ``done`` is where the next window starts, ``asked`` the first bar that no window has answered.
    """

    ohlc: NDArray[np.float64]  # (n, 4)
    time: NDArray[np.datetime64] | None  # (n,)
    series: str
    offset: int
    done: int
    asked: int

    @classmethod
    def of(cls, piece: io.Piece) -> _Run:
        return cls(piece.ohlc, piece.time, piece.series, piece.offset, 0, 0)

    def extended(self, piece: io.Piece) -> _Run:
        time = None
        if self.time is not None and piece.time is not None:
            time = np.concatenate([self.time, piece.time])
        ohlc = np.concatenate([self.ohlc, piece.ohlc])
        return _Run(ohlc, time, self.series, self.offset, self.done, self.asked)

    def advanced(self, step: int, n_bars: int) -> _Run:
        """Forget the bars before the next window, except those nobody has answered yet."""
        following = self.done + step
        asked = _share(following - step // WINDOWS_A_BATCH, following, n_bars)
        drop = min(following, asked)
        return _Run(
            self.ohlc[drop:],
            None if self.time is None else self.time[drop:],
            self.series,
            self.offset + drop,
            following - drop,
            asked - drop,
        )

    def rest(self, n_bars: int, stride: int) -> Iterator[Batch]:
        """Windows at the end of the run: the last one ends with its last bar."""
        n = len(self.ohlc)
        if n < n_bars:  # the whole run is shorter than a window
            yield self.batch(np.zeros(1, np.int64), n, stop=n)
            return
        starts = np.arange(self.done, n - n_bars + 1, stride)
        if not len(starts) or starts[-1] != n - n_bars:
            starts = np.append(starts, n - n_bars)
        yield self.batch(starts, n_bars, stop=n)

    def batch(self, starts: Int, n_bars: int, *, stop: int) -> Batch:
        """Build the batch of windows at ``starts``, asked for all bars up to ``stop``."""
        shares = _share(starts[:-1], starts[1:], n_bars)  # (B - 1,)
        wanted = np.arange(self.asked, stop)
        window = np.searchsorted(shares, wanted, side="right")
        return Batch(
            self.ohlc[starts[:, None] + np.arange(n_bars)],
            window,
            wanted - starts[window],
            self.series,
            self.offset + self.asked,
            None if self.time is None else self.time[self.asked : stop],
        )


def score(model: Model, batch: Batch) -> NDArray[np.float32]:
    """(n,) probability of every bar a batch is asked for."""
    own = features.compute(batch.ohlc, model.proxy.feature_set)  # (B, T, F)
    if not model.proxy.per_bar:
        prob: NDArray[np.float32] = model.proxy.predict(own)[batch.window, batch.bar]
        return prob
    wanted = own.values[batch.window, batch.bar]  # (n, F): a third of all bars
    own = replace(own, values=wanted[None])  # (1, n, F)
    return model.proxy.predict(own)[0]


def label(
    model: Model,
    bars: Path,
    out: Path,
    *,
    source: str = "",
    zone: str | None = None,
    gap: str | None = None,
    chunk: int = 262_144,
) -> int:
    """Write the soft labels of a file of bars, and return how many bars it holds.

    The result is parquet with columns ``series_id``, ``bar`` (index in the series), ``timestamp``
    (UTC, where the bars have one) and ``prob``; its metadata names the proxy and its look-ahead.
    Finished parts wait in a hidden directory beside ``out``, so an interrupted job goes on where
    it stopped when it is called again with the same model and bars; ``out`` itself appears whole.

    Parameters
    ----------
    model : Model
    bars : Path
        Long bars, parquet or CSV.
    out : Path
        Must not exist.
    source : str
        Fingerprint of the model, to know an interrupted job again.
    zone, gap : str, optional
        As in `proxytools.io.read`.
    chunk : int
        Bars read at a time; has no influence on the result.

    Raises
    ------
    InputError
        Bad bars, ``out`` exists, or another process is writing it.
    """
    if out.exists():
        raise InputError(
            str(out), got="an existing file", expected="a new one", fix="Choose another --out"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    job: dict[str, object] = {
        "bars": io.sha256(bars),
        "model": source,
        "zone": zone,
        "gap": gap,
        "format": 1,
    }
    parts = out.parent / f".{out.name}.parts"
    pieces = io.stream(bars, chunk=chunk, zone=zone, gap=gap)
    with rundir.held(parts):
        done = _resume(parts, job)
        _score_parts(model, batches(pieces, model.n_bars), parts, done)
        n_bars = _join(sorted(parts.glob("*.parquet")), out)
        shutil.rmtree(parts)
    return n_bars


def _resume(parts: Path, job: dict[str, object]) -> int:
    """Count the batches that an interrupted job of the same kind has finished."""
    record = parts / "job.json"
    if not record.exists() or json.loads(record.read_text()) != job:
        rundir.clear(parts)
        _replace(record, lambda path: path.write_text(json.dumps(job)))
    for unfinished in parts.glob("*.tmp"):
        unfinished.unlink()
    return len(list(parts.glob("*.parquet"))) * BATCHES_A_PART


def _score_parts(model: Model, todo: Iterator[Batch], parts: Path, done: int) -> None:
    """Score the batches after the first ``done``, a file for every `BATCHES_A_PART` of them."""
    waiting: list[pa.Table] = []
    number = done // BATCHES_A_PART
    for index, batch in enumerate(todo):
        if index < done:
            continue
        waiting.append(_table(model, batch))
        if len(waiting) == BATCHES_A_PART:
            _write_part(parts, number, waiting)
            number, waiting = number + 1, []
    if waiting:
        _write_part(parts, number, waiting)


def _write_part(parts: Path, number: int, tables: list[pa.Table]) -> None:
    table = pa.concat_tables(tables)
    _replace(parts / f"{number:09d}.parquet", lambda path: pq.write_table(table, path))


def _table(model: Model, batch: Batch) -> pa.Table:
    n = len(batch.bar)
    columns = {
        "series_id": pa.repeat(pa.scalar(batch.series), n),
        "bar": batch.first + np.arange(n),
        "prob": score(model, batch),
    }
    if batch.time is not None:
        columns["timestamp"] = pa.array(batch.time, pa.timestamp("ns", "UTC"))
    about = {"source": model.proxy.name, "lookahead_bars": str(model.lookahead_bars)}
    return pa.table(columns).replace_schema_metadata(about)


def _join(parts: list[Path], out: Path) -> int:
    """Write the parts to one file, a row group each."""
    temporary = out.parent / f".{out.name}.tmp"
    try:
        with pq.ParquetWriter(temporary, pq.read_schema(parts[0])) as writer:
            for part in parts:
                writer.write_table(pq.read_table(part))
        n_bars = pq.read_metadata(temporary).num_rows
        os.replace(temporary, out)
    finally:
        temporary.unlink(missing_ok=True)
    return int(n_bars)


def _replace(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file, then give it its name."""
    temporary = path.with_suffix(".tmp")
    write(temporary)
    os.replace(temporary, path)
