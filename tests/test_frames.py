"""Frames of pandas, polars and pyarrow read as files do."""

import datetime as dt

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from proxytools import io
from proxytools.errors import InputError
from proxytools.types import SpanDataset, Spans, Windows

KINDS = ["pandas", "polars", "pyarrow"]


def as_kind(kind, table):
    if kind == "pandas":
        return table.to_pandas()
    if kind == "polars":
        return pytest.importorskip("polars").from_arrow(table)
    return table


def same(a, b):
    for name in ("ohlc", "ids", "parent", "series", "offset", "time"):
        want, got = getattr(a.windows, name), getattr(b.windows, name)
        assert (want is None) == (got is None), name
        if want is not None:
            np.testing.assert_array_equal(got, want)
    for name in ("window", "start", "stop", "label", "score", "n_windows"):
        np.testing.assert_array_equal(getattr(a.spans, name), getattr(b.spans, name))
    np.testing.assert_array_equal(a.labelled, b.labelled)


def marked(several):
    """Two labelled windows, one of them without a span, and one unlabelled."""
    rng = np.random.default_rng(3)
    body = rng.normal(size=(3, 6, 2))
    ohlc = np.stack([body[..., 0], body.max(-1) + 1, body.min(-1) - 1, body[..., 1]], -1)
    start = np.datetime64("2024-03-01T09:30", "ns") + np.arange(18).reshape(3, 6) * 60_000_000_000
    windows = Windows(
        ohlc,
        np.array(["a", "b", "c"]),
        parent=np.array(["p", "", "p"]),
        series=np.array(["ES", "ES", "NQ"]),
        offset=np.array([0, 6, 2]),
        time=start.astype("datetime64[ns]"),
    )
    spans = Spans.of([[(0, 2), (2, 6)] if several else [(1, 4)], [], []])
    return SpanDataset(windows, spans, np.array([True, True, False]))


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_windows_from_a_frame_are_those_of_the_file(kind, several, tmp_path):
    path, data = tmp_path / "w.parquet", marked(several)
    io.write(path, data)
    frame = as_kind(kind, pq.read_table(path))
    # pandas forgets the zone of times in lists
    same(data, io.from_frame(frame, zone="UTC" if kind == "pandas" else None))


@pytest.mark.parametrize("kind", KINDS)
def test_long_bars_from_a_frame_are_those_of_the_file(kind, tmp_path):
    n = 40
    walk = np.cumsum(np.random.default_rng(0).normal(size=n))
    times = pd.date_range("2024-01-31T23:50Z", periods=n, freq="1min")
    table = pa.table(
        {
            "series_id": ["ES"] * 25 + ["NQ"] * 15,
            "timestamp": pa.array(times),
            **dict.fromkeys(("open", "high", "low", "close"), walk),
        }
    )
    spans = pa.table({"series_id": ["ES"], "start": [3], "end": [9], "label": ["up"]})
    pq.write_table(table, tmp_path / "bars.parquet")
    pq.write_table(spans, tmp_path / "spans.parquet")
    want = io.read(tmp_path / "bars.parquet", spans=tmp_path / "spans.parquet", bars=5, stride=3)
    got = io.from_frame(as_kind(kind, table), spans=as_kind(kind, spans), bars=5, stride=3)
    same(want, got)
    assert got.classes == ("up",)
    assert got.spans.count[:4].tolist() == [1, 1, 1, 0]


def test_the_index_of_a_pandas_frame_is_a_column():
    index = pd.DatetimeIndex([dt.datetime(2024, 1, 1, 9, m) for m in range(4)], name="timestamp")
    bars = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), 1.0), index=index)
    data = io.from_frame(bars, bars=2, zone="America/New_York", name="ES")
    assert data.windows.ids.tolist() == ["ES:0", "ES:2"]
    assert str(data.windows.time[0, 0]) == "2024-01-01T14:00:00.000000000"


def test_category_columns_are_names():
    polars = pytest.importorskip("polars")
    price = {key: [1.0, 1.0] for key in ("open", "high", "low", "close")}
    bars = polars.DataFrame({"series_id": ["a", "b"], "t": [0, 0], **price})
    bars = bars.with_columns(polars.col("series_id").cast(polars.Categorical))
    assert io.from_frame(bars, bars=1).windows.ids.tolist() == ["a:0", "b:0"]


@pytest.mark.parametrize(
    ("frame", "got"),
    [
        ({"open": [1.0]}, "got a dict, expected a frame of pandas, polars or pyarrow"),
        (pd.DataFrame({"open": [1.0, "x"]}), "got a column that Arrow cannot hold"),
        (pd.DataFrame({"t": [0.0], "open": [1.0], "high": [2.0], "low": [3.0], "close": [1.0]}),
         "ES, row 0, column high: got 2.0, expected at least the low 3.0"),
        (pd.DataFrame({"t": [], "open": [], "high": [], "low": [], "close": []}), "got no rows"),
        (pa.table([[1], [2]], names=["t", "t"]), "got 2 columns t"),
    ],
)  # fmt: skip
def test_a_bad_frame_is_refused_in_a_sentence(frame, got):
    with pytest.raises(InputError, match=got) as refusal:
        io.from_frame(frame, bars=1, name="ES")
    assert str(refusal.value).startswith("ES")
