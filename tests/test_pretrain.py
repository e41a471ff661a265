"""Pre-training: what it may see, what it leaves behind, and what is said about it."""

import json
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.deep import cli
from deep import gain, jobs, presets, pretrain, selfsupervised
from deep.detector import SpanDetector
from deep.device import limited, seeded
from deep.fitting import Fitting
from deep.kept import Kept
from deep.lengths import LengthPrior
from deep.model import SpanModel
from deep.pretrain import NETWORKS, Pretraining
from deep.selfsupervised import RUN, Contrastive, Masked, hidden_runs, nt_xent, view
from deep.settings import Settings
from deep.soft import level_spans
from deep.teacher import FOLDS, Teacher
from deep.train import Observer
from deep.training import Training
from proxytools import evaluate, features, io, rundir, splits, synthetic
from proxytools.errors import GateError, InputError
from proxytools.proxies.reference import Constant
from proxytools.types import SpanDataset, Spans, Windows
from tests import small

MODES = tuple(NETWORKS)
CPU = torch.device("cpu")
SMALL = Settings(
    features="directionless",
    hidden=4,
    members=1,
    epochs=2,
    batch_size=8,
    dropout=0.1,
    input_dropout=0.0,
    pretrain_epochs=2,
)
PRIOR = LengthPrior.of([3, 4], 5)


def quick_teacher(seed=0, threads=1):
    fast = {"learning_rate": 0.2, "min_data_in_leaf": 40, "lambda_l2": 1.0}
    return Teacher(small.proxy("lightgbm", seed, rounds=10, params=fast), seed)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr("deep.detector.teacher", quick_teacher)
    with limited(1):
        yield


def detector(mode, *, force=True, **given):
    own = replace(SMALL, pretrain=mode, **given)
    return SpanDetector(own, inner_folds=2, threads=1, force=force)


def computed(data):
    return features.compute(data.windows.ohlc, "directionless")


def fitted(mode, data, **given):
    return detector(mode, **given).fit(computed(data), data)


def noise(rng, n, n_bars=60):
    """Bars of no planted span."""
    path = 100 + rng.normal(size=(n, n_bars + 1)).cumsum(1)
    ohlc = np.stack([path[:, :-1], path[:, 1:]], 2)
    extreme = [ohlc.max(2) + rng.random((n, n_bars)), ohlc.min(2) - rng.random((n, n_bars))]
    return np.stack([path[:, :-1], *extreme, path[:, 1:]], 2)


def beside(data, *, seed=9, n_free=6):
    """Labelled windows, as many unlabelled ones that share their second half, and free ones."""
    rng = np.random.default_rng(seed)
    half = data.n_bars // 2
    later = noise(rng, len(data), data.n_bars)
    later[:, : data.n_bars - half] = data.windows.ohlc[:, half:]
    free = small.planted(n_free, seed=seed).windows.ohlc
    ohlc = np.concatenate([later, free])
    ids = np.array([f"u{i}" for i in range(len(ohlc))])
    nothing = Spans.of([[]] * len(ids))
    others = SpanDataset(Windows(ohlc, ids), nothing, np.zeros(len(ids), bool))
    return io.with_unlabelled(data, others)


def other_test(data, held, seed=5):
    """The same windows; of those held out neither a bar nor a mark is what it was."""
    rng = np.random.default_rng(seed)
    ohlc = data.windows.ohlc.copy()
    ohlc[held] = noise(rng, len(held), data.n_bars)
    spans = data.spans
    moved = np.isin(spans.window, held)
    start = np.where(moved, rng.integers(0, 40, len(spans)), spans.start)
    stop = np.where(moved, start + 4, spans.stop)
    changed = Spans(spans.window, start, stop, len(data))
    return replace(data, windows=replace(data.windows, ohlc=ohlc), spans=changed)


# What may be seen


@given(st.lists(st.integers(0, 90), min_size=1, max_size=8), st.integers(0, 90))
@settings(max_examples=60, deadline=None)
def test_windows_of_one_series_are_clear_where_they_share_no_bars(starts, tested):
    bars = noise(np.random.default_rng(0), 1, 120)[0]

    def cut(places, known):
        at = np.asarray(places)
        ids = np.array([f"w{i}" for i in range(len(at))])
        return Windows(bars[at[:, None] + np.arange(20)], ids, offset=at if known else None)

    shared = 20 - abs(np.array(starts) - tested)
    by_place = splits.clear_of(cut(starts, True), cut([tested], True))
    np.testing.assert_array_equal(by_place, shared <= 0)
    by_bars = splits.clear_of(cut(starts, False), cut([tested], False))
    np.testing.assert_array_equal(by_bars, shared < 6)


def test_windows_are_not_clear_of_siblings_or_of_their_time():
    ohlc, ids = noise(np.random.default_rng(0), 4, 10), np.array([*"abcd"])
    family = Windows(ohlc, ids, parent=np.array(["p", "", "p", ""]))
    assert splits.clear_of(family.take([1, 2]), family.take([0, 3])).tolist() == [True, False]

    hours = (np.arange(4)[:, None] * 11 + np.arange(10)) * np.timedelta64(1, "h")
    timed = Windows(ohlc, ids, time=np.datetime64("2024-01-01", "ns") + hours)
    rest, tested = timed.take([0, 2, 3]), timed.take([1])
    for reach, expected in (
        ({}, [True, True, True]),
        ({"embargo": "90min"}, [True, False, True]),
        ({"lookback_bars": 2}, [False, False, True]),
    ):
        assert splits.clear_of(rest, tested, **reach).tolist() == expected
    same_hours = replace(timed, series=np.array([*"wxyz"])).take([1])
    assert not splits.clear_of(same_hours, tested).any()
    elsewhere = Windows(ohlc, ids, series=np.array([*"wxyz"]), offset=np.zeros(4, np.int64))
    assert splits.clear_of(elsewhere.take([0, 1]), elsewhere.take([2, 3])).all()


def test_unlabelled_windows_bring_no_marks_and_leave_the_folds_alone():
    data, others = small.planted(12), small.planted(7, seed=8)
    placed = replace(data, windows=replace(data.windows, offset=np.arange(12) * 60))
    for own in (data, placed):
        both = io.with_unlabelled(own, others)
        assert both.labelled.sum() == 12
        assert both.spans.count[12:].sum() == 0
        assert len(set(both.windows.ids)) == 19
        np.testing.assert_array_equal(both.mask[:12], own.mask)
        before, after = splits.groups(own.windows), splits.groups(both.windows)
        np.testing.assert_array_equal(after[:12], before)
        assert len(set(after[12:]) - set(before)) == 7


def test_unlabelled_windows_that_fit_no_data_set():
    data = small.planted(12)
    with pytest.raises(InputError, match="40 bars, expected 60"):
        io.with_unlabelled(data, small.planted(3, n_bars=40))
    time = np.datetime64("2024-01-01", "ns") + np.zeros((12, 60), "timedelta64[h]")
    with pytest.raises(InputError, match="no clock times"):
        io.with_unlabelled(replace(data, windows=replace(data.windows, time=time)), data)


SEEN = []


class Spy(Constant):
    name = "spy"

    def fit(self, features, data, target=None):
        SEEN.append((data, len(features.values)))
        return super().fit(features, data, target)


@pytest.mark.parametrize("uses", [False, True])
def test_folds_learn_from_unlabelled_windows_clear_of_their_test(uses, monkeypatch):
    monkeypatch.setattr(Spy, "uses_unlabelled", uses, raising=False)
    SEEN.clear()
    data = beside(small.planted(12))
    found = evaluate.cross_fit(Spy(), data, n_folds=3)
    assert len(found.data) == len(found.soft.prob) == found.spans.n_windows == 12
    tested = set()
    for train, n in SEEN:
        assert len(train) == n
        marked = set(train.windows.ids[train.labelled])
        test = set(data.windows.ids[:12]) - marked
        tested |= test
        others = {f"unlabelled:u{i}" for i in range(18)}
        others -= {f"unlabelled:u{int(name[1:])}" for name in test}
        assert set(train.windows.ids[~train.labelled]) == (others if uses else set())
    assert len(tested) == 12


@pytest.mark.parametrize("mode", MODES)
def test_a_test_fold_teaches_nothing(mode):
    """Its marks and bars are noise, wherever they appear: nothing that is learnt moves a bit."""
    labelled = small.planted(16)
    data = beside(labelled)
    fold = evaluate.folds_of(data, computed(data), 2, 0, "0")[0]
    changed = beside(other_test(labelled, fold.test))
    assert not np.isin(fold.test + 16, fold.train).any()  # the windows that share their bars
    np.testing.assert_array_equal(
        evaluate.folds_of(changed, computed(changed), 2, 0, "0")[0].train, fold.train
    )
    own = computed(data)
    probs = [fitted(mode, given.take(fold.train)).predict(own) for given in (data, changed)]
    np.testing.assert_array_equal(probs[0], probs[1])


def pretraining(mode, data, **given):
    own = replace(SMALL, pretrain=mode, **given)
    values = features.compute(data.windows.ohlc, own.features)
    n, teacher = int(data.labelled.sum()), quick_teacher()
    return Pretraining(own, values, data, n, teacher=teacher, device=CPU, force=True)


def started(start):
    """A model after pre-training, and the passes of it."""
    with seeded((3,), CPU):
        model = SpanModel(start.values.shape[2], start.settings, PRIOR, -3.0)
    history = start.train(model, (1, 2), "fold 1", observer=Observer(), kept=Kept())
    return model, history


@pytest.mark.parametrize("mode", MODES)
def test_an_inner_fold_holds_out_what_it_holds_out(mode):
    labelled = small.planted(16)
    train, held = np.arange(9), np.arange(9, 16)
    weights = []
    for given_data in (labelled, other_test(labelled, held)):
        own = pretraining(mode, beside(given_data))
        start = own.on(train, held)
        assert start.learnt.tolist() == [*range(9), *range(16, 16 + 9), *range(32, 38)]
        weights.append(started(start)[0].state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_the_teacher_is_refitted_for_every_inner_fold(monkeypatch):
    seen = []

    def cross_fit(self, data, do=Teacher.cross_fit):
        seen.append(set(data.windows.ids[data.labelled]))
        return do(self, data)

    monkeypatch.setattr(Teacher, "cross_fit", cross_fit)
    data = small.planted(16)
    fitted("proxies", data)
    inner = [set(data.windows.ids[fold.train]) for fold in splits.folds(data, 2, seed=0)]
    assert seen == [set(data.windows.ids), *inner]


def test_soft_labels_are_held_out():
    data = beside(small.planted(12))
    labelled = data.take(data.labelled)
    teacher = quick_teacher()
    soft = teacher.soft_labels(data, teacher.cross_fit(data))
    own = computed(data)
    for fold in splits.folds(labelled, FOLDS, seed=0):
        one = quick_teacher().proxy.fit(own.take(fold.train), data.take(fold.train))
        np.testing.assert_array_equal(soft[fold.test], one.predict(own.take(fold.test)))
    every = quick_teacher().proxy.fit(own, data)
    np.testing.assert_array_equal(soft[12:], every.predict(own)[12:])


# What it does


@pytest.mark.parametrize("mode", MODES)
def test_unlabelled_windows_teach_something(mode):
    data = beside(small.planted(12))
    own = computed(data)
    with_them = fitted(mode, data).predict(own)
    again = fitted(mode, data).predict(own)
    without = fitted(mode, data.take(data.labelled)).predict(own)
    np.testing.assert_array_equal(with_them, again)
    assert np.abs(with_them - without).max() > 1e-4


@pytest.mark.parametrize("mode", MODES)
def test_one_unlabelled_window(mode):
    data = small.planted(12)
    data = io.with_unlabelled(data, small.planted(1, seed=8))
    assert np.isfinite(fitted(mode, data).predict(computed(data))).all()


class Starts(Observer):
    def __init__(self, seen):
        self.seen = seen

    def start(self, run, training, *others):
        weights = {k: v.clone() for k, v in training.model.state_dict().items()}
        self.seen.append((run, weights, {p.requires_grad for p in training.model.parameters()}))


@pytest.mark.parametrize("mode", MODES)
def test_training_goes_on_from_what_was_pretrained(mode, monkeypatch):
    ends = []

    def train(self, model, *given, do=pretrain.Start.train, **options):
        passes = do(self, model, *given, **options)
        ends.append({k: v.clone() for k, v in model.state_dict().items()})
        return passes

    monkeypatch.setattr(pretrain.Start, "train", train)
    data, seen, plain = small.planted(12), [], []
    detector(mode).set_params(observer=Starts(seen)).fit(computed(data), data)
    detector("none").set_params(observer=Starts(plain)).fit(computed(data), data)
    assert [run for run, _, _ in seen] == ["fold 1", "fold 2", "member 1"]
    for (_, begun, trainable), end, (_, fresh, _) in zip(seen, ends, plain, strict=True):
        assert trainable == {True}
        assert all(torch.equal(begun[name], end[name]) for name in end)
        moved = {name for name in begun if not torch.equal(begun[name], fresh[name])}
        assert {name for name in begun if name.startswith("encoder")} <= moved
        if mode == "proxies":
            assert any(name.startswith("head") for name in moved)
        else:
            assert all(name.startswith("encoder") for name in moved)


def test_soft_labels_say_how_many_spans_there_are_until_marks_do(monkeypatch):
    """Else a window that is not one of a single span could only be learnt by spoiling scores."""
    data, numbers = small.planted(12), {"Taught": [], "SpanModel": []}

    def training(model, settings):
        numbers[type(model).__name__].append(getattr(model, "model", model).number.clone())
        return Training(model, settings)

    for module in ("fitting", "pretrain"):
        monkeypatch.setattr(f"deep.{module}.Training", training)
    fitted("proxies", data, number=True)
    pretrained, marked = numbers["Taught"], numbers["SpanModel"]
    detector("none", number=True).fit(computed(data), data)
    assert len(pretrained) == 3
    assert [len(marked), *map(torch.equal, marked[:3], marked[3:])] == [6, True, True, True]
    start = pretraining("proxies", data).whole
    count = np.concatenate([level.count for level in level_spans(start.target)])
    assert np.mean(count == 0) > 0.1
    assert torch.equal(pretrained[-1], start.number)
    assert start.number[0] > marked[-1][0]


def test_members_go_on_from_one_pretraining():
    data, seen = small.planted(12), []
    model = detector("masked", members=2).set_params(observer=Starts(seen))
    model.fit(computed(data), data)
    runs = [past.run for past in model.history_ if past.run.endswith("pre-training")]
    expected = [f"{run}, pre-training" for run in ("fold 1", "fold 2", "members")]
    assert runs[::2] == runs[1::2] == expected
    one, other = (weights for run, weights, _ in seen if run.startswith("member"))
    own = {name for name in one if not torch.equal(one[name], other[name])}
    assert own
    assert own <= {"head.scores.weight", "head.scores.bias"}


@pytest.mark.parametrize("mode", MODES)
def test_the_loss_falls(mode):
    data = io.with_unlabelled(small.planted(12), small.planted(60, seed=8))
    start = pretraining(mode, data, features="directed", directions=2).whole
    faster = replace(start.settings, pretrain_epochs=6, learning_rate=0.01, hidden=8)
    _, history = started(replace(start, settings=faster))
    assert [past.epoch for past in history] == list(range(1, 7))
    assert history[-1].loss < 0.9 * history[0].loss
    assert {past.run for past in history} == {"fold 1, pre-training"}


def test_the_other_tasks_are_left_alone():
    data = beside(small.planted(12))
    jade = replace(presets.preset("jade"), hidden=4, pretrain="proxies", pretrain_epochs=1)
    own = features.compute(data.windows.ohlc, "jade")
    ahead = Pretraining(jade, own, data, 12, teacher=quick_teacher(), device=CPU, force=True)
    with seeded((3,), CPU):
        model = SpanModel(12, jade, PRIOR, -3.0)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    (past,) = ahead.whole.train(model, (1, 2), "member 1", observer=Observer(), kept=Kept())
    assert set(past.losses) == {"span"}
    for name, weights in model.state_dict().items():
        same = name.startswith("others") or name in ("log_sigma", "mean", "gain", "signs")
        assert torch.equal(weights, before[name]) == same, name
    assert all(weights.requires_grad for weights in model.parameters())
    SpanDetector(replace(jade, epochs=1), inner_folds=2, threads=1, force=True).fit(own, data)


def test_pretraining_is_gone_on_with(tmp_path, monkeypatch):
    """A second start finds the first one's end and does not move it."""
    start = pretraining("masked", beside(small.planted(12))).whole
    weights = []
    for _ in range(2):
        with seeded((3,), CPU):
            model = SpanModel(start.values.shape[2], start.settings, PRIOR, -3.0)
        start.train(model, (1, 2), "fold 1", observer=Observer(), kept=Kept(tmp_path))
        weights.append(model.state_dict())
        monkeypatch.setattr(Masked, "forward", None)  # nothing is left to be computed
    assert len(list(tmp_path.iterdir())) == 1
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_children_are_pretrained_on_as_well():
    data = beside(small.planted(12))
    model = fitted("masked", data, slide=10, child_bars=40)
    assert np.isfinite(model.predict(computed(data))).all()


def test_without_an_encoder_there_is_nothing_to_pretrain():
    with pytest.raises(InputError, match="an encoder to pre-train"):
        fitted("masked", small.planted(12), hidden=0)


def test_a_target_beside_proxies_is_refused():
    data = small.planted(12)
    target = data.mask.astype(float)
    with pytest.raises(InputError, match="a target beside proxies"):
        detector("proxies").fit(computed(data), data, target)
    detector("masked").fit(computed(data), data, target)


# The heads


def network(kind, n_bars=30, n=6):
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(n, n_bars, 5, generator=generator)
    with seeded((0,), CPU):
        return kind(SpanModel(5, SMALL, PRIOR, -3.0)).train(), values


def test_masked_sees_what_is_left_and_is_judged_by_what_is_hidden(monkeypatch):
    masked, values = network(Masked)
    hidden = torch.rand(6, 30, generator=torch.Generator().manual_seed(1)) < 0.3
    hidden[:, 0] = True
    monkeypatch.setattr(selfsupervised, "hidden_runs", lambda *shape, device: hidden)
    seen = []
    masked.model.encoder.register_forward_hook(lambda _, given, out: seen.append((given, out)))
    loss = masked(values)["masked"]
    ((x,), (states, _)) = seen[0]
    assert torch.equal(x[~hidden], values[~hidden])
    assert not x[hidden].any()
    found = masked.reconstruct(states)
    for i in range(6):
        error = (found[i] - values[i])[hidden[i]].abs()
        huber = torch.where(error < 1, error**2 / 2, error - 0.5)
        torch.testing.assert_close(loss[i], huber.mean())


@pytest.mark.parametrize("n_bars", [1, 5, RUN, 60])
def test_hidden_runs(n_bars):
    with seeded((0,), CPU):
        hidden = hidden_runs(400, n_bars, device=CPU).numpy()
    assert hidden.any(1).all()
    for row in hidden:
        edges = np.flatnonzero(np.diff(np.pad(row, 1).astype(int)))
        for begin, end in zip(edges[::2], edges[1::2], strict=True):
            assert end - begin >= RUN or end == n_bars
    if n_bars == 60:
        assert 0.25 < hidden.mean() < 0.45


def test_views_move_a_window_mirror_it_and_take_columns_away(monkeypatch):
    monkeypatch.setattr(selfsupervised, "JITTER", 0.0)
    x = torch.randn(60, 30, 4, generator=torch.Generator().manual_seed(0))
    signs = torch.tensor([1.0, -1, -1, 1])
    with seeded((0,), CPU):
        seen = view(x, signs)
    shifts, mirrored, dropped = set(), set(), 0
    for own, window in zip(seen, x, strict=True):
        columns = own.any(0)
        dropped += int((~columns).sum())
        for shift, by in product(range(-3, 4), (torch.ones(4), signs)):
            moved = torch.zeros_like(window)
            there = range(max(0, -shift), min(30, 30 - shift))
            moved[list(there)] = window[[t + shift for t in there]] * by
            if columns[1:3].any() and torch.equal(moved * columns, own):
                shifts.add(shift)
                mirrored.add(bool((by < 0).any()))
                break
        else:
            assert not columns[1:3].any()
    assert shifts == set(range(-3, 4))
    assert mirrored == {False, True}
    assert 0 < dropped < 120


def slow_nt_xent(one, other, temperature):
    views = [*one, *other]
    n, losses = len(one), []
    for i, own in enumerate(views):
        near = [float(own @ v / own.norm() / v.norm()) / temperature for v in views]
        others = [s for j, s in enumerate(near) if j != i]
        losses.append(np.log(np.sum(np.exp(others))) - near[(i + n) % (2 * n)])
    return (np.array(losses[:n]) + np.array(losses[n:])) / 2


@pytest.mark.parametrize("n", [1, 2, 7])
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_nt_xent(n, temperature):
    one, other = torch.randn(2, n, 5, generator=torch.Generator().manual_seed(n))
    loss = nt_xent(one, other, temperature)
    np.testing.assert_allclose(loss, slow_nt_xent(one, other, temperature), atol=1e-4)
    assert nt_xent(one[:0], other[:0]).shape == (0,)


@pytest.mark.parametrize("kind", [Masked, Contrastive])
def test_a_window_of_one_bar(kind):
    one_bar, values = network(kind, n_bars=1)
    (loss,) = one_bar(values).values()
    assert torch.isfinite(loss).all()
    assert loss.shape == (6,)


# What is said about it


def shuffled(n=30):
    data = small.planted(n, "easy", 6)
    order = np.random.default_rng(0).permutation(len(data))
    return replace(data, spans=data.spans.take(order))


def test_the_gate(monkeypatch):
    monkeypatch.setattr("deep.detector.teacher", lambda *_: Teacher(small.proxy("lightgbm"), 0))
    data = shuffled()
    with monkeypatch.context() as patched:
        patched.setattr(Fitting, "_train", None)  # refused before anything is trained
        with pytest.raises(GateError, match="lightgbm, has r ="):
            fitted("proxies", data, force=False)
    (warning,) = fitted("proxies", data).warnings_
    assert "all the same" in warning
    assert fitted("proxies", small.planted(), force=False).warnings_ == []
    assert fitted("masked", data, force=False).warnings_ == []


ABOUT = {"command": ["deep"], "config": {}, "seed": 0, "inputs": {}}


@pytest.mark.parametrize("n_folds", [0, 2])
def test_a_run_says_what_pretraining_gave(n_folds, tmp_path):
    data = beside(small.planted(12))
    with rundir.create(tmp_path / "a", **ABOUT) as new:
        metrics = jobs.train(new, detector("proxies"), data, n_folds=n_folds)
    plain = detector("none")
    if n_folds:
        own = evaluate.cross_fit(plain, data, n_folds=n_folds)
        without = own.metrics
    else:
        without = plain.fit(computed(data), data).held_out_
    gained = metrics["pretraining_gain"]
    for name in ("pearson_r", "span_f1_50"):
        assert metrics["without_pretraining"][name] == without[name]
        assert gained[name] == metrics[name] - without[name]
        if n_folds:
            assert gained[f"{name}_low"] <= gained[name] <= gained[f"{name}_high"]
        else:
            assert f"{name}_low" not in gained
    passes = (tmp_path / "a" / "pretraining.csv").read_text().splitlines()
    assert len(passes) == 1 + 3 * SMALL.pretrain_epochs  # two inner folds and a member
    model = jobs.load_model(tmp_path / "a")
    assert splits.shares_bars(data.windows.ohlc, model.seen).all()


def test_a_warning_where_marks_alone_find_nothing():
    assert gain.warnings("masked", {"span_f1_50": 0.1}) == []
    assert gain.warnings("proxies", {"span_f1_50": 0.2}) == []
    for f1 in (0.19, None):
        (said,) = gain.warnings("proxies", {"span_f1_50": f1})
        assert "still under 0.20" in said


@pytest.fixture
def call(tmp_path, monkeypatch):
    monkeypatch.setitem(presets.PRESETS, "segmental", SMALL)

    def run(data, *more, expect=0):
        path = tmp_path / "windows.parquet"
        io.write(path, data)
        words = ("train", "--data", path, "--out", tmp_path / "run", "--threads", "1", "--quiet")
        done = CliRunner().invoke(cli, [str(word) for word in (*words, *more)])
        assert done.exit_code == expect, done.output
        return done

    return run


def test_the_command(call, tmp_path):
    bars = small.planted(8, seed=8).windows.ohlc.reshape(-1, 4)
    long = tmp_path / "bars.csv"
    rows = [f"{t},{','.join(map(str, bar))}" for t, bar in enumerate(bars)]
    long.write_text("\n".join(["t,open,high,low,close", *rows]))
    done = call(small.planted(12), "--pretrain-proxies", "--unlabelled", long, "--force")
    line = next(text for text in done.stdout.splitlines() if text.startswith("Pre-training"))
    assert line.startswith("Pre-training (proxies) gave pearson_r ")
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert set(record["inputs"]) == {str(tmp_path / "windows.parquet"), str(long)}
    about = json.loads((tmp_path / "run" / "metadata.json").read_text())
    assert about["settings"]["pretrain"] == "proxies"
    model = jobs.load_model(tmp_path / "run")
    assert splits.shares_bars(bars.reshape(-1, 60, 4), model.seen).all()


def test_the_command_at_the_gate(call, tmp_path):
    done = call(shuffled(), "--pretrain", "proxies", expect=3)
    assert "No proxy passes the gate" in done.stderr
    assert not (tmp_path / "run").exists()
    done = call(shuffled(), "--pretrain", "proxies", "--force", "--json")
    assert "Warning: No proxy passes the gate" in done.stderr
    assert len(json.loads(done.stdout)["warnings"]) >= 1


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--pretrain", "moco"), "--pretrain"),
        (("--pretrain", "masked", "--pretrain-proxies"), "expected one"),
        (("--unlabelled", "bars.csv"), "--pretrain as well"),
        (("--force",), "--pretrain as well"),
        (("--pretrain", "masked", "--pretrain-epochs", "0"), "--pretrain-epochs"),
        (("--pretrain", "masked", "--unlabelled", "nowhere.csv"), "nowhere.csv"),
    ],
)
def test_bad_usage(more, says, call):
    done = call(small.planted(12), *more, expect=2)
    assert says in done.stderr


def test_planted_marks_are_left_out_of_the_unlabelled(call, tmp_path):
    others = tmp_path / "others.parquet"
    io.write(others, synthetic.planted(5, preset="easy", seed=8, n_bars=60).data)
    call(small.planted(12), "--pretrain", "masked", "--unlabelled", others)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["without_pretraining"]["pearson_r"] is not None
