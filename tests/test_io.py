from __future__ import annotations

import datetime as dt
import hashlib
import json
import os
import statistics
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxytools import io
from proxytools.errors import InputError
from proxytools.io import clock
from proxytools.types import SpanDataset, Spans, Windows
from tests import naive_io as naive

FLAT = [1.0, 1.0, 1.0, 1.0]
BAR = [1.0, 2.0, 0.0, 1.5]
HEADER = "timestamp,open,high,low,close"
few = settings(max_examples=40, deadline=None)


@pytest.fixture
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("io")


@pytest.fixture(autouse=True)
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)


# --- strategies ---


def sound_ohlc(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Prices around zero, some bars without a range."""
    prices = rng.normal(size=(*shape, 4))
    prices[rng.random(shape) < 0.2] = rng.normal()
    inner, high, low = prices[..., :2], prices.max(axis=-1), prices.min(axis=-1)
    return np.stack([inner[..., 0], high, low, inner[..., 1]], axis=-1)


@st.composite
def disjoint(draw, size: int, most: int = 3) -> list[tuple[int, int]]:
    """Spans inside [0, size), touching ones among them."""
    edges = sorted(draw(st.sets(st.integers(0, size), max_size=2 * most)))
    pairs = list(pairwise(edges))
    return [pair for pair in pairs if draw(st.booleans())]


name = st.text(st.characters(categories=["L", "N", "P", "Zs"]), min_size=1, max_size=6)


@st.composite
def datasets(draw) -> SpanDataset:
    n, t = draw(st.integers(1, 5)), draw(st.integers(1, 8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    labelled = np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    per_window = [draw(disjoint(t, draw(st.integers(1, 3)))) if seen else [] for seen in labelled]
    spans = Spans.of(per_window)
    classes = tuple(draw(st.lists(name, min_size=1, max_size=3, unique=True)))
    code = rng.integers(len(classes), size=len(spans))
    score = rng.random(len(spans)) if draw(st.booleans()) else None
    start = rng.integers(-(2**60), 2**60, (n, 1))
    texts = st.lists(name | st.just(""), min_size=n, max_size=n).map(np.array)
    windows = Windows(
        ohlc=sound_ohlc(rng, n, t),
        ids=np.array(draw(st.lists(name, min_size=n, max_size=n, unique=True))),
        parent=draw(st.none() | texts),
        series=draw(st.none() | texts),
        offset=rng.integers(0, 2**40, n) if draw(st.booleans()) else None,
        time=(start + rng.integers(1, 2**40, (n, t)).cumsum(axis=1)).view("datetime64[ns]")
        if draw(st.booleans())
        else None,
    )
    spans = Spans(spans.window, spans.start, spans.stop, n, code, score)
    return SpanDataset(windows, spans, labelled, classes)


@st.composite
def long_bars(draw):
    """Series as (ticks in seconds, ohlc) by name, with gaps."""
    names = draw(
        st.lists(st.sampled_from(["ES", "a:1", "a", "7"]), min_size=1, max_size=3, unique=True)
    )
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    series = {}
    for key in names:
        steps = draw(
            st.lists(
                st.sampled_from([60, 60, 60, 80, 90, 91, 600]),
                min_size=draw(st.integers(0, 9)),
                max_size=25,
            )
        )
        ticks = (np.cumsum([rng.integers(10**9), *steps])).tolist()
        series[key] = (ticks, sound_ohlc(rng, len(ticks)))
    return series


def save(series, path: str, clock_column: str = "timestamp") -> None:
    frame = pd.concat(
        pd.DataFrame(ohlc, columns=["open", "high", "low", "close"]).assign(
            series_id=key, volume=0.0, time=ticks
        )
        for key, (ticks, ohlc) in series.items()
    )
    if clock_column == "timestamp":
        frame["time"] = pd.to_datetime(frame["time"], unit="s", utc=True)
    frame = frame.rename(columns={"time": clock_column})
    if path.endswith(".csv"):
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path, index=False, row_group_size=7)


# --- windows ---


@few
@given(data=datasets())
def test_what_is_written_reads_back_the_same(data):
    io.write("w.parquet", data)
    back = io.read("w.parquet")
    for field in ("ohlc", "ids", "parent", "series", "offset", "time"):
        want, got = getattr(data.windows, field), getattr(back.windows, field)
        assert (want is None) == (got is None), field
        if want is not None:
            np.testing.assert_array_equal(got, want)
            assert got.dtype.kind == want.dtype.kind
    for field in ("window", "start", "stop", "label", "score", "n_windows"):
        np.testing.assert_array_equal(getattr(back.spans, field), getattr(data.spans, field))
    np.testing.assert_array_equal(back.labelled, data.labelled)
    assert back.labelled.dtype == bool
    assert back.classes == data.classes
    assert back.windows.ohlc.flags.writeable  # torch warns on arrays that are not
    assert os.listdir() == ["w.parquet"]


def old_file(path="old.parquet", **changes):
    """Three windows of two bars as the predecessor wrote them, with columns changed or dropped."""
    columns = {
        "window_id": ["w0", "w1", "w2"],
        "features": [[BAR, FLAT], [BAR, FLAT], [FLAT, FLAT]],
        "label": ["up", "down", "up"],
        "expansion_start": [0, 1, 0],
        "expansion_end": [0, 1, 1],
        **changes,
    }
    pd.DataFrame({k: v for k, v in columns.items() if v is not None}).to_parquet(path)
    return path


def test_the_old_format_is_read():
    data = io.read(old_file(base_window_id=["p", None, "p"]))
    np.testing.assert_array_equal(data.mask, [[1, 0], [0, 1], [1, 1]])
    assert data.classes == ("down", "up")
    assert data.spans.label.tolist() == [1, 0, 1]
    assert data.windows.parent.tolist() == ["p", "", "p"]
    assert data.labelled.all()
    np.testing.assert_array_equal(data.windows.ohlc[0], [BAR, FLAT])


@pytest.mark.parametrize("nothing", [-1, None, np.nan])
def test_a_window_may_have_no_span_or_no_label(nothing):
    data = io.read(
        old_file(
            label=["up", "quiet", None],
            expansion_start=[1, nothing, nothing],
            expansion_end=[1, nothing, nothing],
        )
    )
    assert data.spans.count.tolist() == [1, 0, 0]
    assert data.labelled.tolist() == [True, True, False]
    assert data.classes == ("up",)


def test_several_spans_stand_in_lists_and_may_share_a_label():
    marks = {"expansion_start": [[0, 1], [], None], "expansion_end": [[0, 1], [], None]}
    for label in (["up", "", None], [["up", "up"], [], None]):
        data = io.read(old_file(**marks, label=label))
        assert data.spans.count.tolist() == [2, 0, 0]
        assert data.labelled.tolist() == [True, True, False]
        assert data.spans.stop.tolist() == [1, 2]  # touching spans stay distinct


def test_windows_without_marks_are_unlabelled():
    data = io.read(old_file(label=None, expansion_start=None, expansion_end=None))
    assert not data.labelled.any()
    assert len(data.spans) == 0


def test_known_classes_number_the_spans():
    data = io.read(old_file(), classes=["up", "flat", "down"])
    assert data.classes == ("up", "flat", "down")
    assert data.spans.label.tolist() == [0, 2, 0]


def test_one_time_a_window_needs_the_interval():
    path = old_file(timestamp=["2024-01-01", "2024-01-02", "2024-01-03"])
    data = io.read(path, zone="UTC", bar_interval="90s")
    assert data.windows.time[1].astype("datetime64[s]").astype(str).tolist() == [
        "2024-01-02T00:00:00",
        "2024-01-02T00:01:30",
    ]


def test_a_failed_write_leaves_the_old_file(monkeypatch):
    data = io.read(old_file())
    io.write("w.parquet", data)
    before = io.sha256("w.parquet")

    def break_off(table, path, **_):
        Path(path).write_bytes(b"PAR1 half")
        raise KeyboardInterrupt

    monkeypatch.setattr(pq, "write_table", break_off)
    with pytest.raises(KeyboardInterrupt):
        io.write("w.parquet", data)
    assert sorted(os.listdir()) == ["old.parquet", "w.parquet"]
    assert io.sha256("w.parquet") == before


def test_one_span_a_window_is_written_as_the_predecessor_did():
    io.write("w.parquet", io.read(old_file()))
    frame = pd.read_parquet("w.parquet")
    assert frame["expansion_end"].tolist() == [0, 1, 1]
    assert frame["label"].tolist() == ["up", "down", "up"]
    assert np.stack(frame["features"][0]).shape == (2, 4)


# --- long bars ---


@few
@given(series=long_bars(), draw=st.data())
def test_long_bars_are_cut_as_the_slow_twin_cuts_them(series, draw):
    suffix = draw.draw(st.sampled_from(["csv", "parquet"]))
    column = draw.draw(st.sampled_from(["timestamp", "t"]))
    bars, stride = draw.draw(st.integers(1, 6)), draw.draw(st.integers(1, 7))
    save(series, f"bars.{suffix}", column)
    ranges = [
        (key, *pair) for key in series for pair in draw.draw(disjoint(len(series[key][0]), 3))
    ]
    keep = [draw.draw(st.booleans()) for _ in ranges]
    marks = [(*r, draw.draw(st.sampled_from("uv"))) for r, k in zip(ranges, keep, strict=True) if k]
    marks = draw.draw(st.permutations(marks))
    options = {}
    if marks:
        rows = pd.DataFrame(marks, columns=["series_id", "start", "end", "label"])
        if column == "timestamp" and draw.draw(st.booleans()):
            ends = {key: [*ticks, ticks[-1] + 1] for key, (ticks, _) in series.items()}
            for side in ("start", "end"):
                at = [ends[key][i] for key, i in zip(rows["series_id"], rows[side], strict=True)]
                rows[side] = pd.to_datetime(at, unit="s", utc=True)
            if any(len(series[key][0]) == 1 for key in rows["series_id"]):
                return  # one bar has no known length, so its end has no time
        rows.to_csv("spans.csv", index=False)
        options["spans"] = "spans.csv"
    if ranges and draw.draw(st.booleans()):
        looked = pd.DataFrame(ranges, columns=["series_id", "start", "end"])
        looked.to_csv("labelled.csv", index=False)
        options["labelled"] = "labelled.csv"

    wanted = naive.windows({key: ticks for key, (ticks, _) in series.items()}, bars, stride)
    if not wanted:
        with pytest.raises(InputError, match=f"no run of {bars} bars without a gap"):
            io.read(f"bars.{suffix}", bars=bars, stride=stride, **options)
        return
    data = io.read(f"bars.{suffix}", bars=bars, stride=stride, **options)
    assert list(zip(data.windows.series, data.windows.offset, strict=True)) == wanted
    assert len(set(data.windows.ids)) == len(wanted)
    for i, (key, offset) in enumerate(wanted):
        ticks, ohlc = series[key]
        np.testing.assert_array_equal(data.windows.ohlc[i], ohlc[offset : offset + bars])
        found = naive.inside((key, offset), bars, marks)
        if "labelled" in options:
            assert data.labelled[i] == naive.looked_at((key, offset), bars, ranges)
        else:
            assert data.labelled[i] == bool(found)
        one = data.spans.take([i])
        got = [
            (a, b, data.classes[c]) for a, b, c in zip(one.start, one.stop, one.label, strict=True)
        ]
        assert got == (found if data.labelled[i] else [])
        if column == "timestamp":
            assert (
                data.windows.time[i].astype("datetime64[s]").astype(int).tolist()
                == (ticks[offset : offset + bars])
            )
    assert (data.windows.time is None) == (column == "t")


@few
@given(series=long_bars(), chunk=st.integers(1, 9), batch=st.integers(1, 9))
def test_a_stream_gives_every_bar_once_in_pieces_of_its_runs(series, chunk, batch):
    save(series, "bars.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("proxytools.io.table.BATCH_ROWS", batch)
        pieces = list(io.stream("bars.parquet", chunk=chunk))
    assert list(dict.fromkeys(piece.series for piece in pieces)) == list(series)
    for key, (ticks, ohlc) in series.items():
        mine = [piece for piece in pieces if piece.series == key]
        np.testing.assert_array_equal(np.concatenate([p.ohlc for p in mine]), ohlc)
        time = np.concatenate([p.time for p in mine])
        assert time.astype("datetime64[s]").astype(int).tolist() == ticks
        # cut at multiples of chunk from each run's start, whatever the file's batches
        wanted = [
            (i, min(chunk, stop - i), i == start, i + chunk >= stop)
            for start, stop in naive.runs(ticks)
            for i in range(start, stop, chunk)
        ]
        assert [(p.offset, len(p), p.first, p.last) for p in mine] == wanted


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30))
def test_the_median_of_counts_is_the_median(steps):
    assert clock.median_interval(Counter(steps)) == statistics.median(steps)


def write_bars(path: str, *times: str, header: str = HEADER) -> str:
    Path(path).write_text("\n".join([header, *(f"{time},1,2,0,1.5" for time in times)]) + "\n")
    return path


def test_a_stated_gap_replaces_the_median_rule():
    path = write_bars("b.csv", "0", "1", "2", "5", "6", header=HEADER.replace("timestamp", "t"))
    assert len(io.read(path, bars=2)) == 2  # 0-1 and 5-6
    assert io.read(path, bars=5, gap="3s").windows.offset.tolist() == [0]
    for gap in (dt.timedelta(seconds=2.9), np.timedelta64(2900, "ms"), "2900ms"):
        assert io.read(path, bars=2, gap=gap).windows.offset.tolist() == [0, 3]


def test_zones():
    naive_file = write_bars("n.csv", "2024-07-01T09:30:00", "2024-07-01T09:31:00")
    aware_file = write_bars("a.csv", "2024-07-01 09:30:00-04:00", "2024-07-01 13:31:00Z")
    wanted = np.array(["2024-07-01T13:30", "2024-07-01T13:31"], "datetime64[ns]")
    got = io.read(naive_file, bars=2, zone="America/New_York").windows.time
    np.testing.assert_array_equal(got, [wanted])
    got = io.read(aware_file, bars=2, zone="Asia/Tokyo").windows.time  # what it says counts
    np.testing.assert_array_equal(got, [wanted])
    table = pa.table(
        {
            "timestamp": pa.array(
                wanted.astype("datetime64[us]"), pa.timestamp("us", "Asia/Tokyo")
            ),
            **{key: [1.0, 1.0] for key in ("open", "high", "low", "close")},
        }
    )
    pq.write_table(table, "tokyo.parquet")
    np.testing.assert_array_equal(io.read("tokyo.parquet", bars=2).windows.time, [wanted])


def test_one_series_needs_no_name_and_one_class_no_label():
    path = write_bars("es.csv", *(f"2024-07-01T09:{i}:00Z" for i in range(30, 36)))
    Path("spans.csv").write_text("start,end\n2024-07-01T09:31:30Z,2024-07-01T09:34:00Z\n")
    data = io.read(path, spans="spans.csv", bars=3, classes=["rally"])
    assert data.classes == ("rally",)
    assert data.windows.ids.tolist() == ["es:0", "es:3"]
    np.testing.assert_array_equal(data.mask, [[0, 0, 1], [1, 0, 0]])


def test_a_span_is_clipped_and_one_that_only_touches_a_window_is_not_in_it():
    path = write_bars("b.csv", *map(str, range(9)), header=HEADER.replace("timestamp", "t"))
    Path("spans.csv").write_text("start,end\n0,2\n2,3\n6,8\n")
    data = io.read(path, spans="spans.csv", bars=3)
    assert data.spans.window.tolist() == [0, 0, 2]
    assert data.spans.start.tolist() == [0, 2, 0]
    assert data.spans.stop.tolist() == [2, 3, 2]
    assert data.labelled.tolist() == [True, False, True]
    data = io.read(path, spans="spans.csv", bars=2, stride=1)
    np.testing.assert_array_equal(data.mask[:4], [[1, 1], [1, 1], [1, 0], [0, 0]])
    assert data.spans.count[:4].tolist() == [1, 2, 1, 0]


def test_labelled_alone_means_looked_at_and_nothing_found():
    path = write_bars("es.csv", *(f"2024-07-01T09:{i}:00Z" for i in range(30, 36)))
    Path("labelled.csv").write_text("start,end\n0,2\n2,4\n1,3\n")  # ranges may overlap
    data = io.read(path, labelled="labelled.csv", bars=2)
    assert data.labelled.tolist() == [True, True, False]
    assert len(data.spans) == 0


def test_symbol_names_the_series_too():
    write_bars("s.csv", "ES,0", "ES,1", "NQ,0", header="symbol,t,open,high,low,close")
    assert io.read("s.csv", bars=1).windows.ids.tolist() == ["ES:0", "ES:1", "NQ:0"]


def test_sha256_is_that_of_the_bytes():
    Path("x").write_bytes(b"abc")
    assert io.sha256("x") == hashlib.sha256(b"abc").hexdigest()


# --- bad input: the whole list ---


def bars(*rows: str, header: str = HEADER, **options):
    def call():
        Path("b.csv").write_text("\n".join([header, *rows]) + "\n")
        return io.read("b.csv", bars=1, **options)

    return call


def marked(spans: str = "", *, labelled: str = "", header: str = "series_id,start,end,label"):
    """Six bars of ES and two of NQ, with these rows of spans.csv and labelled.csv."""

    def call():
        rows = [f"ES,2024-07-01T09:3{i}:00Z,1,2,0,1" for i in range(6)]
        rows += [f"NQ,2024-07-01T09:3{i}:00Z,1,2,0,1" for i in range(2)]
        Path("b.csv").write_text("\n".join([f"series_id,{HEADER}", *rows]) + "\n")
        Path("spans.csv").write_text(f"{header}\n{spans}\n")
        Path("labelled.csv").write_text(f"series_id,start,end\n{labelled}\n")
        options = {"labelled": "labelled.csv"} if labelled else {}
        return io.read("b.csv", spans="spans.csv", bars=1, classes=["up", "down"], **options)

    return call


def old(classes=None, bar_interval=None, zone=None, **changes):
    def call():
        return io.read(old_file(**changes), classes=classes, bar_interval=bar_interval, zone=zone)

    return call


def with_price(column: int, value):
    """The old file with a price of bar 1 of window w1 changed."""
    bad = [BAR, list(BAR)]
    bad[1][column] = value
    return old(features=[[BAR, FLAT], bad, [FLAT, FLAT]])


def content(name: str, data: bytes):
    def call():
        Path(name).write_bytes(data)
        return io.read(name, bars=1)

    return call


def nan_in_parquet():
    data = io.read(old_file())
    data.windows.ohlc[1, 1, 1] = np.nan
    io.write("old.parquet", data)
    return io.read("old.parquet")


def no_bars():
    table = pq.read_table(old_file())
    empty = pa.array([[]] * 3, pa.list_(pa.list_(pa.float64())))
    pq.write_table(table.set_column(1, "features", empty), "none.parquet")
    return io.read("none.parquet")


def truncated():
    whole = Path(old_file()).read_bytes()
    return content("half.parquet", whole[: len(whole) // 2])()


def corrupt():
    io.write(
        "w.parquet",
        SpanDataset(
            Windows(np.ones((50, 50, 4)), np.arange(50).astype(str)),
            Spans.of([[]] * 50),
            np.zeros(50, bool),
        ),
    )
    whole = bytearray(Path("w.parquet").read_bytes())
    whole[100:400] = b"\0" * 300
    return content("w.parquet", bytes(whole))()


def directory():
    Path("d.parquet").mkdir()
    return io.read("d.parquet")


def near_file():
    old_file("windows.parquet")
    return io.read("windws.parquet")


def newer_format():
    table = pq.read_table(old_file())
    note = json.dumps({"format": 99, "classes": []}).encode()
    pq.write_table(table.replace_schema_metadata({b"proxytools": note}), "new.parquet")
    return io.read("new.parquet")


def broken_note():
    pq.write_table(pq.read_table(old_file()).replace_schema_metadata({b"proxytools": b"["}), "n.pq")
    return io.read("n.pq")


T0, T1, T2 = (f"2024-07-01T09:3{i}:00Z" for i in range(3))
GOOD0, GOOD1 = f"{T0},1,2,0,1", f"{T1},1,2,0,1"
S = f"series_id,{HEADER}"
W1 = "old.parquet, window 'w1' (row 1)"
LIST_MARKS = {"expansion_start": [[0], [1], []], "expansion_end": [[0], [1], []]}

BAD = {
    # prices
    "nan": (bars(GOOD0, f"{T1},1,nan,0,1"), "b.csv, line 3, column high", "nan", "finite price"),
    "inf": (bars(f"{T0},1,inf,0,1"), "b.csv, line 2, column high", "inf", "finite"),
    "minus inf": (bars(f"{T0},1,2,-inf,1"), "b.csv, line 2, column low", "-inf", "finite"),
    "missing": (bars(GOOD0, f"{T1},1,2,0,"), "b.csv, line 3, column close", "a missing value"),
    "text": (
        bars(GOOD0, f"{T1},1,2,0,x1"),
        "b.csv, line 3, column close",
        "'x1'",
        "a finite price",
    ),
    "high<low": (bars(f"{T0},1,0,2,1"), "line 2, column high", "got 0.0", "at least the low 2.0"),
    "open": (bars(f"{T0},3,2,0,1"), "line 2, column open", "got 3.0", "from the low 0.0 to the hi"),
    "close": (
        bars(f"{T0},1,2,0,-1"),
        "line 2, column close",
        "got -1.0",
        "low 0.0 to the high 2.0",
    ),
    "w nan": (nan_in_parquet, f"{W1}, column features, bar 1, column high", "got nan", "finite"),
    "w missing": (with_price(1, np.nan), f"{W1}, column features, bar 1", "a missing value"),
    "w high": (with_price(1, -9.0), f"{W1}, column features, bar 1, column high", "at least the"),
    "w open": (with_price(0, 9.0), f"{W1}, column features, bar 1, column open", "got 9.0"),
    "w null": (
        with_price(3, None),
        f"{W1}, column features, bar 1",
        "a missing value",
        "a finite price",
    ),
    "w text": (
        old(features=[[["1", "2", "0", "one"]] * 2] * 3),
        "window 'w0' (row 0), column features, bar 0",
        "'one'",
    ),
    # shape
    "short": (
        old(features=[[BAR, FLAT], [BAR], [FLAT, FLAT]]),
        f"{W1}, column features: got 1 bars, expected 2 bars",
    ),
    "no bars": (no_bars, "window 'w0' (row 0), column features: got 0 bars, expected 1 bars"),
    "3 prices": (
        old(features=[[BAR, FLAT], [BAR, BAR[:3]], [FLAT, FLAT]]),
        f"{W1}, column features, bar 1: got 3 prices, expected 4 prices",
    ),
    "null window": (old(features=[[BAR], None, [BAR]]), f"{W1}, column features", "missing value"),
    "flat list": (
        old(features=[BAR, BAR, BAR]),
        "window 'w0'",
        "list<",
        "each a list of 4 numbers",
    ),
    "not lists": (old(features=[1, 2, 3]), "column features", "the type int64", "a list of bars"),
    # spans of windows
    "outside": (old(expansion_end=[0, 2, 1]), f"{W1}, column expansion_end: got 2", "from 0 to 1"),
    "before": (old(expansion_start=[0, -2, 1]), f"{W1}, column expansion_start: got -2", "0 to 1"),
    "end<start": (
        old(expansion_start=[1, 1, 1], expansion_end=[1, 0, 1]),
        f"{W1}, column expansion_end: got 0, expected at least the expansion_start 1",
    ),
    "overlap": (
        old(expansion_start=[[], [0, 1], []], expansion_end=[[], [1, 1], []], label=["", "up", ""]),
        f"{W1}: got the span 1 to 1, which overlaps 0 to 1",
    ),
    "half a span": (
        old(expansion_end=[0, None, 1]),
        f"{W1}, column expansion_end",
        "a missing value",
    ),
    "half a bar": (old(expansion_end=[0, 0.5, 1]), f"{W1}, column expansion_end", "0.5", "whole"),
    "uneven": (
        old(**{**LIST_MARKS, "expansion_end": [[0], [1, 1], []]}),
        f"{W1}, column expansion_end: got 2 values, expected 1 values",
    ),
    "mixed": (old(**{**LIST_MARKS, "expansion_start": [0, 1, 0]}), "got a list", "one value"),
    "no class": (old(label=["up", None, "up"]), f"{W1}, column label", "missing", "nobody looked"),
    "empty class": (old(label=["up", "", "up"]), f"{W1}, column label", "no class"),
    "class": (
        old(classes=["up", "dawn"]),
        f"{W1}, column label: got the unknown class 'down', expected one of up, dawn",
        "Did you mean dawn.",
    ),
    # names and columns
    "twice": (old(window_id=["a", "b", "a"]), "row 2, column window_id", "'a', as in row 0"),
    "null id": (old(window_id=["a", None, "c"]), "row 1, column window_id", "a missing value"),
    "blank id": (old(window_id=["a", "", "c"]), "row 1, column window_id", "an empty text"),
    "no features": (old(features=None), "old.parquet", "window_id, label", "a column features"),
    "near": (
        old(features=None, featurs=[[BAR]] * 3),
        "a column features",
        "Rename 'featurs' to features",
    ),
    "near optional": (old(base_windw_id=list("aab")), "Rename 'base_windw_id' to base_window_id"),
    "no end": (old(expansion_end=None), "expected a column expansion_end"),
    "near bars": (
        bars(GOOD0, header=HEADER.replace("close", "Close")),
        "a column close",
        "Rename 'Close'",
    ),
    "no time": (bars("1,2,0,1", header="open,high,low,close"), "b.csv", "a column timestamp"),
    "near series": (bars(f"a,{GOOD0}", header=f"seriesid,{HEADER}"), "Rename 'seriesid'"),
    "same name": (bars(f"{GOOD0},1", header=f"{HEADER},close"), "2 columns close", "one of each"),
    "null series": (
        bars(f"a,{GOOD0}", f",{GOOD1}", header=S),
        "line 3, column series_id",
        "missing",
    ),
    "back again": (
        bars(f"a,{GOOD0}", f"b,{GOOD0}", f"a,{GOOD1}", header=S),
        "b.csv, line 4, column series_id: got the series 'a' again",
        "Sort the file",
    ),
    # time
    "same time": (bars(GOOD0, GOOD1, GOOD1), "line 4, column timestamp", "time of the bar before"),
    "backwards": (bars(GOOD1, GOOD0), "line 3, column timestamp", "a time before the bar before"),
    "t backwards": (
        bars("5,1,2,0,1", "4,1,2,0,1", header=HEADER.replace("timestamp", "t")),
        "line 3",
    ),
    "t huge": (bars("1e12,1,2,0,1", header=HEADER.replace("timestamp", "t")), "1e+12", "below 9e9"),
    "naive": (
        bars("2024-07-01T09:30:00,1,2,0,1"),
        "b.csv, line 2, column timestamp: got 2024-07-01T09:30:00, which names no zone",
        "State the zone",
    ),
    "some naive": (bars(GOOD0, "2024-07-01T09:30:00,1,2,0,1"), "line 3, column timestamp", "UTC"),
    "no date": (bars("monday,1,2,0,1", zone="UTC"), "line 2, column timestamp", "'monday'"),
    "zone": (
        bars(GOOD0, zone="Europe/Lundon"),
        "zone: got 'Europe/Lundon'",
        "Did you mean Europe/London",
    ),
    "zone path": (bars(GOOD0, zone="../etc"), "zone: got '../etc'", "IANA"),
    "repeated hour": (
        bars("2017-10-29T00:30:00,1,2,0,1", "2017-10-29T01:30:00,1,2,0,1", zone="Europe/London"),
        "line 3, column timestamp",
        "ambiguous in timezone 'Europe/London'",
        "Convert",
    ),
    "number": (
        old(timestamp=[1, 2, 3], bar_interval="1min"),
        "got 1 (type int64)",
        "name the column t",
    ),
    "gap": (bars(GOOD0, gap="soon"), "gap: got 'soon'", "1min"),
    "gap 0": (bars(GOOD0, gap="0s"), "gap: got '0s'", "above 0"),
    "one time": (
        old(timestamp=[T0] * 3),
        "window 'w0'",
        "column timestamp",
        "bar interval of 1min",
    ),
    "times": (
        old(timestamp=[[T0, T1], [T0], [T0, T1]]),
        f"{W1}, column timestamp: got 1 times",
        "2 times",
    ),
    "w backwards": (
        old(timestamp=[[T0, T1], [T1, T0], [T0, T1]]),
        f"{W1}, column timestamp, bar 1",
        "before",
    ),
    # spans of bars
    "series": (
        marked("ESS,0,1,up"),
        "spans.csv, line 2, column series_id",
        "'ESS'",
        "ES, NQ",
        "mean ES",
    ),
    "no series": (marked("0,1,up", header="start,end,label"), "no column series_id", "2 series"),
    "past": (marked("ES,0,1,up\nNQ,1,3,up"), "spans.csv, line 3, column end: got 3", "from 0 to 2"),
    "minus": (marked("ES,-1,1,up"), "spans.csv, line 2, column start: got -1", "from 0 to 5"),
    "empty span": (
        marked("ES,1,1,up"),
        "spans.csv, line 2, column end: got 1",
        "more than the start",
    ),
    "bars overlap": (
        marked("ES,2,5,up\nNQ,0,1,up\nES,0,3,up"),
        "spans.csv, line 4: got the span 0 to 3, which overlaps 2 to 5",
    ),
    "late": (
        marked(f"ES,{T0},2024-07-01T10:30:00Z,up"),
        "spans.csv, line 2, column end",
        "10:30",
        "09:36",
    ),
    "early": (
        marked(f"ES,2024-07-01T09:29:59Z,{T1},up"),
        "spans.csv, line 2, column start",
        "09:30",
    ),
    "two kinds": (
        marked(f"ES,0,1,up\nES,{T1},3,up"),
        "spans.csv, line 3, column start",
        "one kind",
    ),
    "naive span": (marked("ES,2024-07-01T09:30:00,3,up"), "spans.csv, line 2", "names no zone"),
    "mark class": (marked("ES,0,1,upp"), "spans.csv, line 2, column label", "'upp'", "mean up."),
    "mark null": (marked("ES,,1,up"), "spans.csv, line 2, column start", "missing value"),
    "unseen": (
        marked("ES,0,3,up", labelled="ES,0,2"),
        "spans.csv, line 2",
        "outside the bars that",
    ),
    "no spans": (marked(), "spans.csv: got no rows, expected at least one row"),
    "mark column": (
        marked("ES,0,1,up", header="series_id,start,stop,label"),
        "a column end",
        "start, stop",
    ),
    "mark label": (
        marked("ES,0,1,up", header="series_id,start,end,lable"),
        "Rename 'lable' to label",
    ),
    # files
    "0 bytes": (content("x.csv", b""), "x.csv: got an empty file (0 bytes)"),
    "0 bytes parquet": (content("x.parquet", b""), "x.parquet: got an empty file (0 bytes)"),
    "0 rows": (bars(), "b.csv: got no rows, expected at least one row"),
    "0 windows": (
        old(window_id=[], features=[], label=[], expansion_start=[], expansion_end=[]),
        "old.parquet: got no rows",
    ),
    "truncated": (truncated, "half.parquet: got an unreadable file", "complete parquet"),
    "corrupt": (corrupt, "w.parquet: got an unreadable file"),
    "not parquet": (content("x.parquet", b"timestamp,open"), "x.parquet", "unreadable file"),
    "ragged": (bars(GOOD0, f"{T1},1,2"), "b.csv", "unreadable file", "Expected 5 columns, got 3"),
    "directory": (directory, "d.parquet: got a directory, expected a parquet or CSV file"),
    "missing file": (
        near_file,
        "windws.parquet: got no such file",
        "Did you mean windows.parquet.",
    ),
    "missing folder": (lambda: io.read("no/such.csv"), "no/such.csv: got no such file"),
    "newer": (
        newer_format,
        "new.parquet, metadata proxytools: got format 99",
        "at most 1",
        "Update",
    ),
    "note": (broken_note, "n.pq, metadata proxytools", "a format and classes"),
    "w csv": (content("w.csv", b"window_id,features\na,b\n"), "w.csv: got windows in a CSV file"),
    # arguments
    "w spans": (
        lambda: io.read(old_file(), spans="s.csv"),
        "windows and a file of spans",
        "long bars",
    ),
    "stride": (lambda: io.read(write_bars("b.csv", T0), stride=0), "stride: got 0"),
    "chunk": (lambda: io.stream(write_bars("b.csv", T0), chunk=0), "chunk: got 0"),
    "too few": (lambda: io.read(write_bars("b.csv", T0), bars=2), "b.csv: got no run of 2 bars"),
    "write folder": (
        lambda: io.write("no/w.parquet", io.read(old_file())),
        "a folder that does not exist",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_gets_one_clear_error(case):
    call, *wanted = BAD[case]
    with pytest.raises(InputError) as caught:
        call()
    for text in wanted:
        assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_stream_refuses_a_bad_clock_before_the_first_piece():
    path = write_bars("b.csv", T0, T2, T1)
    with pytest.raises(InputError, match="line 4, column timestamp"):
        io.stream(path)  # not yet iterated


def test_zero_and_negative_prices_and_flat_bars_are_legal():
    path = write_bars("b.csv", T0)
    Path(path).write_text(f"{HEADER}\n{T0},-3,-1,-37.63,-2\n{T1},0,0,0,0\n")
    assert io.read(path, bars=2).windows.ohlc[0, 0, 2] == -37.63


# --- real bars ---


@pytest.mark.parametrize("file", ["bars_1m_eurusd_2017h1.parquet", "bars_1m_lean.parquet"])
def test_real_bars(file):
    path = Path(os.environ.get("PROXYTOOLS_DATA", "absent"), file)
    if not path.exists():
        pytest.skip("PROXYTOOLS_DATA names no folder that holds the reference data")
    data = io.read(path)
    frame = pd.read_parquet(path)
    groups = frame.groupby("symbol", observed=True) if "symbol" in frame else [(path.stem, frame)]
    bars = {key: group.reset_index(drop=True) for key, group in groups}
    ticks = {key: [int(t.timestamp()) for t in group["timestamp"]] for key, group in bars.items()}
    found = list(zip(data.windows.series, data.windows.offset, strict=True))
    assert found == naive.windows(ticks, 105, 105)
    assert (np.diff(data.windows.time, axis=1) == np.timedelta64(1, "m")).all()
    key, offset = found[-1]
    last = bars[key].loc[offset : offset + 104, ["open", "high", "low", "close"]]
    np.testing.assert_array_equal(data.windows.ohlc[-1], last)
    assert not data.labelled.any()
