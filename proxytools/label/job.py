"""A file of bars to a file of soft labels: resumed where it stopped, never half-written."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from proxytools import features, io, lock
from proxytools.errors import InputError
from proxytools.io.table import open_table
from proxytools.label.central import Batch, batches
from proxytools.proxies.store import Model

FORMAT = 1
BATCHES_A_PART = 16

Track = Callable[[Iterable[Batch], int | None], Iterable[Batch]]


def score(model: Model, batch: Batch) -> NDArray[np.float32]:
    """(n,) probability of every bar a batch is asked for."""
    own = features.compute(batch.ohlc, model.proxy.feature_set)  # (B, T, F)
    if not model.proxy.per_bar:
        return np.asarray(model.proxy.predict(own)[batch.window, batch.bar])
    wanted = own.values[batch.window, batch.bar]  # (n, F): a third of all bars
    return np.asarray(model.proxy.predict(replace(own, values=wanted[None]))[0])


def label(
    model: Model,
    bars: Path,
    out: Path,
    *,
    fingerprint: str = "",
    zone: str | None = None,
    gap: str | None = None,
    chunk: int = 65_536,
    track: Track = lambda todo, n_bars: todo,
) -> int:
    """Write the soft labels of a file of bars, and return how many bars it holds.

    The result is parquet with columns ``series_id``, ``bar`` (index in the series), ``timestamp``
    (UTC, where the bars have one) and ``prob``; its metadata names the proxy (``source``) and its
    ``lookahead_bars``. Finished parts wait in a hidden directory beside ``out``, so an interrupted
    job goes on where it stopped when it is called again with the same model and bars; ``out``
    itself appears whole.

    Parameters
    ----------
    model : Model
    bars : Path
        Long bars, parquet or CSV.
    out : Path
        Must not exist.
    fingerprint : str
        Tells this model from others, to know an interrupted job again; without it the job starts
        anew.
    zone, gap : str, optional
        As in `proxytools.io.read`.
    chunk : int
        Bars read at a time; has no influence on the result.
    track : callable, optional
        Wraps the batches as they are worked through, to show progress; it is also given the number
        of bars, where the file tells it. The length of a batch is its number of bars.

    Raises
    ------
    InputError
        Bad bars, ``out`` exists, or another process is writing it. Nothing is left behind.
    """
    _refuse_existing(out)
    pieces = io.stream(bars, chunk=chunk, zone=zone, gap=gap)
    n_bars = None if open_table(bars).is_csv else pq.read_metadata(bars).num_rows
    job = {
        "format": FORMAT,
        "model": fingerprint,
        "bars": io.sha256(bars),
        "name": bars.stem,  # of the series, where the bars name none
        "zone": zone,
        "gap": gap,
    }
    parts = out.parent / f".{out.name}.parts"
    with lock.held(parts):
        try:
            _refuse_existing(out)  # it may have been finished since
            done = _resume(parts, json.dumps(job), known=fingerprint != "")
            _score_parts(model, track(batches(pieces, model.n_bars), n_bars), parts, done)
            written = _join(parts, out)
        except InputError:
            shutil.rmtree(parts)
            raise
        shutil.rmtree(parts)
    return written


def _refuse_existing(out: Path) -> None:
    if os.path.lexists(out):
        raise InputError(
            str(out), got="an existing path", expected="a new file", fix="Choose another --out"
        )


def _resume(parts: Path, job: str, *, known: bool) -> int:
    """Count the batches that an interrupted job of the same kind has finished."""
    record = parts / "job.json"
    if not known or not record.exists() or record.read_text() != job:
        lock.clear(parts)
        _write(record, lambda path: path.write_text(job))
    for unfinished in parts.glob("*.tmp"):
        unfinished.unlink()
    return len(list(parts.glob("*.parquet"))) * BATCHES_A_PART


def _score_parts(model: Model, todo: Iterable[Batch], parts: Path, done: int) -> None:
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
    encoding = _encoding(table.schema)
    _write(parts / f"{number:09d}.parquet", lambda path: pq.write_table(table, path, **encoding))


def _encoding(schema: pa.Schema) -> dict[str, Any]:
    """Bars and times mostly grow by a constant: as differences they take next to no room."""
    growing = [name for name in schema.names if name in ("bar", "timestamp")]
    return {
        "use_dictionary": ["series_id"],
        "column_encoding": dict.fromkeys(growing, "DELTA_BINARY_PACKED"),
    }


def _table(model: Model, batch: Batch) -> pa.Table:
    columns = {
        "series_id": pa.repeat(batch.series, len(batch)),
        "bar": batch.first + np.arange(len(batch)),
    }
    if batch.time is not None:
        columns["timestamp"] = pa.array(batch.time, pa.timestamp("ns", "UTC"))
    columns["prob"] = score(model, batch)
    about = {"source": model.proxy.name, "lookahead_bars": str(model.lookahead_bars)}
    return pa.table(columns).replace_schema_metadata(about)


def _join(parts: Path, out: Path) -> int:
    """Write the parts to one file, and return how many bars it holds."""
    finished = sorted(parts.glob("*.parquet"))
    joined = parts / "joined.tmp"
    schema = pq.read_schema(finished[0])
    with pq.ParquetWriter(joined, schema, **_encoding(schema)) as writer:
        for part in finished:
            writer.write_table(pq.read_table(part))
    written = int(pq.read_metadata(joined).num_rows)
    os.replace(joined, out)
    return written


def _write(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file, then give it its name."""
    temporary = path.with_suffix(".tmp")
    write(temporary)
    os.replace(temporary, path)
