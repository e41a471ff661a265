"""What to mark next: the value of windows, no two alike, and the command."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.deep import cli as deep
from cli.proxytools import cli
from deep import presets
from proxytools import exchange, io, pipeline, pool, splits, suggest, synthetic
from proxytools.splits.similar import ALIKE, shapes
from proxytools.types import Spans, Windows

N_BARS = 40


def run(*words, code=0, command=cli):
    done = CliRunner().invoke(command, [str(word) for word in words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, (done.exit_code, done.stderr)
    return done


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Marked windows, two runs on them, and long bars of two series with a gap."""
    folder = tmp_path_factory.mktemp("made")
    data = synthetic.planted(30, preset="easy", seed=3, n_bars=N_BARS).data
    io.write(folder / "windows.parquet", data)
    for name in ("a", "b"):
        model = {"a": "logistic", "b": "formula"}[name]
        words = ("--model", model, "--folds", "2", "--threads", "1", "--quiet")
        run("fit", "--data", folder / "windows.parquet", *words, "--out", folder / name)
    series = {"es": long_bars(0, 900), "nq": long_bars(1, 700)}
    frame = pd.concat(
        [
            pd.DataFrame(ohlc, columns=["open", "high", "low", "close"]).assign(
                series_id=name, t=np.where(np.arange(len(ohlc)) < 250, 0, 50) + np.arange(len(ohlc))
            )
            for name, ohlc in series.items()
        ]
    )
    frame.to_parquet(folder / "bars.parquet", index=False)
    frame.to_csv(folder / "bars.csv", index=False)
    return folder


def long_bars(seed, n):
    data = synthetic.planted(1, preset="easy", seed=seed, n_bars=n, layout="several").data
    return data.windows.ohlc[0]


@given(st.integers(0, 10**6), st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_value_is_highest_for_what_nobody_knows(seed, n_models):
    prob = np.random.default_rng(seed).random((n_models, 5, 7))
    worth = suggest.value(prob)
    assert ((worth >= 0) & (worth <= suggest.value(np.full((1, 5, 7), 0.5)) + 1e-12)).all()
    assert suggest.value(np.round(prob[:1])) == pytest.approx(0)
    mean = prob.mean(axis=0)
    slow = [sum(p * (1 - p) ** 2 + (1 - p) * p**2 for p in row) for row in mean]
    assert worth == pytest.approx(slow)


def test_models_that_disagree_make_a_window_worth_more():
    agree = np.array([[[0.9, 0.1]], [[0.9, 0.1]]])
    disagree = np.array([[[0.9, 0.1]], [[0.1, 0.9]]])
    assert suggest.value(disagree) > suggest.value(agree)


def test_odds_are_the_values_to_a_power(monkeypatch):
    monkeypatch.setattr(suggest, "POWER", 2)
    rng, worth = np.random.default_rng(0), np.array([1.0, 2.0, 3.0, 0.0])
    first = np.bincount([suggest.priority(worth, rng).argmax() for _ in range(4000)], minlength=4)
    assert first / 4000 == pytest.approx(worth**2 / 14, abs=0.03)


@given(
    st.lists(st.integers(0, 80), min_size=1, max_size=12),
    st.integers(1, 8),
    st.booleans(),
    st.integers(0, 99),
)
@settings(max_examples=30, deadline=None)
def test_no_two_chosen_share_bars_or_are_copies(starts, n, placed, seed):
    ohlc = np.stack([BARS[s : s + 20] for s in starts])
    offset = np.array(starts) if placed else None
    windows = Windows(ohlc, np.array([str(i) for i in range(len(starts))]), offset=offset)
    worth = np.random.default_rng(seed).random(len(starts)).round(1)
    chosen = suggest.choose(windows, worth, n)
    assert len(chosen) == len(set(chosen)) <= n
    assert (np.diff(worth[chosen]) <= 0).all()
    assert worth[chosen[0]] == worth.max()
    least = 20 if placed else 15  # five bars in common cannot be told from chance
    for i, a in enumerate(chosen):
        for b in chosen[:i]:
            assert abs(starts[a] - starts[b]) >= least
    if len(chosen) < n:  # no other would have been free
        taken = windows.take(chosen)
        left = np.setdiff1d(np.arange(len(starts)), chosen)
        clear = splits.clear_of(windows.take(left), taken)
        alike = (shapes(ohlc[left]) @ shapes(ohlc[chosen]).T >= ALIKE).any(axis=1)
        assert (~clear | alike).all()


BARS = long_bars(7, 100)


def test_near_copies_and_flat_windows_are_chosen_once():
    ohlc = np.stack([BARS[:20], 3 * BARS[:20] + 5, np.ones((20, 4)), np.ones((20, 4))])
    windows = Windows(ohlc, np.array([*"abcd"]))
    chosen = suggest.choose(windows, np.array([2.0, 1.0, 4.0, 3.0]), 4)
    assert chosen == [2, 0]  # the flat ones are equal, so one is enough


def test_the_best_windows_come_first_and_are_ready_to_mark(home, made):
    words = ("suggest", made / "a", "--bars", made / "bars.parquet", "--n", "6")
    done = run(*words, "--out", "next.parquet", "--json")
    printed = json.loads(done.stdout)
    data = io.read("next.parquet")
    assert len(data) == 6
    assert not data.labelled.any()
    assert data.windows.ids.tolist() == [row["window_id"] for row in printed["windows"]]
    worth = [row["value"] for row in printed["windows"]]
    assert worth == sorted(worth, reverse=True)

    # against every window, cut the slow way
    model = pipeline.load_model(made / "a")
    bars = io.read(made / "bars.parquet", bars=N_BARS)
    prob = suggest._prob([model], bars.windows.ohlc)
    every = suggest.value(prob)
    rank = suggest.POWER * np.log(every) + np.random.default_rng(0).gumbel(size=len(every))
    order = np.argsort(-rank)[:6]
    order = order[np.argsort(-every[order])]
    assert data.windows.ids.tolist() == bars.windows.ids[order].tolist()
    np.testing.assert_array_equal(data.windows.ohlc, bars.windows.ohlc[order])
    np.testing.assert_array_equal(data.windows.offset, bars.windows.offset[order])
    assert worth == pytest.approx(every[order])

    drawn = exchange.read_suggestions(Path(printed["spans"]))
    spans = model.proxy.detect(pipeline.features.compute(data.windows.ohlc, "full"))
    assert sum(map(len, drawn.values())) == len(spans) > 0
    for k in range(len(spans)):
        name = data.windows.ids[spans.window[k]]
        assert any((m.start, m.stop) == (spans.start[k], spans.stop[k]) for m in drawn[name])
    head = Path("next.spans.csv").read_text().splitlines()[0]
    assert head == "window_id,start,end,label,score"
    run("convert", "next.parquet", "tasks.json", "--suggestions", "next.spans.csv")


def test_the_same_command_gives_the_same_files(home, made):
    for name in ("x", "y"):
        words = ("--bars", made / "bars.parquet", "--n", "5", "--out", f"{name}.parquet")
        run("suggest", made / "a", made / "b", *words)
    assert Path("x.parquet").read_bytes() == Path("y.parquet").read_bytes()
    assert Path("x.spans.csv").read_bytes() == Path("y.spans.csv").read_bytes()
    run("suggest", made / "a", "--bars", made / "bars.csv", "--n", "5", "--out", "z.parquet")
    assert io.read("z.parquet").windows.ids[0].split(":")[0] in ("es", "nq")


def test_memory_is_bounded_and_the_result_is_not_changed_by_it(made, monkeypatch):
    models = [pipeline.load_model(made / "a")]
    whole = suggest.suggest(models, made / "bars.parquet", 3)
    monkeypatch.setattr(pool, "AT_ONCE", 2)
    monkeypatch.setattr(suggest, "KEPT", 2)
    held = []
    joined = suggest.joined
    monkeypatch.setattr(
        suggest, "joined", lambda a, b: held.append(len(a) + len(b)) or joined(a, b)
    )
    parts = suggest.suggest(models, made / "bars.parquet", 3)
    assert parts.data.windows.ids.tolist() == whole.data.windows.ids.tolist()
    assert parts.value == pytest.approx(whole.value)
    assert max(held) <= 2 * 3 + 2
    assert len(held) > 5


def test_windows_the_model_learnt_from_are_left_out(home, made):
    data = io.read(made / "windows.parquet")
    others = synthetic.planted(8, preset="easy", seed=9, n_bars=N_BARS).data
    nobody = np.zeros(30, bool)
    seen = replace(data, spans=Spans.of([[]] * 30), labelled=nobody)
    io.write("pool.parquet", io.with_unlabelled(others, seen.take(range(4))))
    words = ("suggest", made / "a", "--bars", "pool.parquet", "--out", "next.parquet")
    assert "no window that is unlabelled and not learnt from" in run(*words, code=2).stderr
    assert not Path("next.parquet").exists()

    unlabelled = replace(others, spans=Spans.of([[]] * 8), labelled=np.zeros(8, bool))
    io.write("pool.parquet", io.with_unlabelled(data, unlabelled))
    run(*words)
    assert sorted(io.read("next.parquet").windows.ids) == [f"unlabelled:w{i:05}" for i in range(8)]


def test_one_flat_window_is_suggested_without_spans(home, made):
    flat = np.ones((N_BARS, 4)) * 5
    frame = pd.DataFrame(flat, columns=["open", "high", "low", "close"]).assign(t=range(N_BARS))
    frame.to_csv("flat.csv", index=False)
    run("suggest", made / "b", "--bars", "flat.csv", "--out", "next.parquet")
    assert io.read("next.parquet").windows.ids.tolist() == ["flat:0"]
    assert not Path("next.spans.csv").exists()


def test_what_cannot_be_used_is_refused(home, made):
    words = ("suggest", made / "a", "--bars", made / "bars.parquet", "--out")
    Path("there.parquet").touch()
    assert "existing path" in run(*words, "there.parquet", code=2).stderr
    Path("next.spans.csv").touch()
    assert "existing path" in run(*words, "next.parquet", code=2).stderr
    assert "folder that does not exist" in run(*words, "no/next.parquet", code=2).stderr
    run("suggest", "nowhere", "--bars", made / "bars.parquet", "--out", "n.parquet", code=2)
    run("suggest", "--bars", made / "bars.parquet", "--out", "n.parquet", code=2)
    short = pd.read_csv(made / "bars.csv").head(N_BARS - 1)
    short.to_csv("short.csv", index=False)
    done = run("suggest", made / "a", "--bars", "short.csv", "--out", "n.parquet", code=2)
    assert f"{N_BARS} bars in a row" in done.stderr
    longer = synthetic.planted(3, seed=1, n_bars=N_BARS + 1).data
    io.write("longer.parquet", longer)
    done = run("suggest", made / "a", "--bars", "longer.parquet", "--out", "n.parquet", code=2)
    assert f"windows of {N_BARS + 1} bars" in done.stderr
    model = pipeline.load_model(made / "a")
    with pytest.raises(ValueError, match="one length"):
        suggest.suggest([model, replace(model, n_bars=9)], made / "bars.csv", 3)


def test_a_detector_and_a_proxy_suggest_together(home, made, monkeypatch):
    small = {"hidden": 2, "members": 1, "epochs": 1, "features": "causal", "directions": 1}
    monkeypatch.setitem(
        presets.PRESETS, "segmental", replace(presets.PRESETS["segmental"], **small)
    )
    io.write("few.parquet", io.read(made / "windows.parquet").take(range(9)))
    words = ("train", "--data", "few.parquet", "--out", "d", "--threads", "1")
    run(*words, command=deep)
    words = ("--bars", made / "bars.parquet", "--n", "4", "--threads", "1", "--out", "next.parquet")
    done = run("suggest", "d", made / "a", *words)
    assert done.stdout.startswith("4 windows to mark")
    assert len(io.read("next.parquet")) == 4
