"""Marks out to other tools and back: nothing is lost, and what is wrong is refused."""

import csv
import io as text
import json
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.proxytools import cli
from proxytools import exchange, io
from proxytools.errors import InputError
from proxytools.exchange import detection, journal, labelstudio, spans
from proxytools.exchange.marks import Mark, marks_of, with_marks
from proxytools.types import SpanDataset, Spans, Windows

few = settings(max_examples=25, deadline=None)
MINUTE = np.timedelta64(60_000_000_000, "ns")
name = st.text(st.characters(categories=["L", "N", "P", "Zs"]), min_size=1, max_size=6)
CLASSES = ("up", 'a "quoted" <b>', "</script>&amp;", "ünï, code")


def bars_of(rng, n, t):
    prices = rng.normal(size=(n, t, 4)) * 10.0 ** rng.integers(-3, 9)
    prices[rng.random((n, t)) < 0.2] = 5.0  # flat
    return np.stack([prices[..., 0], prices.max(-1), prices.min(-1), prices[..., 1]], -1)


@st.composite
def datasets(draw, times=("none", "ms", "ns")):
    """Windows with several and touching spans, none, unlabelled ones, and odd names."""
    n, t = draw(st.integers(1, 4)), draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    labelled = rng.random(n) < 0.7
    rows = []
    for window in np.flatnonzero(labelled).tolist():
        edges = np.flatnonzero(rng.random(t + 1) < 0.4).tolist()
        rows += [(window, a, b) for a, b in pairwise(edges) if rng.random() < 0.7]
    window, start, stop = np.array(rows, np.int64).reshape(-1, 3).T
    code = rng.integers(len(CLASSES), size=len(rows))
    kind = draw(st.sampled_from(times))
    unit = 1 if kind == "ns" else 1_000_000
    first = rng.integers(-(2**40), 2**40, (n, 1)) * 1_000_000
    time = (first + rng.integers(1, 2**30, (n, t)).cumsum(1) * unit).view("datetime64[ns]")
    ids = draw(st.lists(name, min_size=n, max_size=n, unique=True))
    windows = Windows(
        bars_of(rng, n, t),
        np.array(ids),
        parent=np.array(["p", "", "q", "p"][:n]) if draw(st.booleans()) else None,
        series=np.array(["ES"] * n),
        offset=np.arange(n) * t,
        time=None if kind == "none" else time,
    )
    return SpanDataset(windows, Spans(window, start, stop, n, code), labelled, CLASSES)


def same_marks(a, b):
    for field in ("window", "start", "stop", "label", "score", "n_windows"):
        np.testing.assert_array_equal(getattr(a.spans, field), getattr(b.spans, field))
    np.testing.assert_array_equal(a.labelled, b.labelled)
    assert a.classes == b.classes


def same(a, b):
    same_marks(a, b)
    for field in ("ohlc", "ids", "parent", "series", "offset", "time"):
        want, got = getattr(a.windows, field), getattr(b.windows, field)
        assert (want is None) == (got is None), field
        if want is not None:
            np.testing.assert_array_equal(got, want)


def bare(data):
    """The windows alone, their classes known."""
    n = len(data)
    return SpanDataset(data.windows, Spans.of([[]] * n), np.zeros(n, bool), data.classes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("exchange")


# --- there and back ---


@few
@given(data=datasets())
def test_label_studio_holds_all_of_a_data_set(folder, data):
    (folder / "tasks.xml").unlink(missing_ok=True)
    exchange.write(folder / "tasks.json", data)
    same(data, exchange.read(folder / "tasks.json"))


@few
@given(data=datasets())
def test_json_min_holds_all_that_was_labelled(folder, data):
    path = folder / "min.json"
    path.write_text(json.dumps(minimal(labelstudio.tasks(data))))
    if data.labelled.any():
        same(data.take(data.labelled), exchange.read(path))
    same_marks(data, exchange.read(path, bare(data)))


def minimal(tasks):
    """JSON_MIN as Label Studio exports it: data and regions side by side, an item an annotation."""
    return [
        {
            **task["data"],
            "id": i,
            **(
                {"label": [region["value"] for region in annotation["result"]]}
                if annotation["result"]
                else {}
            ),
            "annotator": annotation.get("completed_by", 1),
            "annotation_id": i,
            "updated_at": annotation.get("updated_at", "2026-01-01T00:00:00Z"),
        }
        for i, task in enumerate(tasks)
        for annotation in task["annotations"]
        if not annotation["was_cancelled"]
    ]


@few
@given(data=datasets(times=("none",)))
@pytest.mark.parametrize("kind", ["spans", "sktime"])
def test_csv_holds_all_marks(folder, kind, data):
    path = folder / "marks.csv"
    exchange.write(path, data, kind)
    if data.labelled.any():
        same_marks(data, exchange.read(path, bare(data)))
    assert len(path.read_text().splitlines()) == 1 + len(data.spans) + int(
        (data.labelled & (data.spans.count == 0)).sum()
    )


@few
@given(data=datasets(times=("none",)))
def test_detection_frames_hold_all_marks(data):
    frames = detection.frames(marks_of(data))
    for frame in frames.values():
        index = pd.IntervalIndex(frame["ilocs"])
        assert index.closed == "left"
        assert index.is_non_overlapping_monotonic or len(index) == 0
    same_marks(data, with_marks(bare(data), detection.from_frames(frames), "frames"))


@few
@given(data=datasets(times=("none",)))
def test_a_journal_holds_all_marks(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("journal") / "marks.jsonl"
    kept = journal.Journal(path, data)
    for window, marks in marks_of(data).items():
        kept.append(window, [])
        kept.append(window, marks)
    kept.close()
    same_marks(data, exchange.read(path, bare(data)))


def test_spans_by_series_read_back_over_the_long_bars(folder):
    n = 60
    bars = pd.DataFrame({"t": np.arange(n), **dict.fromkeys(("open", "high", "low", "close"), 1.0)})
    bars.to_csv(folder / "ES.csv", index=False)
    data = io.read(folder / "ES.csv", bars=20, stride=10)
    marks = {"ES:0": [Mark(12, 18, "up")], "ES:10": [Mark(2, 8, "up"), Mark(8, 15, "down")]}
    marked = with_marks(data, marks, "marks")
    exchange.write(folder / "series.csv", marked, "series")
    assert (folder / "series.csv").read_text().splitlines() == [
        "series_id,start,end,label",
        "ES,12,18,up",
        "ES,18,25,down",
    ]
    back = io.read(folder / "ES.csv", spans=folder / "series.csv", bars=20, stride=20)
    assert marks_of(back) == {
        "ES:0": [Mark(12, 18, "up"), Mark(18, 20, "down")],
        "ES:20": [Mark(0, 5, "down")],
    }
    marked = with_marks(data, {"ES:0": [Mark(12, 20, "up")], "ES:10": [Mark(2, 9, "up")]}, "marks")
    with pytest.raises(InputError, match="a span of 'ES' from 12 to 19 and one from 12, marked"):
        spans.by_series(marked)


# --- Label Studio ---


def example(t=6):
    """Two windows of minutes: one marked, one to be marked."""
    rng = np.random.default_rng(0)
    start = np.array([["2024-01-31T23:57", "2024-02-03T09:00"]], "datetime64[ns]").T
    windows = Windows(bars_of(rng, 2, t), np.array(["a", "b"]), time=start + MINUTE * np.arange(t))
    return SpanDataset(windows, Spans.of([[(1, 4)], []]), np.array([True, False]))


def region(start, end, label="expansion", **more):
    value = {"start": start, "end": end, "instant": start == end, "timeserieslabels": [label]}
    return {
        "from_name": "label",
        "to_name": "ts",
        "type": "timeserieslabels",
        "value": value,
        **more,
    }


def exported(folder, *annotations, data=None):
    """An export in which the first window has these annotations."""
    tasks = labelstudio.tasks(example() if data is None else data)
    tasks[0]["annotations"] = [{"was_cancelled": False, **given} for given in annotations]
    path = folder / "export.json"
    path.write_text(json.dumps(tasks))
    return path


def test_a_task_looks_as_label_studio_wants_it():
    data = example()
    suggestions = {"b": [Mark(5, 6, "expansion", 0.25)]}
    marked, unmarked = labelstudio.tasks(data, suggestions, "runs/a")
    value = marked["annotations"][0]["result"][0]["value"]
    assert value == {
        "start": "2024-01-31 23:58:00.000",
        "end": "2024-02-01 00:00:00.000",  # inclusive: the bar that opens then is in the span
        "instant": False,
        "timeserieslabels": ["expansion"],
    }
    assert marked["predictions"] == []
    assert unmarked["annotations"] == []
    (prediction,) = unmarked["predictions"]
    assert prediction["model_version"] == "runs/a"
    assert prediction["score"] == 0.25
    assert prediction["result"][0]["value"]["instant"] is True
    configuration = labelstudio.configuration(data)
    assert 'timeFormat="%Y-%m-%d %H:%M:%S.%L"' in configuration
    assert "timeColumn" not in labelstudio.configuration(
        SpanDataset(Windows(data.windows.ohlc, data.windows.ids), data.spans, data.labelled)
    )


@pytest.mark.parametrize("n_bars", [1, 6])
def test_what_is_written_passes_the_validation_of_label_studio(n_bars):
    sdk = pytest.importorskip("label_studio_sdk.label_interface")
    for time in (True, False):
        data = example(n_bars)
        windows = data.windows if time else Windows(data.windows.ohlc, data.windows.ids)
        code, none = np.arange(n_bars) % len(CLASSES), np.zeros(n_bars, np.int64)
        found = Spans(none, np.arange(n_bars), np.arange(n_bars) + 1, 2, code)
        data = SpanDataset(windows, found, data.labelled, CLASSES)
        interface = sdk.LabelInterface(labelstudio.configuration(data))
        suggestions = {"b": [Mark(k, k + 1, CLASSES[k % 4], 0.5) for k in range(n_bars)]}
        first, second = labelstudio.tasks(data, suggestions)
        assert interface.validate_annotation(first["annotations"][0])
        (prediction,) = second["predictions"]
        assert interface.validate_prediction(prediction)
        # The validation bites:
        del prediction["result"][0]["value"]["instant"]
        assert not interface.validate_prediction(prediction)


@pytest.mark.parametrize(
    ("start", "end", "span"),
    [
        ("2024-01-31 23:58:00.000", "2024-01-31 23:59:00.000", (1, 3)),
        ("2024-01-31 23:57:00.001", "2024-01-31 23:59:59.999", (1, 3)),  # between bars
        ("2024-01-31 20:00:00.000", "2024-02-01 09:00:00.000", (0, 6)),  # beyond both ends
        ("2024-01-31T23:58:00Z", "2024-01-31T23:58:00Z", (1, 2)),  # an instant
    ],
)
def test_a_region_covers_the_bars_that_open_in_it(folder, start, end, span):
    path = exported(folder, {"result": [region(start, end)]})
    assert exchange.read_marks(path) == {"a": [Mark(*span, "expansion")]}


def test_bar_indices_may_lie_between_bars_too(folder):
    data = example()
    data = SpanDataset(Windows(data.windows.ohlc, data.windows.ids), data.spans, data.labelled)
    path = exported(folder, {"result": [region(0.5, 3.2), region("4", "4")]}, data=data)
    assert exchange.read_marks(path)["a"] == [Mark(1, 4, "expansion"), Mark(4, 5, "expansion")]


def test_times_may_stand_in_a_format_of_ones_own(folder):
    path = exported(folder, {"result": [region("31/01/2024 23:58", "31/01/2024 23:59")]})
    tasks = json.loads(path.read_text())
    for task in tasks:  # a project that keeps its bars elsewhere
        del task["data"]["ts"]
    path.write_text(json.dumps(tasks))
    marks = exchange.read_marks(path, example(), time_format="%d/%m/%Y %H:%M")
    assert marks == {"a": [Mark(1, 3, "expansion")]}
    with pytest.raises(InputError, match="start: got '31/01/2024 23:58', expected a time such as"):
        exchange.read_marks(path, example(), time_format="%Y")
    with pytest.raises(InputError, match=r"got a task without its bars, .*\(--windows\)"):
        exchange.read_marks(path)


NINE, TEN = "2024-01-31 23:58:00.000", "2024-01-31 23:59:00.000"


def test_cancelled_annotations_do_not_count(folder):
    cancelled = {"was_cancelled": True, "result": [region(NINE, TEN)]}
    assert exchange.read_marks(exported(folder, cancelled)) == {}
    both = exported(folder, cancelled, {"result": []})
    assert exchange.read_marks(both) == {"a": []}


def test_other_controls_of_a_project_are_not_marks(folder):
    choice = {"type": "choices", "value": {"choices": ["good"]}}
    assert exchange.read_marks(exported(folder, {"result": [choice]})) == {"a": []}


def test_annotators_must_agree_or_one_be_chosen(folder):
    one = {"completed_by": 1, "result": [region(NINE, TEN)]}
    other = {"completed_by": {"id": 2, "email": "b@example.org"}, "result": [region(TEN, TEN)]}
    assert exchange.read_marks(exported(folder, one, {**one, "completed_by": 2}))["a"]
    path = exported(folder, one, other)
    with pytest.raises(InputError, match=r"differ between the annotators 1, b@example.org") as no:
        exchange.read_marks(path)
    assert "Choose an annotator, for example 1" in str(no.value)
    assert exchange.read_marks(path, annotator="1") == {"a": [Mark(1, 3, "expansion")]}
    assert exchange.read_marks(path, annotator="b@example.org")["a"] == [Mark(2, 3, "expansion")]
    assert exchange.read_marks(path, annotator="3") == {}


def test_of_one_annotator_the_latest_answer_counts(folder):
    late = {"completed_by": 1, "updated_at": "2026-01-02", "result": [region(NINE, TEN)]}
    early = {"completed_by": 1, "updated_at": "2026-01-01", "result": []}
    assert len(exchange.read_marks(exported(folder, late, early))["a"]) == 1


@pytest.mark.parametrize(
    ("regions", "said"),
    [
        ([region(NINE, None)], "region 0, end: got a missing value, expected a UTC timestamp"),
        ([region(NINE, "NaN")], "region 0, end: got 'NaN'"),
        ([region(NINE, "0NaN-NaN-NaN NaN:NaN:NaN.NaN")], "region 0, end: got '0NaN"),
        ([region("2024-01-31 23:58:20.000", "2024-01-31 23:58:40.000")], "between two bars"),
        ([region(NINE, TEN), region(TEN, TEN)], "the span 2 to 3, which overlaps 1 to 3"),
        ([{**region(NINE, TEN), "value": {"start": NINE, "end": TEN}}], "got 0 labels, expected"),
    ],
)  # fmt: skip
def test_a_region_that_says_nothing_is_refused(folder, regions, said):
    with pytest.raises(InputError, match=re.escape(said)) as no:
        exchange.read(exported(folder, {"result": regions}))
    assert "window 'a'" in str(no.value)


def test_the_end_of_a_region_must_be_a_number_where_bars_are(folder):
    data = example()
    data = SpanDataset(Windows(data.windows.ohlc, data.windows.ids), data.spans, data.labelled)
    for end in (None, "NaN", float("nan")):
        path = exported(folder, {"result": [region(1, end)]}, data=data)
        with pytest.raises(InputError, match=r"end: got .*, expected the number of a bar"):
            exchange.read_marks(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{}", "got a dict, expected a Label Studio export"),
        ("[1]", "got a list, expected a Label Studio export"),
        ("[", "expected a Label Studio export"),
        ('[{"data": {"image": "x.png"}}]', "task 0: got no window_id in its data"),
        ('[{"data": {"window_id": "a"}}, {"data": {"window_id": "a"}}]', "'a' again"),
        ('[{"data": {"window_id": "a"}}]', "a task without the prices of its bars"),
    ],
)
def test_what_is_no_export_is_refused(folder, content, said):
    path = folder / "bad.json"
    path.write_text(content)
    with pytest.raises(InputError, match=re.escape(said)):
        exchange.read(path)


# --- spans and frames ---


def test_a_csv_of_a_run_reads_with_its_scores(folder):
    (folder / "run").mkdir(exist_ok=True)
    (folder / "run/spans.csv").write_text("window_id,start,stop,score\na,1,3,0.5\na,4,5,0.75\n")
    want = {"a": [Mark(1, 3, "expansion", 0.5), Mark(4, 5, "expansion", 0.75)]}
    assert exchange.read_suggestions(folder / "run", example()) == want
    (folder / "other.csv").write_text("window_id,start,stop\na,1,3\nelsewhere,0,9\n")
    assert list(exchange.read_suggestions(folder / "other.csv", example())) == ["a"]
    for rows, said in (("elsewhere,0,9", "got spans of other windows"), ("a,1,9", "got 9")):
        (folder / "other.csv").write_text(f"window_id,start,stop\n{rows}\n")
        with pytest.raises(InputError, match=said):
            exchange.read_suggestions(folder / "other.csv", example())
    assert list(csv.reader(text.StringIO(spans.by_window(want)))) == [
        ["window_id", "start", "end", "label", "score"],
        ["a", "1", "3", "expansion", "0.5"],
        ["a", "4", "5", "expansion", "0.75"],
    ]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("window_id,start,end\nc,1,3", "got the unknown window 'c', expected one of the 2 windows"),
        ("window_id,start,end\na,1,9", "window 'a', column end: got 9, expected a bar from 0 to 6"),
        ("window_id,start,end\na,3,3", "window 'a', column end: got 3, expected more than"),
        ("window_id,start,end\na,1,3\na,2,4", "the span 2 to 4, which overlaps 1 to 3"),
        ("window_id,start,end\na,1,", "line 2, column end: got a missing value"),
        ("window_id,start,end\na,1,2\na,,", "line 3: got no span for window 'a', which has one"),
        ("window_id,start,end,label\na,1,2,", "got no class"),
        ("window_id,start,ende\na,1,2", "Rename 'ende' to end"),
        ('window_id,ilocs,labels\na,"(1, 3]",up', "line 2, column ilocs: got '(1, 3]', expected"),
    ],
)
def test_bad_rows_are_refused_with_their_place(folder, rows, said):
    path = folder / "bad.csv"
    path.write_text(rows + "\n")
    with pytest.raises(InputError, match=re.escape(said)):
        exchange.read(path, bare(example()))


def test_detection_frames_must_be_closed_on_the_left():
    frame = pd.DataFrame({"ilocs": pd.interval_range(0, 2), "labels": ["up", "up"]})
    with pytest.raises(
        InputError, match=r"frame of 'a', row 0: got Interval\(0, 1, closed='right'"
    ):
        detection.from_frames({"a": frame})
    with pytest.raises(InputError, match="expected a column ilocs"):
        detection.from_frames({"a": frame[["labels"]]})


def test_marks_leave_other_windows_as_they_are():
    data = with_marks(example(), {"b": [Mark(0, 6, "down")]}, "marks")
    assert marks_of(data) == {"a": [Mark(1, 4, "expansion")], "b": [Mark(0, 6, "down")]}
    assert data.classes == ("expansion", "down")
    data = with_marks(data, {"a": None}, "marks")
    assert marks_of(data) == {"b": [Mark(0, 6, "down")]}


# --- the command ---


def convert(*words, code=0):
    done = CliRunner().invoke(cli, ["convert", *map(str, words)])
    assert done.exit_code == code, done.output
    return done.stderr


def test_convert_goes_round_all_formats(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = example()
    io.write("windows.parquet", data)
    io.write("bare.parquet", bare(data))
    assert "1 of 2 windows labelled, 1 spans" in convert("windows.parquet", "tasks.json")
    assert labelstudio.configuration(data) == Path("tasks.xml").read_text()
    convert("tasks.json", "back.parquet")
    same(data, io.read("back.parquet"))
    for kind, out in (("spans", "spans.csv"), ("sktime", "frames.csv")):
        convert("back.parquet", out, "--to", kind)
        convert(out, f"{kind}.parquet", "--windows", "bare.parquet")
        same(data, io.read(f"{kind}.parquet"))
    Path("found.csv").write_text("window_id,start,stop,score\nb,1,3,0.5\n")
    convert("windows.parquet", "suggested.json", "--suggestions", "found.csv")
    (prediction,) = json.loads(Path("suggested.json").read_text())[1]["predictions"]
    assert prediction["model_version"] == "found"


def test_convert_refuses_in_a_sentence_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    io.write("windows.parquet", example())
    convert("windows.parquet", "spans.csv")
    before = sorted(path.name for path in tmp_path.iterdir())
    assert "Name the file of its windows (--windows)" in convert("spans.csv", "x.parquet", code=2)
    assert "got an existing path" in convert("windows.parquet", "spans.csv", code=2)
    assert "got the suffix '.xlsx'" in convert("windows.parquet", "x.xlsx", code=2)
    assert "windows without series_id" in convert(
        "windows.parquet", "x.csv", "--to", "series", code=2
    )
    assert "got bars in windows.parquet too" in convert(
        "windows.parquet", "x.csv", "--windows", "windows.parquet", code=2
    )
    assert "expected Label Studio tasks" in convert(
        "windows.parquet", "x.csv", "--suggestions", "spans.csv", code=2
    )
    Path("kept.xml").touch()
    assert "kept.xml: got an existing file" in convert("windows.parquet", "kept.json", code=2)
    Path("kept.xml").unlink()
    assert "a folder that does not exist" in convert("windows.parquet", "no/x.json", code=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == before
