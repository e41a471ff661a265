"""Windows of a file that nobody marked and no model learnt from, some at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from proxytools import io, splits
from proxytools.errors import InputError
from proxytools.io.table import open_table
from proxytools.proxies.store import Model
from proxytools.types import Windows

AT_ONCE = 256  # windows handed out together
Track = Callable[[Iterable[Any], int | None], Iterable[Any]]


def unmarked(
    bars: Path, n_bars: int, zone: str | None, gap: str | None, track: Track
) -> Iterator[Windows]:
    """Windows nobody marked, some at a time."""
    if "features" in (table := open_table(bars)).names:
        data = io.read(bars, zone=zone)
        if data.n_bars != n_bars:
            raise InputError(
                str(bars),
                got=f"windows of {data.n_bars} bars",
                expected=f"{n_bars}, as the model learnt from",
            )
        unmarked = np.flatnonzero(~data.labelled)
        firsts = range(0, len(unmarked), AT_ONCE)
        parts = (data.windows.take(unmarked[first : first + AT_ONCE]) for first in firsts)
        yield from track(parts, len(unmarked))
        return
    total = None if table.is_csv else pq.read_metadata(bars).num_rows
    # Pieces end at multiples of the chunk, counted from their run's first bar: so do windows.
    for piece in track(io.stream(bars, chunk=AT_ONCE * n_bars, zone=zone, gap=gap), total):
        if len(piece) >= n_bars:
            yield _cut(piece, n_bars)


def _cut(piece: io.Piece, n_bars: int) -> Windows:
    """Cut a piece into windows, one after the other; a rest is left out."""
    n = len(piece) // n_bars
    offset = piece.offset + n_bars * np.arange(n)
    return Windows(
        piece.ohlc[: n * n_bars].reshape(n, n_bars, 4),
        np.array([f"{piece.series}:{first}" for first in offset]),
        series=np.full(n, piece.series),
        offset=offset,
        time=None if piece.time is None else piece.time[: n * n_bars].reshape(n, n_bars),
    )


def unseen(windows: Windows, models: Sequence[Model]) -> Windows:
    """Leave out what shares bars with those a model learnt from."""
    known = np.zeros(len(windows), bool)
    for model in models:
        known |= splits.shares_bars(windows.ohlc, model.seen)
    return windows.take(~known)


def joined(a: Windows, b: Windows) -> Windows:
    """Put windows of one file behind one another."""
    both: dict[str, Any] = {
        f.name: None
        if getattr(a, f.name) is None
        else np.concatenate([getattr(a, f.name), getattr(b, f.name)])
        for f in fields(a)
    }
    return Windows(**both)
