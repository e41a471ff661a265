"""``deep detect``, from its flags to its file."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner

from cli.deep import cli
from deep import jobs, presets, series, stitching
from deep.matches import match_probability, spans_above
from deep.reading import MatchReader
from deep.tasks import chain
from proxytools import features, io, synthetic

T = 40
HEADS = ("segmental", "mask")
SMALL = ("--features", "causal", "--threads", "1", "--quiet")


def call(*words, expect=0):
    done = CliRunner().invoke(cli, [str(word) for word in words])
    assert done.exit_code == expect, done.output
    return done


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A detector of each head, trained a little, and made to find something."""
    folder = tmp_path_factory.mktemp("runs")
    data = synthetic.planted(24, preset="easy", seed=0, n_bars=T).data
    io.write(folder / "windows.parquet", data)
    for head, preset in zip(HEADS, ("segmental", "single"), strict=True):
        out = folder / head
        with pytest.MonkeyPatch.context() as patch:
            small = replace(presets.PRESETS[preset], hidden=4, members=1, epochs=2)
            patch.setitem(presets.PRESETS, preset, small)
            words = ("--data", folder / "windows.parquet", "--preset", preset, "--out", out)
            call("train", *words, *SMALL)
        record = json.loads((out / "metadata.json").read_text())
        reader = record["reader"]
        if head == "segmental":
            reader["threshold"] = 0.05
        else:
            prob = jobs.load_model(out).proxy.predict(features.compute(data.windows.ohlc, "causal"))
            level = float(np.quantile(prob, 0.7))
            reader["decoder"] = {"high": level, "low": level, "min_length": 2, "max_gap": 1}
        (out / "metadata.json").write_text(json.dumps(record))
    return folder


def walk(n_bars, seed=0):
    rng = np.random.default_rng(seed)
    close = 1000 + rng.normal(size=n_bars).cumsum() * (1 + (np.arange(n_bars) // 50) % 3)
    opened = np.concatenate([[1000.0], close[:-1]])
    high = np.maximum(opened, close) + rng.random(n_bars)
    low = np.minimum(opened, close) - rng.random(n_bars)
    return pd.DataFrame({"open": opened, "high": high, "low": low, "close": close})


def minutes(n_bars, begin="2024-01-02 09:30"):
    return pd.date_range(begin, periods=n_bars, freq="min", tz="UTC")


@pytest.fixture
def bars(tmp_path):
    """Two series: one of two runs, the other shorter than a window."""
    time = minutes(700)[np.r_[0:300, 320:700]]
    one = walk(680).assign(timestamp=time, series_id="es, front")
    two = walk(25, seed=1).assign(timestamp=minutes(25), series_id="nq")
    path = tmp_path / "bars.parquet"
    pd.concat([one, two]).to_parquet(path, index=False)
    return path


def detect(run, bars, out, *more, expect=0):
    return call("detect", run, "--bars", bars, "--out", out, "--quiet", *more, expect=expect)


def whole(run, ohlc):
    """Spans of a gap-free run of bars, scored window by window and read off at once."""
    model = jobs.load_model(run)
    proxy, reader, n = model.proxy, model.proxy.reader_, len(ohlc)
    margin = int(T * stitching.MARGIN)
    starts = sorted({*range(0, n - T, T - 2 * margin), max(n - T, 0)})
    windows = [ohlc[s : s + T] for s in starts]
    values = [
        torch.from_numpy(features.compute(w[None], proxy.feature_set).values) for w in windows
    ]
    with torch.no_grad():
        scores = [proxy.ensemble_(v)[0].numpy() for v in values]
    middle = np.array([s + (len(w) - 1) / 2 for s, w in zip(starts, windows, strict=True)])
    best = [int(np.abs(middle - bar).argmin()) for bar in range(n)]  # the earlier of equals
    stitched = np.stack([scores[w][bar - starts[w]] for bar, w in enumerate(best)])
    if not isinstance(reader, MatchReader):
        prob = torch.sigmoid(torch.from_numpy(stitched[:, 0]) - np.log(reader.positive_weight))
        return reader.decoder.spans(prob.numpy()[None])
    whole = chain(torch.from_numpy(stitched)[None], reader.series_length(proxy.ensemble_))
    match = match_probability(whole.span_probabilities(reader.longest).numpy())
    return spans_above(match, reader.threshold)


@pytest.mark.parametrize("head", HEADS)
def test_each_run_is_read_whole_and_the_file_reads_back_as_marks(head, runs, bars, tmp_path):
    out = tmp_path / "spans.csv"
    printed = json.loads(detect(runs / head, bars, out, "--json").stdout)
    rows, frame = pd.read_csv(out), pd.read_parquet(bars)
    assert tuple(rows.columns) == series.COLUMNS
    assert {key: printed[key] for key in ("bars", "series", "runs", "spans")} == {
        "bars": 705,
        "series": 2,
        "runs": 3,
        "spans": len(rows),
    }
    prices = frame[["open", "high", "low", "close"]].to_numpy()
    expected = []
    for begin, end in [(0, 300), (300, 680), (680, 705)]:
        spans = whole(runs / head, prices[begin:end])
        expected += [
            (s + begin, u + begin, score)
            for s, u, score in zip(spans.start, spans.stop, spans.score, strict=True)
        ]
    assert len(expected) > 10
    start, stop, score = map(np.array, zip(*expected, strict=True))
    np.testing.assert_array_equal(rows.length, stop - start)
    np.testing.assert_allclose(rows.score, score, atol=2e-6)
    np.testing.assert_array_equal(rows.series_id, frame.series_id.to_numpy()[start])

    read = io.read(bars, spans=out, bars=5)  # windows of 5 bars: none crosses a gap
    mask = np.zeros(705)
    for s, u in zip(start, stop, strict=True):
        mask[s:u] = 1
    np.testing.assert_array_equal(read.mask.ravel(), mask)


@pytest.mark.parametrize("head", HEADS)
def test_how_bars_arrive_has_no_influence(head, runs, bars, tmp_path):
    model = jobs.load_model(runs / head)
    made = []
    for i, (chunk, threads) in enumerate([(65_536, 1), (37, 2), (1, 1)]):
        out = tmp_path / f"{i}.csv"
        series.detect(model, bars, out, chunk=chunk, threads=threads)
        made.append(out.read_bytes())
    assert made[0] == made[1] == made[2]


def test_more_bars_than_a_block(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(series, "ChainStream", lambda *given: Small(*given, block=100, context=200))
    from deep.streaming import ChainStream as Small

    path, out = tmp_path / "bars.parquet", tmp_path / "spans.csv"
    frame = walk(3000).assign(timestamp=minutes(3000))
    frame.to_parquet(path, index=False)
    detect(runs / "segmental", path, out)
    spans, rows = whole(runs / "segmental", frame.to_numpy()[:, :4].astype(float)), pd.read_csv(out)
    first = np.datetime64("2024-01-02T09:30")
    start = (pd.to_datetime(rows.start).dt.tz_localize(None) - first) // pd.Timedelta("1min")
    np.testing.assert_array_equal(start, spans.start)
    np.testing.assert_array_equal(rows.length, spans.length)
    np.testing.assert_allclose(rows.score, spans.score, atol=2e-6)


def test_bars_without_a_date_are_named_by_index(runs, tmp_path):
    path, out = tmp_path / "gaze.csv", tmp_path / "spans.csv"
    walk(200).assign(t=np.arange(200) * 0.005).to_csv(path, index=False)
    detect(runs / "mask", path, out)
    rows = pd.read_csv(out)
    assert (rows.series_id == "gaze").all()
    np.testing.assert_array_equal(rows.end - rows.start, rows.length)
    assert io.read(path, spans=out, bars=200).mask.sum() == rows.length.sum() > 0


def test_uneven_clocks_read_back(runs, tmp_path):
    path, out = tmp_path / "bars.parquet", tmp_path / "spans.csv"
    rng = np.random.default_rng(3)
    steps = rng.choice([10, 60, 80, 600], size=500, p=[0.3, 0.5, 0.15, 0.05])
    time = pd.Timestamp("2024-01-02", tz="UTC") + pd.to_timedelta(steps.cumsum(), unit="s")
    walk(500).assign(timestamp=time).to_parquet(path, index=False)
    detect(runs / "segmental", path, out)
    rows = pd.read_csv(out)
    read = io.read(path, spans=out, bars=1)
    assert len(rows) > 3
    assert read.mask.sum() == rows.length.sum()


@pytest.mark.parametrize("gap", [None, "65s", "1s"])
def test_a_span_may_fill_its_run(gap, runs, tmp_path):
    """Where a run ends, the end of a span lies after its bars and before what comes next."""
    folder, path, out = tmp_path / "run", tmp_path / "bars.parquet", tmp_path / "spans.csv"
    shutil.copytree(runs / "mask", folder)
    record = json.loads((folder / "metadata.json").read_text())
    record["reader"]["decoder"] = {"high": 0.0, "low": 0.0, "min_length": 1, "max_gap": 0}
    (folder / "metadata.json").write_text(json.dumps(record))
    for seed, last in enumerate([[80], [60, 300, 80], [10, 80, 90], [500]]):
        steps = np.random.default_rng(seed).choice([10, 60, 80, 90, 600], size=300)
        time = pd.Timestamp("2024-01-02", tz="UTC") + pd.to_timedelta(
            np.concatenate([steps, [300], last]).cumsum(), unit="s"
        )
        walk(len(time)).assign(timestamp=time).to_parquet(path, index=False)
        more = () if gap is None else ("--gap", gap)
        printed = json.loads(detect(folder, path, out, "--json", *more).stdout)
        rows = pd.read_csv(out)
        assert len(rows) == printed["runs"] > 10
        assert rows.length.sum() == len(time)
        assert io.read(path, spans=out, bars=1, gap=gap).mask.all()
        out.unlink()


def test_one_bar(runs, tmp_path):
    path, out = tmp_path / "bars.csv", tmp_path / "spans.csv"
    walk(1).assign(timestamp=minutes(1)).to_csv(path, index=False)
    for head in HEADS:
        printed = json.loads(detect(runs / head, path, out, "--json").stdout)
        assert printed["bars"] == printed["runs"] == 1
        assert len(pd.read_csv(out)) == printed["spans"]
        out.unlink()


def test_a_flat_market(runs, tmp_path):
    path, out = tmp_path / "bars.csv", tmp_path / "spans.csv"
    frame = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), np.full(150, 7.0)))
    frame.assign(timestamp=minutes(150)).to_csv(path, index=False)
    for head in HEADS:
        detect(runs / head, path, out)
        assert np.isfinite(pd.read_csv(out).score.astype(float)).all()
        out.unlink()


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda f: f.assign(close=f.close.where(f.index != 620)), "a finite price"),
        (lambda f: f.assign(high=f.low - 1), "high"),
        (lambda f: f.iloc[:0], "no rows"),
        (lambda f: f.drop(columns="low"), "low"),
        (lambda f: f.iloc[::-1], "sorted by time"),
    ],
)
def test_bad_bars_exit_2_and_leave_nothing(break_it, says, runs, tmp_path):
    path = tmp_path / "bars.csv"
    break_it(walk(700).assign(timestamp=minutes(700))).to_csv(path, index=False)
    done = detect(runs / "segmental", path, tmp_path / "spans.csv", expect=2)
    assert says in done.stderr
    assert done.stderr.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["bars.csv"]


def test_bad_usage_exits_2(runs, bars, tmp_path):
    out = tmp_path / "spans.csv"
    assert "no such file" in detect(runs / "mask", tmp_path / "x", out, expect=2).stderr
    assert "nothing there" in detect(tmp_path / "none", bars, out, expect=2).stderr
    (tmp_path / "empty").mkdir()
    detect(tmp_path / "empty", bars, out, expect=2)
    assert "no such directory" in detect(runs / "mask", bars, tmp_path / "a/b", expect=2).stderr
    assert not out.exists()
    out.write_text("mine")
    assert "existing path" in detect(runs / "mask", bars, out, expect=2).stderr
    assert out.read_text() == "mine"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_an_absent_device_exits_2(runs, bars, tmp_path):
    done = detect(runs / "mask", bars, tmp_path / "s.csv", "--device", "cuda", expect=2)
    assert "no CUDA device" in done.stderr


def test_threads_are_given_back(runs, bars, tmp_path):
    before = torch.get_num_threads()
    series.detect(jobs.load_model(runs / "mask"), bars, tmp_path / "s.csv", threads=1)
    assert torch.get_num_threads() == before
