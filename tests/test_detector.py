import json
import zipfile
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
import torch
from sklearn.base import clone

from deep import checkpoint, jobs, tables
from deep.detector import SpanDetector
from deep.presets import PRESETS
from deep.settings import Settings
from deep.train import Observer
from proxytools import evaluate, features, leaderboard, rundir
from proxytools.errors import DeviceError, InputError
from proxytools.proxies import make
from proxytools.types import Proxy, Spans
from tests import small

SMALL = {
    "features": "directionless",
    "hidden": 4,
    "epochs": 4,
    "batch_size": 8,
    "dropout": 0.1,
    "input_dropout": 0.0,
}
QUICK = {
    "segmental": Settings(directions=2, number=True, linear=1.0, members=2, **SMALL),
    "mask": replace(PRESETS["single"], members=1, **SMALL),
}
HEADS = tuple(QUICK)
ABOUT = {"command": ["deep"], "config": {}, "seed": 0, "inputs": {}}


def detector(head="segmental", seed=0, **given):
    return SpanDetector(QUICK[head], inner_folds=2, seed=seed, threads=1, **given)


def computed(data):
    return features.compute(data.windows.ohlc, "directionless")


@pytest.fixture(scope="module")
def fitted():
    data = small.planted()
    own = computed(data)
    return {head: detector(head).fit(own, data) for head in HEADS}, own, data


@pytest.mark.parametrize("head", HEADS)
def test_of_a_small_detector_threads_change_nothing(head, fitted):
    models, own, data = fitted
    other = SpanDetector(QUICK[head], inner_folds=2, seed=0, threads=2).fit(own, data)
    np.testing.assert_array_equal(other.predict(own), models[head].predict(own))


@pytest.mark.parametrize("head", HEADS)
def test_the_contract(head, fitted):
    models, own, data = fitted
    model, before = models[head], own.values.copy()
    assert isinstance(model, Proxy)
    assert not model.per_bar
    prob = model.predict(own)
    assert prob.shape == (len(data), data.n_bars)
    assert prob.dtype == np.float32
    assert np.all((prob >= 0) & (prob <= 1))

    spans = model.detect(own)
    assert spans.n_windows == len(data)
    assert np.all((spans.start >= 0) & (spans.start < spans.stop) & (spans.stop <= data.n_bars))
    same_window = spans.window[1:] == spans.window[:-1]
    assert np.all(spans.start[1:][same_window] >= spans.stop[:-1][same_window])
    assert np.all((spans.score >= 0) & (spans.score <= 1))

    state = torch.get_rng_state()
    again = clone(model).fit(own, data)
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(again.predict(own), prob)
    np.testing.assert_array_equal(again.detect(own).start, spans.start)
    np.testing.assert_array_equal(own.values, before)
    assert again.held_out_ == model.held_out_


@pytest.mark.parametrize("head", HEADS)
def test_unlabelled_windows_teach_nothing(head):
    data = small.part_labelled(small.planted(), 20)
    own = computed(data)
    noise = own.values.copy()
    noise[20:] = np.random.default_rng(0).normal(size=noise[20:].shape)
    prob = [
        detector(head).fit(*given).predict(own)
        for given in (
            (own, data),
            (replace(own, values=noise), data),
            (own.take(data.labelled), data.take(data.labelled)),
        )
    ]
    np.testing.assert_array_equal(prob[0], prob[1])
    np.testing.assert_array_equal(prob[0], prob[2])


def test_a_test_fold_teaches_nothing():
    """Its marks and its bars are noise: what trains on the others does not move by a bit."""
    data = small.planted()
    own = computed(data)
    folds = evaluate.folds_of(data, own, 2, 0, "0")
    held = folds[0].test
    rng = np.random.default_rng(5)
    ohlc = data.windows.ohlc.copy()
    ohlc[held] = 100 + rng.random((len(held), data.n_bars, 1)) * [1, 2, 0, 1]
    taken = rng.integers(0, 40, data.spans.n_windows)
    start = np.where(np.isin(data.spans.window, held), taken[data.spans.window], data.spans.start)
    stop = np.where(start == data.spans.start, data.spans.stop, start + 9)
    other = replace(
        data,
        windows=replace(data.windows, ohlc=ohlc),
        spans=Spans(data.spans.window, start, stop, len(data)),
    )
    probs = []
    for given in (data, other):
        values = computed(given)
        model = detector().fit(values.take(folds[0].train), given.take(folds[0].train))
        probs.append(model.predict(own))
        assert model.reader_ is not None
    np.testing.assert_array_equal(probs[0], probs[1])


@pytest.mark.parametrize("head", HEADS)
def test_soft_targets(head):
    data = small.part_labelled(small.planted(), 0)
    own = computed(data)
    soft = small.planted().mask * 0.8 + 0.05
    model = detector(head).fit(own, data, soft)
    assert model.held_out_ == {}
    prob = model.predict(own)
    assert prob[small.planted().mask == 1].mean() > prob[small.planted().mask == 0].mean()


def test_a_hard_target_is_the_marks():
    data = small.planted()
    own = computed(data)
    by_target = detector().fit(own, data, data.mask.astype(float)).predict(own)
    np.testing.assert_allclose(by_target, detector().fit(own, data).predict(own), atol=1e-4)


@pytest.mark.parametrize(
    ("target", "match"),
    [
        (np.zeros((30, 60)), "outside every span"),
        (np.ones((30, 60)), "inside a span"),
        (np.full((30, 60), 1.5), r"in \[0, 1\]"),
        (np.zeros((3, 60)), "shape"),
    ],
)
def test_bad_targets(target, match):
    data = small.planted()
    with pytest.raises(InputError, match=match):
        detector().fit(computed(data), data, target)


def test_nothing_labelled():
    data = small.part_labelled(small.planted(), 0)
    with pytest.raises(InputError, match="no labelled window"):
        detector().fit(computed(data), data)


def test_absent_devices():
    data = small.planted()
    with pytest.raises(DeviceError, match="opencl"):
        detector(device="opencl").fit(computed(data), data)


def test_other_columns_are_refused(fitted):
    models, own, _ = fitted
    with pytest.raises(InputError, match="the 3 columns it was fitted on"):
        models["segmental"].predict(replace(own, names=("a", "b", "c")))


def test_no_window_and_many(fitted, monkeypatch):
    models, own, _ = fitted
    nothing = own.take(np.empty(0, np.int64))
    for model in models.values():
        assert model.predict(nothing).shape == (0, 60)
        assert model.detect(nothing).n_windows == 0
        prob, spans = model.predict(own), model.detect(own)
        monkeypatch.setattr("deep.detector.BATCH", 7)
        np.testing.assert_allclose(model.predict(own), prob, atol=1e-5)
        np.testing.assert_array_equal(model.detect(own).window, spans.window)
        monkeypatch.undo()


class Listener(Observer):
    def __init__(self, seen):
        self.seen = seen

    def epoch(self, done, training):
        self.seen.append(done)


def test_progress_is_told_and_changes_nothing(fitted):
    models, own, data = fitted
    seen = []
    watched = detector(observer=Listener(seen)).fit(own, data)
    np.testing.assert_array_equal(watched.predict(own), models["segmental"].predict(own))
    assert seen == watched.history_
    assert {epoch.run for epoch in seen} == {"fold 1", "fold 2", "member 1", "member 2"}


def test_on_the_leaderboard():
    rows = leaderboard.correlate([detector(), make("formula")], small.planted(), n_folds=2)
    assert {row.model for row in rows} >= {"deep", "formula", "position-prior"}


def test_finds_easy_spans_it_never_saw():
    data = small.planted(60)
    settings = Settings(hidden=4, members=1, epochs=15, batch_size=8)
    deep = SpanDetector(settings, inner_folds=2, threads=1)
    found = evaluate.cross_fit(deep, data, n_folds=2).metrics
    assert found["pearson_r"] > 0.7
    assert found["span_f1_50"] > 0.6


@pytest.fixture
def run(tmp_path, fitted):
    """A function that saves a fitted detector and opens its run for tampering."""

    def saved(head="segmental"):
        models, own, data = fitted
        with rundir.create(tmp_path / head, **ABOUT) as new:
            checkpoint.save(checkpoint.model_of(models[head], data, own), new)
        return rundir.open_run(tmp_path / head)

    return saved


@pytest.mark.parametrize("head", HEADS)
def test_a_saved_detector_is_the_same(head, run, fitted):
    models, own, data = fitted
    saved = run(head)
    loaded = checkpoint.load(saved)
    np.testing.assert_array_equal(loaded.proxy.predict(own), models[head].predict(own))
    np.testing.assert_array_equal(loaded.proxy.detect(own).score, models[head].detect(own).score)
    assert (loaded.n_bars, loaded.classes) == (data.n_bars, data.classes)
    assert loaded.lookback_bars == loaded.lookahead_bars == data.n_bars - 1
    assert loaded.proxy.held_out_ == models[head].held_out_
    weights = torch.load(saved / "best_model.pt", weights_only=True)
    assert all(type(value) is torch.Tensor for value in weights.values())


HOSTILE = [
    ("format", 2),
    ("format", None),
    ("name", "../x"),
    ("feature_names", ["a", "b", "c"]),
    ("lookback_bars", 3),
    ("n_bars", 0),
    ("n_bars", 10**9),
    ("classes", []),
    ("l_max", 10**12),
    ("l_max", 3),
    ("seed", -1),
    ("inner_folds", 1.5),
    ("held_out", {"a": "b"}),
    ("settings", {}),
    ("settings", {"hidden": 10**9}),
    ("settings", {"hidden": 5}),
    ("settings", {"members": 10**9}),
    ("settings", {"head": "mask"}),
    ("settings", {"surprise": 1}),
    ("settings", {"features": "nothing"}),
    ("settings", {"features": ["full"]}),
    ("settings", {"pointers": 1.0}),
    ("reader", None),
    ("reader", {"longest": 9, "threshold": 2.0, "series_bias": 0.0}),
    ("reader", {"longest": 9, "threshold": 0.5, "series_bias": 1e9}),
    ("reader", {"longest": -9, "threshold": 0.5, "series_bias": 0.0}),
]


@pytest.mark.parametrize(("field", "value"), HOSTILE)
def test_hostile_metadata(field, value, run):
    saved = run()
    record = saved.read_json("metadata.json")
    if field == "settings" and value:
        value = {**record["settings"], **value}
    saved.write_json("metadata.json", {**record, field: value})
    with pytest.raises(InputError):
        checkpoint.load(saved)


@pytest.mark.parametrize("field", ["settings", "reader", "format", "classes"])
def test_a_field_that_is_missing(field, run):
    saved = run()
    record = saved.read_json("metadata.json")
    del record[field]
    saved.write_json("metadata.json", record)
    with pytest.raises(InputError, match=field):
        checkpoint.load(saved)


def test_a_mask_reader_is_checked(run):
    saved = run("mask")
    record = saved.read_json("metadata.json")
    for change in ({"positive_weight": 2.0}, {"decoder": {"high": 1}}):
        saved.write_json("metadata.json", {**record, "reader": {**record["reader"], **change}})
        with pytest.raises(InputError, match="reader"):
            checkpoint.load(saved)


class Evil:
    def __reduce__(self):
        return (print, ("ran",))


def tampered(weights, name):
    first = next(iter(weights))
    changed = dict(weights)
    if name == "code":
        changed[first] = Evil()
    elif name == "missing":
        del changed[first]
    elif name == "more":
        changed["more"] = torch.zeros(1)
    elif name == "shape":
        changed[first] = torch.zeros(2, 2)
    elif name == "type":
        changed[first] = changed[first].double()
    elif name == "nan":
        changed[first] = changed[first] * torch.nan
    elif name == "huge":
        changed[first] = torch.full_like(changed[first], 1e30)
    elif name == "sparse":
        changed[first] = changed[first].to_sparse()
    elif name == "list":
        return [1, 2]
    return changed


@pytest.mark.parametrize(
    "name", ["code", "missing", "more", "shape", "type", "nan", "huge", "sparse", "list"]
)
def test_hostile_weights(name, run, capsys):
    saved = run()
    weights = torch.load(saved / "best_model.pt", weights_only=True)
    torch.save(tampered(weights, name), saved / "best_model.pt")
    with pytest.raises(InputError, match=r"best_model.pt.*damaged weights"):
        checkpoint.load(saved)
    assert "ran" not in capsys.readouterr().out


def test_damaged_weights(run):
    saved = run()
    whole = (saved / "best_model.pt").read_bytes()
    empty = BytesIO()
    zipfile.ZipFile(empty, "w").close()
    for raw in (b"", b"junk", whole[:100], whole[: len(whole) // 2], empty.getvalue()):
        (saved / "best_model.pt").write_bytes(raw)
        with pytest.raises(InputError, match="damaged weights"):
            checkpoint.load(saved)
    (saved / "best_model.pt").unlink()
    with pytest.raises(InputError, match="nothing there"):
        checkpoint.load(saved)


def test_a_training_leaves_everything_in_its_run(tmp_path):
    data = small.planted()
    with rundir.create(tmp_path / "a", **ABOUT) as new:
        metrics = jobs.train(new, detector(), data, n_folds=2)
    names = {"run.json", "metrics.json", "best_model.pt", "metadata.json", "seen.npy"}
    names |= {"soft_labels.parquet", "spans.csv"}
    names |= {"curves.png", "verdict.txt", *(f"{table}.csv" for table in tables.COLUMNS)}
    assert {path.name for path in (tmp_path / "a").iterdir()} == names
    assert metrics["evaluation"] == "outer folds"
    assert json.loads((tmp_path / "a" / "metrics.json").read_text()) == metrics
    assert (
        metrics["pearson_r"] == evaluate.cross_fit(detector(), data, n_folds=2).metrics["pearson_r"]
    )
