"""Soft labels of long bars: each bar once, by its most central window, however it was done."""

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numba
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxytools import io, label, lock, synthetic
from proxytools.errors import InputError
from proxytools.evaluate import compute
from proxytools.label import central, job
from proxytools.proxies import make
from proxytools.proxies.store import Model
from tests import naive_label as naive

MINUTE = pd.Timedelta(minutes=1)
MONDAY = pd.Timestamp("2024-01-01", tz="UTC")


@pytest.fixture(autouse=True)
def one_thread():
    """Batches are tiny here: waiting for each other costs threads more than the work."""
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    yield
    numba.set_num_threads(before)


def model_of(proxy, n_bars=12):
    return Model(proxy, n_bars, ("expansion",), 5, 7, seen=np.empty(0, np.uint64))


def prices(n, seed=0):
    """(n, 4) a random walk, each bar unlike all others."""
    rng = np.random.default_rng(seed)
    close = 100 + np.cumsum(rng.normal(size=n))
    opened = np.concatenate([[100], close[:-1]])
    high = np.maximum(opened, close) + rng.random(n)
    low = np.minimum(opened, close) - rng.random(n)
    return np.stack([opened, high, low, close], axis=1)


def write_bars(path, series, seed=0):
    """Write ``{name: [bars in each gap-free run]}`` and return ``{name: [(n, 4) of each run]}``."""
    frames, runs = [], {}
    for name, sizes in series.items():
        ohlc = prices(sum(sizes), seed := seed + 1)
        gaps = np.repeat(np.arange(len(sizes)), sizes)
        stamp = MONDAY + (np.arange(len(ohlc)) + 1000 * gaps) * MINUTE
        frame = pd.DataFrame(ohlc, columns=["open", "high", "low", "close"])
        frame.insert(0, "timestamp", stamp)
        frame.insert(0, "series_id", name)
        frames.append(frame)
        runs[name] = np.split(ohlc, np.cumsum(sizes)[:-1])
    table = pd.concat(frames)
    if path.suffix == ".csv":
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path, index=False)
    return runs


def listing(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture
def small(monkeypatch):
    """Many batches and parts in few bars."""
    monkeypatch.setattr(central, "BARS_A_BATCH", 40)
    monkeypatch.setattr(job, "BATCHES_A_PART", 3)


@st.composite
def cut_runs(draw):
    """A window length, a batch size, and gap-free runs with places to cut them into pieces."""
    n_bars = draw(st.sampled_from([1, 2, 3, 4, 5, 7, 12, 30]))
    batch = draw(st.integers(1, 6)) * n_bars
    around = st.sampled_from([n_bars - 1, n_bars, n_bars + 1, n_bars + n_bars // 3])
    sizes = draw(
        st.lists(st.one_of(st.integers(1, 200), around.map(lambda n: max(1, n))), min_size=1)
        if n_bars > 1
        else st.lists(st.integers(1, 60), min_size=1)
    )[:4]
    cuts = [draw(st.sets(st.integers(1, n - 1), max_size=6)) if n > 1 else set() for n in sizes]
    return n_bars, batch, sizes, cuts


def pieces_of(sizes, cuts):
    """Two runs a series; the open of a bar is its position over all series."""
    at = 0
    for k, (n, inner) in enumerate(zip(sizes, cuts, strict=True)):
        ohlc = np.repeat(np.arange(at, at + n)[:, None], 4, axis=1).astype(float)
        moment = (at + np.arange(n)).astype("datetime64[ns]")
        offset = sizes[k - 1] if k % 2 else 0
        edges = [0, *sorted(inner), n]
        for start, stop in itertools.pairwise(edges):
            yield io.Piece(
                f"s{k // 2}",
                offset + start,
                moment[start:stop],
                ohlc[start:stop],
                first=start == 0,
                last=stop == n,
            )
        at += n


@settings(max_examples=150, deadline=None)
@given(cut_runs())
def test_each_bar_is_answered_once_by_its_most_central_window(drawn):
    n_bars, size, sizes, cuts = drawn
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(central, "BARS_A_BATCH", size)
        batches = list(label.batches(pieces_of(sizes, cuts), n_bars))
        whole = list(label.batches(pieces_of(sizes, [()] * len(sizes)), n_bars))
    window_start, answered = [], []
    for batch in batches:
        assert len(batch) == len(batch.window) == len(batch.bar) == len(batch.time)
        assert len(batch.ohlc) * batch.ohlc.shape[1] <= size + 3 * n_bars  # bounded memory
        assert (np.diff(batch.ohlc[:, :, 0], axis=1) == 1).all()
        answered += batch.ohlc[batch.window, batch.bar, 0].tolist()
        window_start += batch.ohlc[batch.window, 0, 0].tolist()
        assert batch.time.astype(int).tolist() == answered[-len(batch) :]
    assert answered == list(range(sum(sizes)))
    base = np.cumsum([0, *sizes])
    assert window_start == [
        at + start for at, n in zip(base, sizes, strict=False) for start in naive.central(n, n_bars)
    ]
    # However the pieces were cut, the batches are the same.
    assert len(batches) == len(whole)
    for ours, theirs in zip(batches, whole, strict=True):
        assert (ours.series, ours.first) == (theirs.series, theirs.first)
        for name in ("ohlc", "window", "bar", "time"):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


@pytest.mark.parametrize("proxy", [naive.WholeWindow(), naive.Bar()], ids=["window", "bar"])
@pytest.mark.parametrize("n_bars", [1, 2, 12])
@pytest.mark.parametrize("chunk", [1, 37, 100_000])
def test_it_equals_the_naive_twin(tmp_path, small, proxy, n_bars, chunk):
    series = {"es": [130, 1, n_bars, n_bars + 1], "gold": [1], "nq": [max(1, n_bars - 1), 77]}
    runs = write_bars(tmp_path / "bars.parquet", series)
    model, out = model_of(proxy, n_bars), tmp_path / "soft.parquet"
    n = label.label(model, tmp_path / "bars.parquet", out, chunk=chunk, gap="10min")
    soft = pd.read_parquet(out)
    assert n == len(soft) == sum(map(sum, series.values()))
    for name, parts in runs.items():
        own = soft[soft.series_id == name]
        expected = [p for run in parts for p in naive.label(model, run)]
        np.testing.assert_array_equal(own.prob, np.array(expected, np.float32))
        np.testing.assert_array_equal(own.bar, np.arange(len(own)))


def test_a_fitted_model_equals_the_naive_twin(tmp_path):
    data = synthetic.planted(12, preset="easy", seed=1).data
    proxy = make("lightgbm", threads=1).set_params(rounds=60, inner_folds=0)
    features = compute(data, [proxy])["full"]
    model = Model.of(proxy.fit(features, data), data, features)
    runs = write_bars(tmp_path / "bars.parquet", {"es": [800]})
    label.label(model, tmp_path / "bars.parquet", tmp_path / "soft.parquet")
    soft = pd.read_parquet(tmp_path / "soft.parquet")
    np.testing.assert_array_equal(soft.prob, naive.label(model, runs["es"][0]))
    assert soft.prob.nunique() > 20


def test_columns_and_metadata(tmp_path):
    bars, out = tmp_path / "bars.parquet", tmp_path / "new" / "soft.parquet"
    write_bars(bars, {"es": [20, 5], "nq": [9]})
    label.label(model_of(naive.Bar()), bars, out)
    table, source = pq.read_table(out), pd.read_parquet(bars)
    types = {name: str(table.schema.field(name).type) for name in table.column_names}
    assert list(types.items()) == [
        ("series_id", "string"),
        ("bar", "int64"),
        ("timestamp", "timestamp[ns, tz=UTC]"),
        ("prob", "float"),
    ]
    assert table.schema.metadata == {b"source": b"bar", b"lookahead_bars": b"7"}
    soft = table.to_pandas()
    assert soft.series_id.tolist() == source.series_id.tolist()
    assert soft.timestamp.tolist() == source.timestamp.tolist()
    assert soft.bar.tolist() == [*range(25), *range(9)]
    assert listing(tmp_path) == ["bars.parquet", "new", "new/soft.parquet"]


def test_bars_with_a_clock_of_their_own_have_no_timestamp(tmp_path):
    path = tmp_path / "gaze.csv"
    path.write_text("t,open,high,low,close\n0,1,2,0,1\n1,1,2,0,2\n")
    label.label(model_of(naive.Bar()), path, tmp_path / "soft.parquet")
    soft = pd.read_parquet(tmp_path / "soft.parquet")
    assert soft.columns.tolist() == ["series_id", "bar", "prob"]
    assert soft.series_id.tolist() == ["gaze"] * 2


def test_chunks_and_formats_do_not_change_a_byte(tmp_path, small):
    series = {"es": [150, 7, 60], "nq": [45]}
    write_bars(tmp_path / "bars.parquet", series)
    write_bars(tmp_path / "bars.csv", series)
    model, results = model_of(naive.WholeWindow()), set()
    for name, chunk in [("parquet", 1), ("parquet", 11), ("parquet", 10**6), ("csv", 50)]:
        out = tmp_path / f"{name}{chunk}.parquet"
        label.label(model, tmp_path / f"bars.{name}", out, chunk=chunk)
        results.add(out.read_bytes())
    assert len(results) == 1


class Interrupted:
    """Progress that presses Ctrl-C once a number of batches has been handed out."""

    def __init__(self, after):
        self.after, self.seen, self.n_bars = after, [], -1

    def __call__(self, batches, n_bars):
        self.n_bars = n_bars
        for batch in batches:
            if len(self.seen) == self.after:
                raise KeyboardInterrupt
            yield batch
            self.seen.append(len(batch))


@pytest.fixture
def begun(tmp_path, small, monkeypatch):
    """A job stopped after 8 of its batches, 6 of them in finished parts."""
    bars, model = tmp_path / "bars.parquet", model_of(naive.WholeWindow())
    write_bars(bars, {"es": [300]})
    label.label(model, bars, tmp_path / "whole.parquet")
    with pytest.raises(KeyboardInterrupt):
        label.label(
            model, bars, tmp_path / "soft.parquet", fingerprint="m", track=Interrupted(after=8)
        )
    scored = []
    score = job.score
    monkeypatch.setattr(job, "score", lambda *args: scored.append(1) or score(*args))
    return tmp_path, model, bars, scored


def test_an_interrupted_job_goes_on_where_it_stopped(begun):
    folder, model, bars, scored = begun
    out = folder / "soft.parquet"
    assert listing(folder / ".soft.parquet.parts") == [
        "000000000.parquet",
        "000000001.parquet",
        "job.json",
    ]
    assert not out.exists()
    seen = Interrupted(after=-1)
    label.label(model, bars, out, fingerprint="m", chunk=17, track=seen)
    assert len(scored) == len(seen.seen) - 6
    assert sum(seen.seen) == seen.n_bars == 300
    assert out.read_bytes() == (folder / "whole.parquet").read_bytes()
    assert listing(folder) == ["bars.parquet", "soft.parquet", "whole.parquet"]


@pytest.mark.parametrize("change", ["model", "no model", "bars", "name", "gap", "record"])
def test_a_job_of_another_kind_starts_anew(begun, change):
    folder, model, bars, scored = begun
    given = {"fingerprint": "m"}
    if change == "model":
        given["fingerprint"] = "another"
    elif change == "no model":
        given = {}
    elif change == "bars":
        write_bars(bars, {"es": [300]}, seed=5)
    elif change == "name":
        bars = bars.rename(folder / "renamed.parquet")
    elif change == "gap":
        given["gap"] = "30s"  # every bar a run of its own
    else:
        (folder / ".soft.parquet.parts" / "job.json").write_text("{")
    label.label(model, bars, folder / "soft.parquet", **given)
    again = len(scored)
    scored.clear()
    label.label(model, bars, folder / "fresh.parquet", gap=given.get("gap"))
    assert again == len(scored) > 8
    assert (folder / "soft.parquet").read_bytes() == (folder / "fresh.parquet").read_bytes()


def test_the_number_of_bars_is_known_for_parquet_alone(tmp_path):
    for suffix, expected in ((".parquet", 30), (".csv", None)):
        path, seen = (tmp_path / "bars").with_suffix(suffix), Interrupted(after=-1)
        write_bars(path, {"es": [30]})
        label.label(model_of(naive.Bar()), path, tmp_path / f"{suffix}.out", track=seen)
        assert (seen.n_bars, sum(seen.seen)) == (expected, 30)


def test_an_existing_file_is_refused_and_kept(tmp_path):
    write_bars(tmp_path / "bars.parquet", {"es": [30]})
    out = tmp_path / "soft.parquet"
    out.write_text("mine")
    with pytest.raises(InputError, match="existing path"):
        label.label(model_of(naive.Bar()), tmp_path / "bars.parquet", out)
    assert out.read_text() == "mine"
    assert listing(tmp_path) == ["bars.parquet", "soft.parquet"]


def test_a_second_job_of_the_name_is_refused(tmp_path):
    write_bars(tmp_path / "bars.parquet", {"es": [30]})
    with (
        lock.held(tmp_path / ".soft.parquet.parts"),
        pytest.raises(InputError, match="another process"),
    ):
        label.label(model_of(naive.Bar()), tmp_path / "bars.parquet", tmp_path / "soft.parquet")
    assert not (tmp_path / "soft.parquet").exists()


@pytest.mark.parametrize("bars", ["missing.parquet", ".", "nan.csv"])
def test_bad_bars_leave_nothing(tmp_path, small, bars):
    write_bars(tmp_path / "nan.csv", {"es": [200]})
    with (tmp_path / "nan.csv").open("a") as file:
        file.write("es,2024-06-01 00:00:00+00:00,1,2,0,\n")
    before = listing(tmp_path)
    with pytest.raises(InputError):
        label.label(model_of(naive.Bar()), tmp_path / bars, tmp_path / "new" / "soft.parquet")
    assert listing(tmp_path) == before


# A process that has everything loaded and forks one child a line: a start costs milliseconds.
# The prices are their own features, because compiled ones would have to be loaded by each child.
FORKING = """
import os, signal, sys
from pathlib import Path
import numpy as np
from proxytools import label
from proxytools.label import central, job
from proxytools.proxies.store import Model
from proxytools.types import FeatureSet
from tests.naive_label import WholeWindow
central.BARS_A_BATCH, job.BATCHES_A_PART = 210, 2
job.features.compute = lambda ohlc, name: FeatureSet(ohlc.astype(np.float32), (), 0, 0)
model = Model(WholeWindow(), 105, ("expansion",), 0, 0, np.empty(0, np.uint64))
for line in sys.stdin:
    child = os.fork()
    if not child:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in background
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        code = 1
        try:
            label.label(model, Path(sys.argv[1]), Path(line.strip()), fingerprint="m")
            code = 0
        finally:
            os._exit(code)
    print(child, flush=True)
    print(os.waitpid(child, 0)[1], flush=True)
"""


def test_interruptions_at_random_moments_do_not_change_a_byte(tmp_path):
    write_bars(tmp_path / "bars.parquet", {"es": [9_000, 50], "nq": [3_000]})
    forking = subprocess.Popen(
        [sys.executable, "-c", FORKING, str(tmp_path / "bars.parquet")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=Path(__file__).parent.parent,
    )

    def start(out):
        forking.stdin.write(f"{out}\n")
        forking.stdin.flush()
        return int(forking.stdout.readline())

    def ended():
        return int(forking.stdout.readline())

    whole, out = tmp_path / "whole.parquet", tmp_path / "soft.parquet"
    with forking:
        start(whole)
        assert ended() == 0
        parts = tmp_path / ".soft.parquet.parts"
        chance, progress = random.Random(1), [0]
        for turn in range(30):
            child, target = start(out), progress[-1] + chance.randrange(12)
            while not out.exists() and len(list(parts.glob("*.parquet"))) < target:
                time.sleep(0.001)
            time.sleep(chance.uniform(0, 0.03))
            if not out.exists():
                os.kill(child, (signal.SIGKILL, signal.SIGINT, signal.SIGTERM)[turn % 3])
            ended()
            if out.exists():
                break
            progress.append(len(list(parts.glob("*.parquet"))))
        else:
            start(out)
            assert ended() == 0
        forking.stdin.close()
    assert out.read_bytes() == whole.read_bytes()
    assert progress == sorted(progress)  # no finished part is ever lost
    assert len(set(progress)) > 2  # and it was interrupted in the middle
    assert not list(tmp_path.glob(".*.tmp"))
