from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.neighbors import KNeighborsClassifier
from threadpoolctl import threadpool_limits

from proxytools import decode, splits
from proxytools.errors import DeviceError, InputError
from proxytools.metrics.bar import pearson
from proxytools.proxies import NAMES, make
from proxytools.proxies.bars import BarProxy
from proxytools.proxies.devices import lightgbm_device, xgboost_device
from proxytools.proxies.formula import grid
from proxytools.proxies.reference import Constant, PositionPrior, Random
from proxytools.types import FeatureSet, Proxy, Spans
from tests import small

FORM = {"formula": "directionless", "formula-classic": "classic"}
ALL = (*NAMES, *small.REFERENCES)
CLASSIFIERS = tuple(name for name in NAMES if not name.startswith("formula"))
BOOSTED = ("lightgbm", "xgboost")


@pytest.fixture(autouse=True)
def _one_thread():
    with threadpool_limits(1, "openmp"):  # histogram trees have no setting of their own
        yield


def fitted(name, data=None, seed=0, **settings):
    data = small.planted() if data is None else data
    own = small.computed(data, name)
    return small.proxy(name, seed, **settings).fit(own, data), own, data


@pytest.mark.parametrize("name", ALL)
def test_the_contract(name):
    proxy = small.proxy(name)
    data = small.planted()
    own = small.computed(data, name)
    before = own.values.copy()
    assert isinstance(proxy, Proxy)
    model = proxy.fit(own, data)
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

    np.testing.assert_array_equal(own.values, before)
    again = clone(proxy).fit(own, data)
    np.testing.assert_array_equal(again.predict(own), prob)
    np.testing.assert_array_equal(model.predict(own), prob)
    np.testing.assert_array_equal(again.detect(own).start, spans.start)


@pytest.mark.parametrize("name", ALL)
def test_unlabelled_windows_teach_nothing(name):
    data = small.part_labelled(small.planted(), 20)
    own = small.computed(data, name)
    noise = own.values.copy()
    noise[20:] = np.random.default_rng(0).normal(size=noise[20:].shape)
    model = small.proxy(name).fit(own, data)
    other = small.proxy(name).fit(replace(own, values=noise), data)
    alone = small.proxy(name).fit(own.take(data.labelled), data.take(data.labelled))
    np.testing.assert_array_equal(model.predict(own), other.predict(own))
    np.testing.assert_array_equal(model.predict(own), alone.predict(own))


@pytest.mark.parametrize("name", ALL)
def test_a_fit_without_labelled_windows_is_refused(name):
    data = small.part_labelled(small.planted(), 0)
    with pytest.raises(InputError, match="no labelled window"):
        fitted(name, data)


@pytest.mark.parametrize("name", ALL)
def test_a_fit_on_one_class_is_refused(name):
    data = small.planted()
    n, n_bars = len(data), data.n_bars
    nowhere = replace(data, spans=Spans.of([[]] * n))
    everywhere = replace(data, spans=Spans.of([[(0, n_bars)]] * n))
    for one_class in (nowhere, everywhere):
        with pytest.raises(InputError, match=r"lie (outside every|inside a) span"):
            fitted(name, one_class)


@pytest.mark.parametrize("name", NAMES)
def test_an_inner_fold_of_one_class_is_refused_clearly(name):
    data = small.planted()
    first = [[(10, 20)]] + [[]] * (len(data) - 1)
    with pytest.raises(InputError, match="inner fold"):
        fitted(name, replace(data, spans=Spans.of(first)))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("bad", [1.5, -0.1, np.nan])
def test_targets_outside_0_to_1_are_refused(name, bad):
    data = small.planted()
    target = np.full((len(data), data.n_bars), 0.3)
    target[4, 7] = bad
    own = small.computed(data, name)
    with pytest.raises(InputError, match="target"):
        small.proxy(name).fit(own, data, target)
    with pytest.raises(InputError, match="target"):
        small.proxy(name).fit(own, data, target[:, 1:].clip(0, 1))


@pytest.mark.parametrize("name", NAMES)
def test_predicting_from_other_features_is_refused(name):
    model, own, _ = fitted(name)
    for names in (own.names[::-1], own.names[:-1]):
        with pytest.raises(InputError, match="columns"):
            model.predict(replace(own, names=names))


def test_constant_random_and_position_prior():
    data = small.planted()
    own = small.computed(data, "constant")
    constant, random, prior = (p.fit(own, data) for p in (Constant(), Random(5), PositionPrior()))
    np.testing.assert_allclose(constant.predict(own), data.mask.mean(), rtol=1e-6)
    assert len(np.unique(constant.predict(own))) == 1
    np.testing.assert_allclose(prior.predict(own)[3], data.mask.mean(axis=0), rtol=1e-6)
    assert abs(random.predict(own).mean() - 0.5) < 0.03
    assert not np.array_equal(random.predict(own), Random(6).fit(own, data).predict(own))
    shorter = FeatureSet(own.values[:, :-1], own.names, 0, 0)
    with pytest.raises(InputError, match="60 bars"):
        prior.predict(shorter)


# Soft targets


def soft_problem(seed=0, n=40, n_bars=60):
    """Features of which the first tells the probability, and those probabilities as targets."""
    rng = np.random.default_rng(seed)
    data = small.planted(n, n_bars=n_bars)
    values = rng.normal(size=(n, n_bars, 4)).astype(np.float32)
    target = 0.05 + 0.5 / (1 + np.exp(-3 * values[..., 0]))
    return FeatureSet(values, tuple("abcd"), 0, 0), data, target.astype(np.float32)


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_soft_targets_are_learnt_as_they_are(name):
    own, data, target = soft_problem()
    quick = {"rounds": 200, "patience": 30, "params": {"learning_rate": 0.2}}
    quick = quick if name in BOOSTED else {}
    prob = small.proxy(name, **quick).fit(own, data, target).predict(own)
    assert abs(prob.mean() - target.mean()) < 0.02
    assert np.abs(prob - target).mean() < 0.07
    assert pearson_of(prob, target) > 0.9


def test_the_binary_objective_of_lightgbm_would_fail_on_soft_targets():
    own, data, target = soft_problem()
    params = {"objective": "binary", "learning_rate": 0.2}
    wrong = small.proxy("lightgbm", params=params, rounds=200, inner_folds=0)
    assert abs(wrong.fit(own, data, target).predict(own).mean() - target.mean()) > 0.1


@pytest.mark.parametrize("name", ["formula", "formula-classic"])
def test_a_formula_finds_the_parameters_behind_soft_targets(name):
    data = small.planted()
    own = small.computed(data, name)
    truth = small.proxy(name, parameters=grid(FORM[name])[[13]], inner_folds=0)
    target = truth.fit(own, data).predict(own)
    found = small.proxy(name).fit(own, data, target)
    assert found.model_.get_params() == truth.model_.get_params()


def pearson_of(a, b):
    return np.corrcoef(a.ravel(), b.ravel())[0, 1]


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_targets_of_0_and_1_given_as_soft_ones_are_the_marks(name):
    model, own, data = fitted(name)
    target = data.mask.astype(np.float64)
    np.testing.assert_array_equal(
        small.proxy(name).fit(own, data, target).predict(own), model.predict(own)
    )


@pytest.mark.parametrize("name", NAMES)
def test_soft_targets_reach_unlabelled_windows_but_the_decoder_stays_with_the_marks(name):
    data = small.planted()
    own = small.computed(data, name)
    target = (0.2 + 0.6 * data.mask).astype(np.float32)
    part = small.part_labelled(data, 10)
    model = small.proxy(name).fit(own, part, target)
    expected = decode.choose(judged(name, model, own)[:10], part.spans.take(part.labelled))
    assert model.decoder_ == expected
    unmarked = small.part_labelled(data, 0)
    model = small.proxy(name).fit(own, unmarked, target)
    assert model.decoder_ == decode.Decoder()
    assert name == "formula-classic" or pearson(model.predict(own), data.mask) > 0.2


def judged(name, model, own):
    """Probabilities on which the decoder was chosen: of a formula those of the winner itself."""
    return model.predict(own) if name.startswith("formula") else model.held_out_


# What is chosen inside a fit


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_positive_weight_leaves_the_mean_probability_at_the_base_rate(name):
    data = small.planted(60)
    plain, own, _ = fitted(name, data)
    weighted, _, _ = fitted(name, data, positive_weight=6.0)
    prob = weighted.predict(own)
    assert not np.array_equal(prob, plain.predict(own))
    assert abs(prob.mean() - data.mask.mean()) < 0.04
    assert abs(plain.predict(own).mean() - data.mask.mean()) < 0.04
    raw = weighted.set_params(positive_weight=1.0).predict(own)
    assert raw.mean() > data.mask.mean() + 0.08  # the test would notice odds left as they are


@pytest.mark.parametrize("name", NAMES)
def test_the_decoder_is_chosen_on_inner_held_out_probabilities(name):
    model, own, data = fitted(name)
    assert model.decoder_ == decode.choose(judged(name, model, own), data.spans)
    held_out = np.zeros_like(model.held_out_)
    for fold in splits.folds(data, 2, seed=0):
        inner = small.proxy(name, inner_folds=0)
        if name in BOOSTED:  # as many rounds as the fold itself asked for
            inner.set_params(rounds=inner_rounds(name, own, data, fold))
        inner.fit(own.take(fold.train), data.take(fold.train))
        held_out[fold.test] = inner.predict(own.take(fold.test))
    np.testing.assert_array_equal(model.held_out_, held_out)


def inner_rounds(name, own, data, fold):
    """Rounds after which the log loss of the fold's test windows is lowest."""
    y = data.mask[fold.test].ravel()
    losses = []
    for rounds in range(1, 31):
        inner = small.proxy(name, inner_folds=0, rounds=rounds)
        inner.fit(own.take(fold.train), data.take(fold.train))
        p = inner.predict(own.take(fold.test)).ravel().astype(np.float64)
        losses.append(-np.mean(np.where(y, np.log(p), np.log1p(-p))))
    return int(np.argmin(losses)) + 1


@pytest.mark.parametrize("name", NAMES)
def test_without_inner_folds_nothing_is_chosen(name):
    model, _own, _data = fitted(name, inner_folds=0)
    assert model.decoder_ == decode.Decoder()
    assert not hasattr(model, "held_out_")


@pytest.mark.parametrize("name", BOOSTED)
def test_rounds_are_the_mean_of_the_best_of_the_inner_folds(name):
    model, _own, _data = fitted(name, rounds=2000)
    assert 1 <= model.rounds_ < 2000
    trees = model.model_.num_trees() if name == "lightgbm" else model.model_.num_boosted_rounds()
    assert trees == model.rounds_
    fixed, _, _ = fitted(name, rounds=7, inner_folds=0)
    trees = fixed.model_.num_trees() if name == "lightgbm" else fixed.model_.num_boosted_rounds()
    assert trees == 7


@pytest.mark.parametrize("name", BOOSTED)
def test_params_override_the_defaults(name):
    plain, own, _data = fitted(name)
    other, _, _ = fitted(name, params={"learning_rate": 0.3})
    assert not np.array_equal(plain.predict(own), other.predict(own))


@pytest.mark.parametrize("name", BOOSTED)
def test_the_seed_matters(name):
    one, own, _data = fitted(name, seed=1)
    two, _, _ = fitted(name, seed=2)
    assert not np.array_equal(one.predict(own), two.predict(own))


def test_the_forest_is_the_same_for_any_number_of_threads():
    data = small.planted()
    own = small.computed(data, "random-forest")
    found = []
    for threads in (1, 4):
        proxy = small.proxy("random-forest")
        proxy.classifier.set_params(n_jobs=threads)
        found.append(proxy.fit(own, data).predict(own))
    np.testing.assert_array_equal(*found)


def test_any_classifier_can_be_a_proxy():
    data = small.planted()
    own = small.computed(data, "logistic")
    proxy = BarProxy(KNeighborsClassifier(30), "neighbours", "directionless", inner_folds=2)
    prob = proxy.fit(own, data).predict(own)
    assert pearson(prob, data.mask) > 0.3
    assert pearson(proxy.held_out_, data.mask) > 0.2


# Names and devices


def test_names_are_what_make_builds():
    assert [make(name).name for name in NAMES] == list(NAMES)
    assert len({repr(make(name)) for name in NAMES}) == len(NAMES)


def test_an_unknown_name_suggests_the_near_one():
    with pytest.raises(InputError, match="Did you mean lightgbm"):
        make("lightgmb")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("device", ["tpu", "", "gpu"])
def test_an_unknown_device_is_refused(name, device):
    data = small.planted()
    with pytest.raises(InputError, match="device"):
        make(name, features="directionless", device=device).fit(small.computed(data, name), data)


@pytest.mark.parametrize("name", ["logistic", "random-forest", "hist-gradient-boosting"])
def test_scikit_learn_runs_on_the_cpu_only(name):
    assert make(name, device="auto").name == name
    for device in ("cuda", "opencl"):
        with pytest.raises(DeviceError, match=f"device for {name}"):
            make(name, device=device)


def has_cuda():
    try:
        return xgboost_device("cuda") == "cuda"
    except DeviceError:
        return False


def has_opencl():
    try:
        return lightgbm_device("opencl") == "gpu"
    except DeviceError:
        return False


@pytest.mark.parametrize("name", ["xgboost", "formula"])
def test_cuda_agrees_with_the_cpu_or_its_absence_is_an_error(name):
    if has_cuda():
        cpu, own, _ = fitted(name)
        gpu, _, _ = fitted(name, device="cuda")
        ours, theirs = gpu.predict(own), cpu.predict(own)  # XGBoost draws other rows on a GPU
        assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.99
        np.testing.assert_allclose(ours, theirs, atol=0.1)
    else:
        with pytest.raises(DeviceError, match="cuda"):
            fitted(name, device="cuda")


def test_lightgbm_has_no_cuda_in_its_published_wheel(capfd):
    try:
        lightgbm_device("cuda")
    except DeviceError:
        with pytest.raises(DeviceError, match="cuda for lightgbm"):
            fitted("lightgbm", device="cuda")
    assert capfd.readouterr().out == ""


def test_xgboost_does_not_run_on_opencl():
    with pytest.raises(DeviceError, match="Only lightgbm runs on opencl"):
        fitted("xgboost", device="opencl")


def test_opencl_agrees_with_the_cpu_or_its_absence_is_an_error():
    if not has_opencl():
        with pytest.raises(DeviceError, match="opencl"):
            fitted("lightgbm", device="opencl")
        pytest.skip("no OpenCL driver here (Debian: pocl-opencl-icd)")
    cpu, own, _data = fitted("lightgbm", rounds=3, inner_folds=0)
    gpu, _, _ = fitted("lightgbm", rounds=3, inner_folds=0, device="opencl")
    assert "device_type: gpu" in gpu.model_.model_to_string()
    assert "device_type: cpu" in cpu.model_.model_to_string()
    np.testing.assert_allclose(gpu.predict(own), cpu.predict(own), atol=0.02)
    assert pearson_of(gpu.predict(own), cpu.predict(own)) > 0.98


@pytest.mark.parametrize("name", BOOSTED)
def test_auto_finds_some_device(name):
    model, own, data = fitted(name, device="auto")
    assert pearson(model.predict(own), data.mask) > 0.3


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_printed(name, capfd):
    fitted(name)
    assert capfd.readouterr() == ("", "")
