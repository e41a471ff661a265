"""Which marks look wrong: the model behind it, copies, leaks, and the command."""

import json
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import check_grad
from scipy.special import logit

from benchmarks.audit import spoil
from cli.proxytools import cli
from proxytools import io, synthetic
from proxytools.audit import KINDS, find, leaks
from proxytools.audit import placement as model
from proxytools.audit.pairs import KINDS as PAIRS
from proxytools.audit.pairs import pairs
from proxytools.splits.similar import near_copies, shapes
from proxytools.types import SpanDataset, Spans, Windows
from tests import naive_audit as naive

N_BARS = 40


def run(*words, code=0):
    done = CliRunner().invoke(cli, [str(word) for word in words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, (done.exit_code, done.stderr)
    return done


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def spoilt():
    planted = synthetic.planted(90, preset="easy", seed=301, n_bars=60, empty=0.2).data
    return spoil(planted, 0.1, seed=1)


def probable(spans, n_bars, seed=0, noise=0.05):
    """Probabilities that tell spans well."""
    rng = np.random.default_rng(seed)
    base = 0.1 + 0.7 * spans.mask(n_bars) + rng.normal(0, noise, (spans.n_windows, n_bars))
    return np.clip(base, 0, 1).astype(np.float32)


@st.composite
def marked(draw):
    """A few windows with up to three marks each, touching ones included, and probabilities."""
    n_bars = draw(st.integers(1, 9))
    per_window = []
    for _ in range(draw(st.integers(1, 4))):
        edges = sorted(draw(st.sets(st.integers(0, n_bars), max_size=4)))
        kept = draw(st.lists(st.booleans(), min_size=4, max_size=4))
        both = zip(pairwise(edges), kept, strict=False)
        per_window.append([span for span, keep in both if keep])
    prob = np.random.default_rng(draw(st.integers(0, 999))).random((len(per_window), n_bars))
    return Spans.of(per_window), prob


@given(marked())
@settings(max_examples=40, deadline=None)
def test_regions_leave_each_mark_the_room_that_others_do_not_take(case):
    spans, prob = case
    n_bars = prob.shape[1]
    regions = model.Regions.of(spans, n_bars)
    n = len(spans)
    np.testing.assert_array_equal(regions.start[:n], spans.start)
    for r in range(len(regions.window)):
        w, mark = regions.window[r], (regions.start[r], regions.stop[r])
        own = spans.take([w])
        taken = [p for p in zip(own.start, own.stop, strict=True) if p != mark]
        assert regions.beside[r] == bool(taken)
        free = np.ones(n_bars, bool)
        for s, e in taken:
            free[s:e] = False
        assert free[regions.low[r] : regions.high[r]].all()
        assert {regions.low[r], regions.high[r]} <= {0, n_bars, *(x for p in taken for x in p)}
    gaps = regions.start < 0
    covered = (regions.high - regions.low)[gaps].sum() + spans.length.sum()
    assert covered == prob.size


@given(marked(), st.integers(0, 999))
@settings(max_examples=25, deadline=None)
def test_placement_equals_its_slow_twin(case, seed):
    spans, prob = case
    if not len(spans):
        return
    n_bars, longest = prob.shape[1], int(spans.length.max())
    theta = np.random.default_rng(seed).normal(0, 0.5, model.N_TERMS)
    regions = model.Regions.of(spans, n_bars)
    odds = naive.log_odds(prob)
    summed = np.pad(odds.cumsum(axis=1), ((0, 0), (1, 0)))
    rise = np.pad(np.diff(odds, axis=1), ((0, 0), (1, 1)))
    columns = (regions.window, regions.low, regions.high, regions.beside, regions.start)
    logs = np.log(np.maximum(np.arange(longest + 1), 1))
    fixed = (summed, rise, *columns, regions.stop, logs)
    n = len(regions.window)
    chance, whole = np.zeros((n, 4)), np.zeros((n, 3), np.int64)
    model._summarise(*fixed, theta, chance, whole)

    likelihood = 0.0
    for r in range(n):
        row, beside = odds[regions.window[r]], regions.beside[r]
        none, each = naive.distribution(
            row, regions.low[r], regions.high[r], beside, longest, theta
        )
        mark = (int(regions.start[r]), int(regions.stop[r]))
        likelihood += np.log(each[mark] if mark[0] >= 0 else none)
        assert whole[r, 2] == len(each)
        assert chance[r, 0] == pytest.approx(none)
        over = {c: p for c, p in each.items() if c[0] < mark[1] and mark[0] < c[1]}
        if mark[0] < 0:
            assert chance[r, 1] == chance[r, 2] == 0
            best = max(each.values())
        else:
            off = {c: max(abs(c[0] - mark[0]), abs(c[1] - mark[1])) for c in over}
            near = sum(p for c, p in over.items() if 0 < off[c] <= model.REACH)
            assert chance[r, 1:] == pytest.approx([each[mark], near, 1 - sum(over.values())])
            best = max(over.values())
        assert each[tuple(whole[r, :2].tolist())] == pytest.approx(best)
    slope = np.zeros(model.N_TERMS)
    assert model._likelihood(*fixed, theta, slope) == pytest.approx(likelihood)

    def value(x):
        return model._likelihood(*fixed, x, np.zeros(model.N_TERMS))

    def gradient(x):
        found = np.zeros(model.N_TERMS)
        model._likelihood(*fixed, x, found)
        return found

    assert check_grad(value, gradient, theta) < 1e-3


def test_the_log_odds_are_those_of_scipy():
    prob = np.array([[0.2, 0.5, 1.0, 0.0]])
    assert naive.log_odds(prob)[0, :2] == pytest.approx(logit(prob[0, :2]))
    assert np.isfinite(naive.log_odds(prob)).all()


def test_each_mistake_is_found_by_its_kind():
    rng = np.random.default_rng(0)
    starts = rng.integers(4, 28, 120)
    true = Spans.of([[(s, s + 8)] if w % 6 else [] for w, s in enumerate(starts.tolist())])
    prob = probable(true, N_BARS)
    marks = [[(s, s + 8)] if w % 6 else [] for w, s in enumerate(starts.tolist())]
    marks[7] = []
    marks[12] = [(20, 28)]
    marks[19] = [(int(starts[19]), int(starts[19]) + 3)]
    suspects = find(prob, Spans.of(marks))
    flagged = suspects.take(suspects.flagged)
    found = {(int(w), KINDS[k]) for w, k in zip(flagged.window, flagged.kind, strict=True)}
    assert found == {(7, KINDS[0]), (12, KINDS[1]), (19, KINDS[2])}
    for window, start in ((7, starts[7]), (19, starts[19])):
        (row,) = np.flatnonzero(flagged.window == window)
        assert abs(flagged.better_start[row] - start) <= 1
        assert abs(flagged.better_stop[row] - start - 8) <= 1
    assert flagged.start[flagged.window == 7] == -1
    assert flagged.better_start[flagged.window == 12] == -1
    assert (np.diff(suspects.score) <= 0).all()
    assert suspects.score.min() >= 0
    assert suspects.score.max() <= 1


@pytest.mark.parametrize(
    "per_window",
    [
        [[(0, N_BARS)], [(0, 3)]],  # a span as long as the window
        [[(0, 5), (5, 9)], []],  # touching spans
        [[(0, 1)]],  # one window
    ],
)
def test_odd_marks_have_scores(per_window):
    spans = Spans.of(per_window)
    suspects = find(probable(spans, N_BARS), spans)
    assert np.isfinite(suspects.score).all()
    assert len(suspects) >= 2 * len(spans)


def test_constant_probabilities_flag_nothing():
    spans = Spans.of([[(s, s + 5)] for s in range(30)])
    assert not find(np.full((30, N_BARS), 0.1, np.float32), spans).flagged.any()
    one = Spans.of([[(0, 1)], []])
    assert np.isfinite(find(np.zeros((2, 1), np.float32), one).score).all()


def test_spoilt_windows_are_spoilt_as_they_say():
    planted = synthetic.planted(200, seed=1, empty=0.3).data
    data, kind = spoil(planted, 0.15, seed=3)
    assert np.bincount(kind[kind >= 0]).tolist() == [10, 10, 10]
    change = data.spans.count - planted.spans.count
    np.testing.assert_array_equal(change, np.select([kind == 0, kind == 1], [-1, 1], 0))
    same = (data.mask == planted.mask).all(axis=1)
    np.testing.assert_array_equal(same, kind < 0)


def test_spoilt_windows_rank_above_clean_ones(spoilt, home):
    data, kind = spoilt
    io.write("w.parquet", data)
    words = ("audit", "--data", "w.parquet", "--threads", "1", "--folds", "3", "--json")
    printed = json.loads(run(*words, "--out", "a").stdout)
    run(*words, "--out", "b")
    table = pd.read_csv("a/audit.csv")
    worst = table.groupby("window_id").score.max()[data.windows.ids].to_numpy()
    above = (worst[kind >= 0][:, None] > worst[kind < 0]).mean()
    assert above > 0.75, above
    assert table.score.is_monotonic_decreasing
    assert {path.name for path in Path("a").iterdir()} == {
        *("run.json", "audit.csv", "pairs.csv", "audit.json", "audit.png")
    }
    assert Path("a/audit.png").read_bytes().startswith(b"\x89PNG")
    for name in ("audit.csv", "pairs.csv", "audit.json", "audit.png"):
        assert Path("a", name).read_bytes() == Path("b", name).read_bytes()
    assert printed.pop("run") == "a"
    assert printed == json.loads(Path("a/audit.json").read_text())
    assert printed["flagged"] == {
        kind: int(((table.kind == kind) & table.flagged).sum()) for kind in KINDS
    }
    assert len(printed["worst"]) == 6
    assert "position-prior" in printed["notes"][-1]


def test_the_table_and_the_number_shown(spoilt, home):
    io.write("w.parquet", spoilt[0])
    words = ("audit", "--data", "w.parquet", "--threads", "1", "--folds", "2", "--out", "a")
    done = run(*words, "--n", "2")
    assert done.stdout.startswith("More probably wrong than right: ")
    assert len(done.stdout.strip().splitlines()) == 4
    assert "Mind: Where a bar stands" in done.stderr
    assert "existing path" in run(*words, code=2).stderr


@cache
def bars():
    return synthetic.planted(1, seed=9, n_bars=200).data.windows.ohlc[0]


def windows_of(starts, n_bars=20, **origin):
    ohlc = np.stack([bars()[s : s + n_bars] for s in starts])
    return Windows(ohlc, np.array([f"w{i}" for i in range(len(starts))]), **origin)


def dataset(windows, labelled=True):
    spans = Spans.of([[(2, 6)] if labelled else [] for _ in range(len(windows))])
    return SpanDataset(windows, spans, np.full(len(windows), labelled))


def test_pairs_tell_copies_from_overlaps():
    windows = windows_of([0, 40, 0, 50, 100])
    ohlc = windows.ohlc.copy()
    ohlc[4] = ohlc[1] * 3 + 7 + 1e-4 * np.sin(np.arange(80)).reshape(20, 4)
    ohlc[4, :, 1:3] = np.stack([ohlc[4].max(axis=1), ohlc[4].min(axis=1)], axis=1)
    found = pairs(dataset(replace(windows, ohlc=ohlc)))
    named = {
        (int(a), int(b)): PAIRS[k] for a, b, k in zip(found.a, found.b, found.kind, strict=True)
    }
    assert named == {(0, 2): "duplicate", (1, 3): "overlap", (1, 4): "near duplicate"}
    assert found.same_marks.all()
    apart = dict(zip(named, found.apart.tolist(), strict=True))
    assert apart == {(0, 2): False, (1, 3): False, (1, 4): True}


def test_windows_declared_apart_that_are_one_are_named():
    windows = windows_of([0, 0, 100], offset=np.array([0, 500, 1000]))
    data = dataset(windows)
    found = pairs(replace(data, spans=Spans.of([[(2, 6)], [(3, 7)], []])))
    assert (found.a.tolist(), found.b.tolist()) == ([0], [1])
    assert found.apart.all()
    assert not found.same_marks.any()
    seen = np.array([True, False, True])
    unknown = pairs(replace(data, spans=Spans.of([[(2, 6)], [], []]), labelled=seen))
    assert unknown.same_marks.all()


def test_flat_and_short_windows_are_no_near_copies():
    flat = np.ones((3, 30, 4)) * np.array([1.0, 2.0, 3.0])[:, None, None]
    assert not len(near_copies(flat)[0])
    assert not shapes(flat).any()
    short = synthetic.planted(40, seed=0, n_bars=6).data.windows.ohlc
    assert not len(near_copies(short)[0])
    random = synthetic.planted(1500, seed=0, n_bars=12).data.windows.ohlc  # two blocks
    random[1400] = random[3]
    pair, alike = near_copies(random, 0.9999)
    assert pair.tolist() == [[3, 1400]]
    assert alike[0] == pytest.approx(1)


def test_leaks_follow_chains_and_respect_what_is_in_no_side():
    windows = windows_of([0, 10, 20, 100, 150], parent=np.array(["", "", "", "p", "p"]))
    side = np.array(["train", "", "test", "train", "train"])
    assert leaks(windows, side).tolist() == [[0, 2]]
    side[4] = "test"
    assert leaks(windows, side).tolist() == [[0, 2], [3, 4]]
    assert not len(leaks(windows, np.full(5, "train")))
    assert not len(leaks(windows, np.full(5, "")))
    declared = windows_of([0, 10], offset=np.array([0, 500]))
    assert leaks(declared, np.array(["a", "b"])).tolist() == [[0, 1]]


@given(st.lists(st.tuples(st.integers(0, 60), st.sampled_from(["", "a", "b", "c"])), min_size=1))
@settings(max_examples=30, deadline=None)
def test_leaks_are_the_groups_with_several_sides(drawn):
    starts, side = zip(*drawn, strict=True)
    side = np.array(side)
    found = leaks(windows_of(starts, offset=np.array(starts)), side)
    order = np.argsort(starts, kind="stable")
    group, now, reach = {}, -1, -1
    for w in order.tolist():
        now += starts[w] >= reach
        reach = starts[w] + 20
        group[w] = now
    sides = {g: {side[w] for w in group if group[w] == g} - {""} for g in set(group.values())}
    assert len(found) == sum(max(len(s) - 1, 0) for s in sides.values())
    for a, b in found.tolist():
        assert group[a] == group[b]
        assert side[a] != side[b]


def leaky(home, side):
    data = synthetic.planted(30, preset="easy", seed=3, n_bars=40).data
    ohlc = data.windows.ohlc.copy()
    ohlc[5] = ohlc[2]
    io.write("w.parquet", replace(data, windows=replace(data.windows, ohlc=ohlc)))
    rows = [f"{name},{s}" for name, s in zip(data.windows.ids, side, strict=True)]
    Path("split.csv").write_text("\n".join(["window_id,split", *rows]))
    words = ("--model", "formula", "--threads", "1", "--folds", "2")
    return ("audit", "--data", "w.parquet", *words, "--out")


def test_a_leaking_split_exits_with_three(home):
    words = leaky(home, ["train"] * 5 + ["test"] * 25)
    done = run(*words, "a", "--split", "split.csv", code=3)
    assert "'w00002' (train) and 'w00005' (test)" in done.stderr.splitlines()[-1]
    assert json.loads(Path("a/audit.json").read_text())["leaks"] == 1

    frame = pd.read_parquet("w.parquet")
    frame["fold"] = ["train"] * 5 + ["test"] * 25
    frame.to_parquet("w.parquet")
    run(*words, "b", "--split", "fold", code=3)
    frame["fold"] = ["train"] * 6 + ["test"] * 24
    frame.to_parquet("w.parquet")
    run(*words, "c", "--split", "fold")
    assert json.loads(Path("c/audit.json").read_text())["leaks"] == 0


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ("nobody,train", "the unknown window 'nobody'"),
        ("w00001,a\nw00001,b", "'w00001' twice"),
    ],
)
def test_a_wrong_split_is_refused(home, rows, said):
    words = leaky(home, ["train"] * 30)
    Path("split.csv").write_text(f"window_id,split\n{rows}\n")
    assert said in run(*words, "a", "--split", "split.csv", code=2).stderr
    assert "nowhere" in run(*words, "a", "--split", "nowhere", code=2).stderr
    assert "no such file" in run(*words, "a", "--split", "nowhere.csv", code=2).stderr
    assert not Path("a").exists()


def test_what_cannot_be_audited_is_refused(home):
    data = synthetic.planted(12, seed=3, n_bars=40).data
    unmarked = replace(data, spans=Spans.of([[]] * 12))
    for name, other, said in (
        ("unmarked", unmarked, "no marked span"),
        ("unlabelled", replace(unmarked, labelled=np.zeros(12, bool)), "no marked span"),
        ("one", data.take([0]), "at least two groups"),
    ):
        io.write(f"{name}.parquet", other)
        done = run("audit", "--data", f"{name}.parquet", "--out", "a", "--threads", "1", code=2)
        assert said in done.stderr
        assert not Path("a").exists()


def test_flat_prices_are_audited(home):
    data = synthetic.planted(20, seed=3, n_bars=40).data
    flat = np.ones_like(data.windows.ohlc) + np.arange(20)[:, None, None]
    io.write("flat.parquet", replace(data, windows=replace(data.windows, ohlc=flat)))
    words = ("audit", "--data", "flat.parquet", "--threads", "1", "--folds", "2", "--json")
    report = json.loads(run(*words, "--out", "a").stdout)
    assert report["pairs"]["near duplicate"] == 0


def test_unlabelled_windows_are_compared_and_not_judged(home):
    data = synthetic.planted(24, preset="easy", seed=3, n_bars=40).data
    both = io.with_unlabelled(data, data.take([3]))
    io.write("w.parquet", both)
    quick = ("--model", "formula", "--threads", "1", "--folds", "2", "--json")
    words = ("audit", "--data", "w.parquet", *quick)
    report = json.loads(run(*words, "--out", "a").stdout)
    assert report["n_windows"] == 24
    assert report["pairs"]["duplicate"] == 1
    assert report["pairs"]["in different groups"] == 0 or "declared apart" in report["notes"][0]
