"""Files and frames to data sets and back; everything is validated here, once, at the door.

`read` recognises a file's format by its columns, `from_frame` does the same for a frame, `write`
keeps all of a data set, and `stream` reads long bars of any number in bounded memory. Bad input
raises `proxytools.errors.InputError`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from proxytools.errors import InputError
from proxytools.io.bars import Piece, stream
from proxytools.io.clock import Duration
from proxytools.io.cut import read_bars
from proxytools.io.join import with_unlabelled
from proxytools.io.table import Table, open_frame, open_table, sha256
from proxytools.io.windows import END, START, read_windows
from proxytools.io.write import write
from proxytools.types import OHLC, SpanDataset

__all__ = [
    "Duration",
    "Piece",
    "from_frame",
    "read",
    "read_bars",
    "sha256",
    "stream",
    "with_unlabelled",
    "write",
]

Path = str | os.PathLike[str]


def read(
    path: Path,
    *,
    spans: Path | None = None,
    labelled: Path | None = None,
    bars: int = 105,
    stride: int | None = None,
    zone: str | None = None,
    gap: Duration | None = None,
    bar_interval: Duration | None = None,
    classes: Sequence[str] | None = None,
) -> SpanDataset:
    r"""Read windows, or long bars cut into windows, with what is known of their spans.

    **Windows** (parquet, one row a window; any one length ``T``):

    ================== ==============================================================
    window_id          a name of its own
    features           ``T`` lists of open, high, low, close
    label              class of the window's span; null: nobody looked at the window
    expansion_start    first bar of the span; null, NaN or -1: labelled, no span
    expansion_end      its last bar, inclusive
    base_window_id     optional: the window it was made from
    timestamp          optional: opening time of each bar (a list), or of the first
    series_id, offset  optional: where its first bar stands
    ================== ==============================================================

    Several spans a window: ``expansion_start``, ``expansion_end`` and ``label`` hold lists (one
    ``label`` may serve all of a window's spans). Without all three every window is unlabelled.

    **Long bars** (parquet or CSV, one row a bar, see `stream`): each gap-free run is cut into
    windows from its first bar on; what is left over at its end, shorter than a window, is in none.
    ``spans`` lists marked ranges (``series_id``, ``start``, ``end``, optional ``label``) and
    ``labelled`` the ranges that were looked at (``series_id``, ``start``, ``end``), half-open, as
    bar indices in their series or as timestamps. A span cut by a window's edge is clipped to it. A
    window is labelled if it lies in looked-at bars from end to end; without ``labelled``, if it
    has a span. Windows that are not labelled have no spans.

    Prices are finite, with open and close from low to high; zero and negative ones are legal, and
    so is a bar without a range. Times are UTC in what is returned.

    Parameters
    ----------
    path, spans, labelled : path
    bars, stride : int
        Length of the windows cut from long bars, and the step from one to the next (by default
        their length).
    zone : str, optional
        Zone of naive timestamps, for example "America/New_York".
    gap : duration, optional
        A longer interval is a gap; by default 1.5 times the series' median interval.
    bar_interval : duration, optional
        Time from bar to bar, where windows state the opening time of their first bar alone.
    classes : sequence of str, optional
        The classes a saved model knows; any other is refused.

    Returns
    -------
    SpanDataset

    Raises
    ------
    InputError
        One clear sentence: file, row or window, column, what was got, what was expected.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     bars, spans = pathlib.Path(folder, "es.csv"), pathlib.Path(folder, "spans.csv")
    ...     rows = [f"{t},1,2,0,1" for t in (0, 1, 2, 3, 9, 10)]  # a gap from 3 to 9 seconds
    ...     _ = bars.write_text("\n".join(["t,open,high,low,close", *rows]))
    ...     _ = spans.write_text("start,end\n1,4\n")
    ...     data = read(bars, spans=spans, bars=2)
    >>> data.windows.ids.tolist()
    ['es:0', 'es:2', 'es:4']
    >>> data.mask
    array([[0, 1],
           [1, 1],
           [0, 0]], dtype=uint8)
    """
    return _read(
        open_table(path),
        {"spans": spans, "labelled": labelled},
        {"bars": bars, "stride": stride, "gap": gap},
        zone=zone,
        bar_interval=bar_interval,
        classes=classes,
    )


def from_frame(
    frame: Any,
    *,
    spans: Any = None,
    labelled: Any = None,
    bars: int = 105,
    stride: int | None = None,
    zone: str | None = None,
    gap: Duration | None = None,
    bar_interval: Duration | None = None,
    classes: Sequence[str] | None = None,
    name: str = "frame",
) -> SpanDataset:
    """Read windows or long bars from a frame of pandas, polars or pyarrow, as `read` from a file.

    Any object with ``__arrow_c_stream__`` will do. The index of a pandas frame is a column if it
    has a name.

    Parameters
    ----------
    frame : frame
        The columns that `read` describes.
    spans, labelled : frame or path, optional
        Marks of long bars, and what was looked at.
    bars, stride, zone, gap, bar_interval, classes
        As in `read`.
    name : str
        What errors call the frame; the series, where long bars name none.

    Raises
    ------
    InputError
        As in `read`; the frame holds something else than it should.

    Examples
    --------
    >>> import pandas as pd
    >>> bars = pd.DataFrame({"t": range(4), "open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5})
    >>> data = from_frame(bars, spans=pd.DataFrame({"start": [1], "end": [3]}), bars=2, name="ES")
    >>> data.windows.ids.tolist(), data.mask.tolist()
    (['ES:0', 'ES:2'], [[0, 1], [1, 0]])
    """
    return _read(
        open_frame(frame, name),
        {"spans": _opened(spans, "spans"), "labelled": _opened(labelled, "labelled")},
        {"bars": bars, "stride": stride, "gap": gap},
        zone=zone,
        bar_interval=bar_interval,
        classes=classes,
    )


def _opened(marks: Any, name: str) -> Any:
    is_path = marks is None or isinstance(marks, str | os.PathLike)
    return marks if is_path else open_frame(marks, name)


def _read(
    table: Table,
    marks: dict[str, Any],
    cutting: dict[str, Any],
    *,
    zone: str | None,
    bar_interval: Duration | None,
    classes: Sequence[str] | None,
) -> SpanDataset:
    columns = {name.lower() for name in table.names}
    if len(columns.intersection(OHLC)) > len(columns & {"window_id", "features", START, END}):
        return read_bars(table, zone=zone, classes=classes, **marks, **cutting)
    for name, given in marks.items():
        if given is not None:
            raise InputError(
                str(table.path),
                got=f"windows and a file of {name}",
                expected=f"long bars for {name}",
            )
    return read_windows(table, zone=zone, bar_interval=bar_interval, classes=classes)
