"""Write windows parquet, all of it or nothing."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from proxytools.errors import InputError
from proxytools.io.windows import END, FORMAT, KEY, START
from proxytools.types import Int, SpanDataset

ROW_GROUP_BARS = 2**20


def write(path: str | os.PathLike[str], data: SpanDataset) -> None:
    """Write windows parquet that `proxytools.io.read` returns unchanged.

    Where no window has more than one span this is the predecessor's format, one scalar a window in
    ``label``, ``expansion_start`` and ``expansion_end`` (inclusive); otherwise these hold lists. A
    null label means unlabelled; an empty one, or an empty list, means labelled and without a span.

    Raises
    ------
    InputError
        Where the folder does not exist, or the path is a directory.

    Examples
    --------
    >>> import tempfile
    >>> from proxytools import io
    >>> from proxytools.types import Int, SpanDataset, Spans, Windows
    >>> data = SpanDataset(
    ...     Windows(np.ones((3, 5, 4)), np.array(["a", "b", "c"])),
    ...     Spans.of([[(1, 3)], [], []]),
    ...     labelled=np.array([True, True, False]),
    ... )
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     io.write(f"{folder}/windows.parquet", data)
    ...     back = io.read(f"{folder}/windows.parquet")
    >>> back.spans.start, back.spans.stop, back.labelled
    (array([1]), array([3]), array([ True,  True, False]))
    """
    path = Path(path)
    if path.is_dir() or not path.parent.is_dir():
        raise InputError(
            str(path),
            got="a directory" if path.is_dir() else "a folder that does not exist",
            expected="a file in an existing folder",
        )
    windows = data.windows
    n_windows, n_bars = windows.ohlc.shape[:2]
    bar_edges = np.arange(n_windows + 1) * n_bars
    bars = _lists(np.arange(n_windows * n_bars + 1) * 4, np.ravel(windows.ohlc))
    columns = {
        "window_id": pa.array(windows.ids.tolist(), pa.string()),
        "features": _lists(bar_edges, bars),
        **_marks(data),
    }
    for name, origin in (("base_window_id", windows.parent), ("series_id", windows.series)):
        if origin is not None:
            columns[name] = pa.array([text or None for text in origin.tolist()], pa.string())
    if windows.offset is not None:
        columns["offset"] = pa.array(windows.offset)
    if windows.time is not None:
        time = pa.array(np.ravel(windows.time).astype("datetime64[ns]"))
        columns["timestamp"] = _lists(bar_edges, time.cast(pa.timestamp("ns", "UTC")))
    note = json.dumps({"format": FORMAT, "classes": list(data.classes)})
    table = pa.table(columns).replace_schema_metadata({KEY: note.encode()})

    half = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        rows = max(1, ROW_GROUP_BARS // n_bars)
        pq.write_table(table, half, row_group_size=rows, compression="zstd")
        os.replace(half, path)
    finally:
        half.unlink(missing_ok=True)


def _marks(data: SpanDataset) -> dict[str, Any]:
    """Label, first and last bar of the spans, in scalars where one a window is enough."""
    spans = data.spans
    flat = {
        "label": pa.array([data.classes[code] for code in spans.label.tolist()], pa.string()),
        START: pa.array(spans.start),
        END: pa.array(spans.stop - 1),
    }
    if (spans.score != 1).any():
        flat["score"] = pa.array(spans.score)
    if spans.count.max(initial=0) > 1:
        edges = np.concatenate([[0], np.cumsum(spans.count)])
        return {name: _lists(edges, values, ~data.labelled) for name, values in flat.items()}
    row = np.full(spans.n_windows, -1)
    row[spans.window] = np.arange(len(spans))
    rows = pa.array(row, mask=row < 0)
    columns = {name: values.take(rows) for name, values in flat.items()}
    columns["label"] = pc.if_else(data.labelled, columns["label"].fill_null(""), None)
    return columns


def _lists(edges: Int, values: Any, null: Any = None) -> Any:
    """Arrow lists of ``values`` between consecutive ``edges``."""
    mask = None if null is None else pa.array(null)
    return pa.ListArray.from_arrays(pa.array(edges, pa.int32()), values, mask=mask)
