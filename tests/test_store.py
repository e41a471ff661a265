import functools
import json
import os
import pickle
import subprocess
import sys
import zipfile
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import skops.io
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeRegressor
from threadpoolctl import threadpool_limits

from proxytools import decode, features, rundir, splits
from proxytools.errors import InputError
from proxytools.proxies import NAMES, store
from proxytools.proxies.bars import TRUSTED, BarProxy
from proxytools.rundir import RunDir
from tests import small

ROOT = Path(__file__).parent.parent
KINDS = {
    "formula": "formula.json",
    "lightgbm": "lightgbm.txt",
    "xgboost": "xgboost.json",
    "random-forest": "classifier.skops",
    "hist-gradient-boosting": "classifier.skops",
    "logistic": "classifier.skops",
}


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    with threadpool_limits(1, "openmp"):
        yield


@functools.cache
def model_of(name):
    data = small.planted()
    own = small.computed(data, name)
    return store.Model.of(small.proxy(name).fit(own, data), data, own), own


@functools.cache
def files_of(name, folder):
    run = RunDir(folder / name)
    run.path.mkdir()
    store.save(model_of(name)[0], run)
    return {path.name: path.read_bytes() for path in run.path.iterdir()}


@pytest.fixture
def saved(tmp_path, tmp_path_factory):
    """A function that writes the run of a proxy, with some of its files replaced."""
    session = tmp_path_factory.getbasetemp()

    def write(name, **replaced):
        for file, content in files_of(name, session).items():
            (tmp_path / file).write_bytes(content)
        for file, content in replaced.items():
            (tmp_path / file).write_bytes(content)
        return RunDir(tmp_path)

    return write


@pytest.mark.parametrize("name", NAMES)
def test_a_model_comes_back_as_it_was(name, saved):
    model, own = model_of(name)
    back = store.load(saved(name))
    np.testing.assert_array_equal(back.proxy.predict(own), model.proxy.predict(own))
    for column in ("window", "start", "stop", "score"):
        np.testing.assert_array_equal(
            getattr(back.proxy.detect(own), column), getattr(model.proxy.detect(own), column)
        )
    assert back.proxy.decoder_ == model.proxy.decoder_
    assert type(back.proxy) is type(model.proxy)
    assert (back.proxy.name, back.proxy.feature_set) == (name, model.proxy.feature_set)
    np.testing.assert_array_equal(back.seen, model.seen)
    assert splits.shares_bars(small.planted().windows.ohlc, back.seen).all()
    plain = {"proxy": None, "seen": None}
    assert replace(back, **plain).__dict__ == replace(model, **plain).__dict__
    files = {"model.json", "seen.npy", model.proxy.weights_file}
    assert set(files_of(name, saved(name).path)) == files


@pytest.mark.parametrize("name", ["lightgbm", "xgboost", "logistic"])
def test_a_weighted_model_comes_back_with_its_weight(name, tmp_path):
    data = small.planted()
    own = small.computed(data, name)
    proxy = small.proxy(name, positive_weight=5).fit(own, data)
    store.save(store.Model.of(proxy, data, own), RunDir(tmp_path))
    back = store.load(RunDir(tmp_path)).proxy
    np.testing.assert_array_equal(back.predict(own), proxy.predict(own))


@pytest.mark.parametrize("name", ["lightgbm", "xgboost"])
def test_trees_of_one_leaf_come_back(name, tmp_path):
    data = small.planted()
    own = small.computed(data, name)
    flat = replace(own, values=np.zeros_like(own.values))
    proxy = small.proxy(name).fit(flat, data)
    store.save(store.Model.of(proxy, data, own), RunDir(tmp_path))
    back = store.load(RunDir(tmp_path)).proxy
    np.testing.assert_array_equal(back.predict(own), proxy.predict(own))


def test_a_loaded_model_saves_to_the_same_predictions(saved, tmp_path):
    for name in KINDS:
        back = store.load(saved(name))
        again = RunDir(tmp_path / name)
        again.path.mkdir()
        store.save(back, again)
        _, own = model_of(name)
        np.testing.assert_array_equal(
            store.load(again).proxy.predict(own), model_of(name)[0].proxy.predict(own)
        )


def test_what_load_would_refuse_is_not_saved(tmp_path):
    class Own(BarProxy):
        pass

    data = small.planted()
    own = small.computed(data, "logistic")
    for proxy in (
        Own(LogisticRegression(), "own", "directionless", inner_folds=0),
        BarProxy(LogisticRegression(), "../own", "directionless", inner_folds=0),
        BarProxy(LogisticRegression(), "own", "directionless", positive_weight=0.0, inner_folds=0),
        BarProxy(LogisticRegression(), "own", "nowhere", inner_folds=0),
    ):
        positive = proxy.positive_weight
        fitted = proxy.set_params(positive_weight=1.0).fit(own, data)
        fitted.set_params(positive_weight=positive)
        with pytest.raises(InputError):
            store.save(store.Model.of(fitted, data, own), RunDir(tmp_path))


# A run directory from a stranger


def refused(run, *words):
    with pytest.raises(InputError) as caught:
        store.load(run)
    assert caught.value.exit_code == 2
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("format", 2),
        ("format", "1"),
        ("format", -1),
        ("format", True),
        ("format", None),
        ("kind", "pickle"),
        ("kind", "../lightgbm"),
        ("kind", ["lightgbm"]),
        ("name", ""),
        ("name", "../../etc/passwd"),
        ("name", "a\nb"),
        ("name", "a" * 1000),
        ("name", 7),
        ("feature_set", "nowhere"),
        ("feature_set", "../full"),
        ("feature_set", ["full"]),
        ("feature_set", "classic"),
        ("feature_names", []),
        ("feature_names", ["run_length", "around_move_7", "mean_range"]),
        ("feature_names", "around_move_7"),
        ("feature_names", [1, 2, 3]),
        ("lookback_bars", -1),
        ("lookback_bars", 10**40),
        ("lookahead_bars", 0),
        ("lookahead_bars", 1.5),
        ("lookahead_bars", None),
        ("n_bars", 0),
        ("n_bars", -5),
        ("n_bars", 10**18),
        ("n_bars", "60"),
        ("n_bars", True),
        ("classes", []),
        ("classes", "expansion"),
        ("classes", [None]),
        ("positive_weight", 0.0),
        ("positive_weight", -1.0),
        ("positive_weight", float("inf")),
        ("positive_weight", float("nan")),
        ("positive_weight", "1"),
        ("decoder", None),
        ("decoder", {}),
        ("decoder", {"high": 0.5, "low": 0.5, "min_length": 1}),
        ("decoder", {"high": 0.5, "low": 0.6, "min_length": 1, "max_gap": 0}),
        ("decoder", {"high": float("nan"), "low": 0.5, "min_length": 1, "max_gap": 0}),
        ("decoder", {"high": 0.5, "low": 0.5, "min_length": 0, "max_gap": 0}),
        ("decoder", {"high": 0.5, "low": 0.5, "min_length": 1.5, "max_gap": 0}),
        ("decoder", {"high": 0.5, "low": 0.5, "min_length": 1, "max_gap": 10**30}),
        ("decoder", {"high": "1", "low": 0.5, "min_length": 1, "max_gap": 0}),
        ("decoder", {"high": 0.5, "low": 0.5, "min_length": 1, "max_gap": 0, "path": "/"}),
    ],
)
def test_a_field_of_another_type_or_range_is_refused(field, value, saved):
    run = saved("lightgbm")
    record = run.read_json("model.json")
    assert record[field] != value or isinstance(value, bool)
    (run / "model.json").write_text(json.dumps({**record, field: value}))
    refused(run, "model.json")


@pytest.mark.parametrize("field", sorted(store._SCHEMA))
def test_a_missing_field_is_refused(field, saved):
    run = saved("lightgbm")
    record = run.read_json("model.json")
    del record[field]
    (run / "model.json").write_text(json.dumps(record))
    refused(run, "model.json", field)


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"7", b"\xff\xfe", b"[" * 100_000, b'{"n": %s}' % (b"9" * 5000)],
)
def test_a_record_that_is_no_object_is_refused(content, saved):
    run = saved("lightgbm", **{"model.json": content})
    refused(run, "model.json")


def test_missing_files_are_refused(saved):
    run = saved("lightgbm")
    (run / "lightgbm.txt").unlink()
    refused(run, "lightgbm.txt", "nothing there")
    (run / "lightgbm.txt").mkdir()
    refused(run, "lightgbm.txt")
    run = saved("formula")
    (run / "seen.npy").unlink()
    refused(run, "seen.npy")
    (run / "seen.npy").mkdir()
    refused(run, "seen.npy")
    (run / "seen.npy").rmdir()
    (run / "model.json").unlink()
    refused(run, "model.json", "nothing there")


def test_a_newer_run_is_refused(saved):
    run = saved("lightgbm")
    (run / "run.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(InputError, match="format"):
        rundir.open_run(run.path)


def npy(header, body=b""):
    header = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + body


def written(array, allow_pickle=False):
    held = BytesIO()
    np.save(held, array, allow_pickle=allow_pickle)
    return held.getvalue()


FINGERPRINTS = {
    "empty": b"",
    "text": b"hello",
    "floats": written(np.ones(3)),
    "signed": written(np.ones(3, np.int64)),
    "square": written(np.ones((2, 2), np.uint64)),
    "truncated": written(np.ones(100, np.uint64))[:300],
    "archive": b"PK\x03\x04" + bytes(100),
    "huge": npy("{'descr': '<u8', 'fortran_order': False, 'shape': (10000000000000000,)}"),
    "beyond": npy("{'descr': '<u8', 'fortran_order': False, 'shape': (1%s,)}" % ("0" * 40)),
    "negative": npy("{'descr': '<u8', 'fortran_order': False, 'shape': (-5,)}", bytes(80)),
    "code": npy("__import__('os').system('true')"),
    "nested": npy("(" * 5000),
    "dtype": npy("{'descr': 'O', 'fortran_order': False, 'shape': (1,)}", bytes(8)),
}


@pytest.mark.parametrize("which", FINGERPRINTS)
def test_a_fingerprint_that_is_none_is_refused(which, saved):
    refused(saved("formula", **{"seen.npy": FINGERPRINTS[which]}), "seen.npy")


def test_a_pickled_fingerprint_is_never_run(saved, tmp_path):
    marker = tmp_path / "marker"
    payload = written(np.array([Touch(marker)], object), allow_pickle=True)
    for content in (payload, pickle.dumps(Touch(marker))):
        refused(saved("formula", **{"seen.npy": content}), "seen.npy")
    assert not marker.exists()


@pytest.mark.parametrize("name", KINDS)
def test_weights_of_another_kind_are_refused(name, saved):
    for other in KINDS:
        if KINDS[other] != KINDS[name]:
            weights = files_of(other, saved("logistic").path.parent)[KINDS[other]]
            refused(saved(name, **{KINDS[name]: weights}), KINDS[name])


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.9])
def test_truncated_weights_are_refused(name, part, saved, tmp_path_factory):
    weights = files_of(name, tmp_path_factory.getbasetemp())[KINDS[name]]
    if name == "lightgbm":  # what stands after the trees is not read
        weights = weights[: weights.index(b"end of trees")]
    refused(saved(name, **{KINDS[name]: weights[: int(part * len(weights))]}), KINDS[name])


@pytest.mark.parametrize("name", KINDS)
def test_a_model_of_another_width_is_refused(name, saved, tmp_path_factory, monkeypatch):
    run = saved(name)
    wider = (*features.SETS[model_of(name)[0].proxy.feature_set], "body")
    monkeypatch.setitem(features.SETS, "wider", wider)
    known = features.compute(np.empty((0, 60, 4)), "wider")
    record = run.read_json("model.json")
    record |= {"feature_set": "wider", "feature_names": list(wider)}
    record |= {"lookback_bars": known.lookback_bars, "lookahead_bars": known.lookahead_bars}
    (run / "model.json").write_text(json.dumps(record))
    refused(run)


class Touch:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("name", KINDS)
def test_a_pickle_is_never_run(name, saved, tmp_path):
    marker = tmp_path / "marker"
    payload = pickle.dumps(Touch(marker))
    pickle.loads(payload)  # noqa: S301
    assert marker.exists()  # so the payload works
    marker.unlink()
    refused(saved(name, **{KINDS[name]: payload}), KINDS[name])
    assert not marker.exists()


def hostile_estimators(marker):
    system = functools.partial(os.system, f"touch {marker}")
    X, y = np.random.default_rng(0).random((50, 3)), np.arange(50) % 2
    logistic = LogisticRegression().fit(X, y)
    pipeline = make_pipeline(FunctionTransformer(), LogisticRegression()).fit(X, y)
    pipeline.steps[0][1].func = system
    named = make_pipeline(FunctionTransformer(), LogisticRegression()).fit(X, y)
    named.steps[0][1].func = os.system
    logistic.__dict__["extra"] = system
    return {"partial": system, "transformer": pipeline, "function": named, "attribute": logistic}


@pytest.mark.parametrize("which", ["partial", "transformer", "function", "attribute"])
def test_a_skops_file_with_a_foreign_type_is_never_run(which, saved, tmp_path):
    marker = tmp_path / "marker"
    weights = skops.io.dumps(hostile_estimators(marker)[which])
    refused(saved("logistic", **{"classifier.skops": weights}), "classifier.skops", "ntrusted")
    assert not marker.exists()


def other_estimators():
    rng = np.random.default_rng(0)
    X, y = rng.random((90, 3)), np.arange(90) % 2
    broken = LogisticRegression().fit(X, y)
    del broken.coef_
    unfinite = LogisticRegression().fit(X, y)
    unfinite.intercept_ = np.array([np.nan])
    return {
        "regressor": DecisionTreeRegressor().fit(X, y),
        "scaler": StandardScaler().fit(X),
        "three classes": LogisticRegression().fit(X, np.arange(90) % 3),
        "unfitted": LogisticRegression(),
        "incomplete": broken,
        "nan": unfinite,
        "wider": LogisticRegression().fit(rng.random((90, 4)), y),
        "wider trees": GradientBoostingClassifier(n_estimators=2).fit(rng.random((90, 4)), y),
        "number": 7,
        "array": X,
        "mapping": {"predict_proba": 1},
    }


@pytest.mark.parametrize("which", other_estimators())
def test_a_skops_file_with_no_binary_classifier_is_refused(which, saved):
    weights = skops.io.dumps(other_estimators()[which])
    refused(saved("logistic", **{"classifier.skops": weights}), "classifier.skops")


def test_another_classifier_of_scikit_learn_is_taken(saved):
    X, y = np.random.default_rng(0).random((90, 3)), np.arange(90) % 2
    boosted = GradientBoostingClassifier(n_estimators=2).fit(X, y)
    back = store.load(saved("logistic", **{"classifier.skops": skops.io.dumps(boosted)}))
    _, own = model_of("logistic")
    prob = boosted.predict_proba(own.values.reshape(-1, 3))[:, 1]
    np.testing.assert_array_equal(back.proxy.predict(own).ravel(), prob.astype(np.float32))


@pytest.mark.parametrize(
    "params",
    [
        {},
        [],
        {"form": "classic"},
        {"form": ["classic"], "return_weight": 1.0, "streak_weight": 1.0, "vol_epsilon": 1.0},
        {"form": "signed", "return_weight": 1.0, "streak_weight": 1.0, "vol_epsilon": 1.0},
        {"form": "classic", "return_weight": 1.0, "streak_weight": 1.0, "vol_epsilon": 1.0},
        {"form": "directionless", "return_weight": 1.0, "streak_weight": 1.0, "vol_epsilon": 0.0},
        {"form": "directionless", "return_weight": 1e999, "streak_weight": 1.0, "vol_epsilon": 1.0},
        {"form": "directionless", "return_weight": 10**400, "streak_weight": 1, "vol_epsilon": 1.0},
        {"form": "directionless", "return_weight": None, "streak_weight": 1.0, "vol_epsilon": 1.0},
        {"form": "directionless", "return_weight": 1.0, "streak_weight": 1.0, "vol_epsilon": 1.0,
         "classes_": 1.0},
    ],
)  # fmt: skip
def test_a_formula_that_is_none_is_refused(params, saved):
    refused(saved("formula", **{"formula.json": json.dumps(params).encode()}))


# Trees that would crash whoever walks them


def lightgbm_edits():
    return {
        "child beyond": ("left_child=", "1000000"),
        "child before": ("right_child=", "0"),
        "leaf beyond": ("left_child=", "-1000000"),
        "column beyond": ("split_feature=", "3"),
        "column negative": ("split_feature=", "-1"),
        "category": ("decision_type=", "1"),
        "too many leaves": ("num_leaves=", "2000000000"),
        "no leaf": ("num_leaves=", "0"),
        "negative leaves": ("num_leaves=", "-3"),
        "categories": ("num_cat=", "5"),
        "linear": ("is_linear=", "1"),
        "leaf nan": ("leaf_value=", "nan"),
        "leaf infinite": ("leaf_value=", "1e999"),
        "threshold text": ("threshold=", "__import__('os')"),
        "huge number": ("leaf_count=", "9" * 5000),
        "classes": ("num_class=", "1000000"),
        "trees an iteration": ("num_tree_per_iteration=", "7"),
        "width": ("max_feature_idx=", "99"),
        "objective": ("objective=", "multiclass num_class:5"),
        "version": ("version=", "v99"),
        "names": ("feature_names=", ""),
    }


@pytest.mark.parametrize("which", lightgbm_edits())
def test_a_tampered_lightgbm_model_is_refused(which, saved, tmp_path_factory):
    key, value = lightgbm_edits()[which]
    text = files_of("lightgbm", tmp_path_factory.getbasetemp())["lightgbm.txt"].decode()
    begin = text.index(key) + len(key)
    stop = text.index("\n", begin)
    rest = text[begin:stop].split(" ")[1:] if which not in ("objective", "names") else []
    edited = text[:begin] + " ".join([value, *rest]) + text[stop:]
    refused(saved("lightgbm", **{"lightgbm.txt": edited.encode()}), "lightgbm.txt", "damaged")


def test_sizes_that_lightgbm_would_believe_are_not_passed_on(saved, tmp_path_factory):
    text = files_of("lightgbm", tmp_path_factory.getbasetemp())["lightgbm.txt"].decode()
    begin = text.index("tree_sizes=")
    edited = text[:begin] + "tree_sizes=999999999 5\n" + text[text.index("\n", begin) + 1 :]
    model, own = model_of("lightgbm")
    back = store.load(saved("lightgbm", **{"lightgbm.txt": edited.encode()}))
    np.testing.assert_array_equal(back.proxy.predict(own), model.proxy.predict(own))


def xgboost_edits():
    trees = ("learner", "gradient_booster", "model", "trees", 0)
    about = ("learner", "learner_model_param")
    return {
        "child beyond": ((*trees, "left_children", 0), 1_000_000),
        "child itself": ((*trees, "left_children", 0), 0),
        "child negative": ((*trees, "right_children", 0), -7),
        "child fraction": ((*trees, "left_children", 0), 1.5),
        "column beyond": ((*trees, "split_indices", 0), 3),
        "column negative": ((*trees, "split_indices", 0), -1),
        "category": ((*trees, "split_type", 0), 1),
        "categories": ((*trees, "categories"), [1]),
        "parents": ((*trees, "parents", 1), 5),
        "id": ((*trees, "id"), 4),
        "deleted": ((*trees, "tree_param", "num_deleted"), "1"),
        "nodes": ((*trees, "tree_param", "num_nodes"), "999999"),
        "leaf vector": ((*trees, "tree_param", "size_leaf_vector"), "9"),
        "short column": ((*trees, "split_conditions"), []),
        "huge leaf": ((*trees, "split_conditions", -1), 1e39),
        "text": ((*trees, "base_weights", 0), "x"),
        "tree of no node": ((*trees[:-1], 0), {}),
        "tree info": (("learner", "gradient_booster", "model", "tree_info", 0), 3),
        "indptr": (("learner", "gradient_booster", "model", "iteration_indptr", 1), 9),
        "trees": (("learner", "gradient_booster", "model", "gbtree_model_param", "num_trees"), "9"),
        "booster": (("learner", "gradient_booster", "name"), "dart"),
        "objective": (("learner", "objective", "name"), "multi:softprob"),
        "classes": ((*about, "num_class"), "1000000"),
        "width": ((*about, "num_feature"), "99"),
        "targets": ((*about, "num_target"), "5"),
        "base score": ((*about, "base_score"), "[NaN]"),
        "base scores": ((*about, "base_score"), "[0.1, 0.2]"),
        "names": (("learner", "feature_names"), ["a"]),
    }


@pytest.mark.parametrize("which", xgboost_edits())
def test_a_tampered_xgboost_model_is_refused(which, saved, tmp_path_factory):
    path, value = xgboost_edits()[which]
    document = json.loads(files_of("xgboost", tmp_path_factory.getbasetemp())["xgboost.json"])
    place = functools.reduce(lambda inner, key: inner[key], path[:-1], document)
    assert place[path[-1]] != value
    place[path[-1]] = value
    refused(saved("xgboost", **{"xgboost.json": json.dumps(document).encode()}), "xgboost.json")


def test_what_is_passed_on_to_xgboost_is_what_was_checked(saved, tmp_path_factory):
    """A key given twice is one thing to one parser and another to the next."""
    text = files_of("xgboost", tmp_path_factory.getbasetemp())["xgboost.json"].decode()
    begin = text.index('"left_children":')
    stop = text.index("]", begin) + 1
    broken = '"left_children":[' + ",".join(["999999"] * text[begin:stop].count(",")) + ",999999],"
    model, own = model_of("xgboost")
    edited = text[:begin] + broken + text[begin:]  # Python takes the last one
    back = store.load(saved("xgboost", **{"xgboost.json": edited.encode()}))
    np.testing.assert_array_equal(back.proxy.predict(own), model.proxy.predict(own))


@pytest.mark.parametrize(
    ("field", "value"), [("left", 10**6), ("right", 0), ("feature_idx", 99), ("is_categorical", 1)]
)
def test_tampered_histogram_trees_are_refused(field, value, saved, tmp_path_factory):
    weights = files_of("hist-gradient-boosting", tmp_path_factory.getbasetemp())
    model = skops.io.loads(weights["classifier.skops"], trusted=TRUSTED)
    model._predictors[3][0].nodes[field][0] = value
    run = saved("hist-gradient-boosting", **{"classifier.skops": skops.io.dumps(model)})
    refused(run, "classifier.skops", "damaged")


@pytest.mark.parametrize(("field", "value"), [("left_child", 10**6), ("feature", 99)])
def test_a_tampered_forest_is_refused(field, value, saved, tmp_path_factory):
    weights = files_of("random-forest", tmp_path_factory.getbasetemp())
    model = skops.io.loads(weights["classifier.skops"], trusted=TRUSTED)
    tree = model.estimators_[5].tree_
    state = tree.__getstate__()
    state["nodes"][field][0] = value
    tree.__setstate__(state)
    run = saved("random-forest", **{"classifier.skops": skops.io.dumps(model)})
    refused(run, "classifier.skops", "damaged")


FUZZ = """
import sys
from pathlib import Path
import numpy as np
from proxytools.errors import InputError
from proxytools.proxies import store
from proxytools.rundir import RunDir
from proxytools.types import FeatureSet

root, name, file = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
good = (root / file).read_bytes()
values = np.random.default_rng(1).normal(size=(2, 60, 3)).astype(np.float32)
rng = np.random.default_rng(2)
letters = range(256) if name == "skops" else list(b"0123456789-e.,[]{} \\n")
refused = 0
for _ in range(int(sys.argv[4])):
    bad = bytearray(good)
    for _ in range(rng.integers(1, 4)):
        at = rng.integers(len(bad))
        match rng.integers(3):
            case 0:
                bad[at] = rng.choice(letters)
            case 1:
                del bad[at : at + rng.integers(1, 30)]
            case 2:
                bad[at:at] = bad[at : at + rng.integers(1, 30)]
    (root / file).write_bytes(bytes(bad))
    try:
        proxy = store.load(RunDir(root)).proxy
    except InputError:
        refused += 1
        continue
    prob = proxy.predict(FeatureSet(values, proxy.feature_names_, 0, 0))
    assert np.all((prob >= 0) & (prob <= 1)), prob
print(refused)
"""


@pytest.mark.parametrize("name", ["lightgbm", "xgboost", "logistic", "hist-gradient-boosting"])
def test_random_damage_never_crashes_the_interpreter(name, saved):
    run = saved(name)
    kind = "skops" if KINDS[name] == "classifier.skops" else name
    arguments = [str(run.path), kind, KINDS[name], "40"]
    done = subprocess.run(
        [sys.executable, "-c", FUZZ, *arguments], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 10


def test_a_zip_of_other_things_is_refused(saved):
    held = BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        archive.writestr("schema.json", "[" * 100_000)
    refused(saved("logistic", **{"classifier.skops": held.getvalue()}), "classifier.skops")


def test_the_decoder_of_a_stranger_decodes(saved):
    run = saved("formula")
    record = run.read_json("model.json")
    odd = {"high": 1e300, "low": -1e300, "min_length": 10**6, "max_gap": 10**6}
    (run / "model.json").write_text(json.dumps({**record, "decoder": odd}))
    back = store.load(run).proxy
    assert back.decoder_ == decode.Decoder(**odd)
    assert len(back.detect(model_of("formula")[1])) == 0
