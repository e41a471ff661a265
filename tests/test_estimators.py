"""Every proxy is a scikit-learn estimator, and scikit-learn's own fit into one."""

from dataclasses import replace

import numba
import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks as checks
from threadpoolctl import threadpool_limits

from deep.detector import SpanDetector
from deep.settings import Settings
from proxytools import features
from proxytools.errors import InputError
from proxytools.proxies import NAMES, store
from proxytools.proxies.bars import BarProxy
from proxytools.proxies.search import Searched
from proxytools.rundir import RunDir
from tests import small

SETTINGS = Settings(features="directionless", hidden=4, members=1, epochs=1)
GRID = {"logisticregression__C": [0.01, 1.0]}


def pipeline():
    return make_pipeline(StandardScaler(), PCA(2), LogisticRegression())


def bars(classifier, **settings):
    return BarProxy(classifier, "own", "directionless", inner_folds=2, **settings)


MAKERS = {
    **{name: lambda name=name: small.proxy(name) for name in (*NAMES, *small.REFERENCES)},
    "pipeline": lambda: bars(pipeline()),
    "grid search": lambda: bars(GridSearchCV(pipeline(), GRID, cv=2)),
    "searched": lambda: Searched(small.proxy("logistic"), trials=2),
    "deep": lambda: SpanDetector(SETTINGS, inner_folds=2, threads=1),
}
PREDICTING = tuple(name for name in MAKERS if name != "searched")  # its fit returns the best proxy
every = pytest.mark.parametrize("name", MAKERS)
predicting = pytest.mark.parametrize("name", PREDICTING)


@pytest.fixture(autouse=True)
def _one_thread():
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    with threadpool_limits(1):
        yield
    numba.set_num_threads(before)


def training(name, seed=3):
    """Features and windows that a proxy learns from."""
    data = small.planted(24, seed=seed, n_bars=40)
    return features.compute(data.windows.ohlc, MAKERS[name]().feature_set), data


def learnt(proxy):
    """Names of what a fit left."""
    return {name for name in vars(proxy) if name.endswith("_")}


def nested(proxy):
    """A proxy and the estimators inside its settings."""
    inside = [value for value in proxy.get_params().values() if isinstance(value, BaseEstimator)]
    return [proxy, *inside]


def unfitted(proxy):
    return not any(learnt(estimator) for estimator in nested(proxy))


# scikit-learn's checks of settings: those that need no X


SETTING_CHECKS = (
    checks.check_estimator_cloneable,
    checks.check_estimator_repr,
    checks.check_estimator_tags_renamed,
    checks.check_valid_tag_types,
    checks.check_no_attributes_set_in_init,
    checks.check_parameters_default_constructible,
    checks.check_get_params_invariance,
    checks.check_set_params,
    checks.check_do_not_raise_errors_in_init_or_set_params,
    checks.check_mixin_order,
)
EXPECTED_TO_FAIL = {
    ("lightgbm", "check_parameters_default_constructible"): "no name stands for the library's",
    ("xgboost", "check_parameters_default_constructible"): "no name stands for the library's",
    ("deep", "check_parameters_default_constructible"): "default settings are frozen, like a tuple",
}


@every
@pytest.mark.parametrize("check", SETTING_CHECKS, ids=lambda check: check.__name__)
def test_scikit_learn_s_checks_of_settings(name, check, request):
    reason = EXPECTED_TO_FAIL.get((name, check.__name__))
    if reason:
        request.applymarker(pytest.mark.xfail(raises=AssertionError, strict=True, reason=reason))
    check(name, MAKERS[name]())


@every
def test_settings_go_round_and_unknown_ones_are_refused(name):
    proxy, other = MAKERS[name](), MAKERS[name]()
    params = proxy.get_params()
    other.set_params(**params)
    assert other.get_params() == params
    with pytest.raises(ValueError, match="Invalid parameter 'nonsense'"):
        proxy.set_params(nonsense=1)
    with pytest.raises(TypeError, match=r"nonsense|no arguments"):
        type(proxy)(nonsense=1)
    assert type(proxy).__name__ in proxy._repr_html_()


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("pipeline", "classifier__logisticregression__C"),
        ("grid search", "classifier__estimator__logisticregression__C"),
        ("searched", "proxy__classifier__logisticregression__C"),
    ],
)
def test_nested_settings_are_set_inside(name, setting):
    proxy = MAKERS[name]()
    assert proxy.set_params(**{setting: 7.5}) is proxy
    assert proxy.get_params()[setting] == 7.5
    twin = clone(proxy)
    assert twin.get_params()[setting] == 7.5
    twin.set_params(**{setting: 1.5})
    assert proxy.get_params()[setting] == 7.5  # a clone shares nothing
    with pytest.raises(ValueError, match="Invalid parameter"):
        proxy.set_params(**{setting.replace("__C", "__D"): 1})


def test_what_is_set_inside_is_what_learns():
    own, data = training("pipeline")
    proxy = bars(pipeline()).set_params(classifier__pca__n_components=1)
    assert proxy.fit(own, data).model_["pca"].n_components_ == 1


# Fits


@predicting
def test_a_fit_changes_no_setting_and_nothing_outside_itself(name):
    own, data = training(name)
    proxy, bystander = MAKERS[name](), MAKERS[name]()
    before, of_class = proxy.get_params(), dict(vars(type(proxy)))
    assert proxy.fit(own, data) is proxy
    assert learnt(proxy)
    after = proxy.get_params()
    assert after.keys() == before.keys()
    assert all(after[key] is before[key] for key in before)
    assert dict(vars(type(proxy))) == of_class
    assert unfitted(bystander)
    assert unfitted(clone(proxy))
    assert all(not learnt(inside) for inside in nested(proxy)[1:])


@predicting
def test_a_fit_is_repeatable_and_forgets_the_one_before(name):
    own, data = training(name)
    proxy = MAKERS[name]().fit(own, data)
    prob, spans = proxy.predict(own), proxy.detect(own)
    proxy.fit(*training(name, seed=4))
    assert name == "random" or not np.array_equal(proxy.predict(own), prob)
    for again in (proxy.fit(own, data), clone(proxy).fit(own, data)):
        np.testing.assert_array_equal(again.predict(own), prob)
        found = again.detect(own)
        for column in ("window", "start", "stop", "score"):
            np.testing.assert_array_equal(getattr(found, column), getattr(spans, column))
        assert learnt(again) == learnt(proxy)


@pytest.mark.parametrize("name", [*NAMES, "pipeline", "grid search"])
def test_what_is_chosen_no_more_is_forgotten(name):
    own, data = training(name)
    proxy = MAKERS[name]().fit(own, data)
    assert "held_out_" in learnt(proxy)
    proxy.set_params(inner_folds=0).fit(own, data)
    fresh = clone(proxy).fit(own, data)
    assert learnt(proxy) == learnt(fresh)
    assert "held_out_" not in learnt(proxy)
    np.testing.assert_array_equal(proxy.predict(own), fresh.predict(own))


def test_a_search_returns_another_proxy_and_stays_as_it_was():
    own, data = training("searched")
    search = MAKERS["searched"]()
    before = search.get_params()
    found = search.fit(own, data)
    assert found is not search.proxy
    assert unfitted(search)
    assert all(value is before[key] for key, value in search.get_params().items())
    np.testing.assert_array_equal(search.fit(own, data).predict(own), found.predict(own))


@predicting
def test_nothing_is_predicted_before_a_fit_or_after_one_that_failed(name):
    own, data = training(name)
    nothing = replace(data, labelled=np.zeros(len(data), bool), spans=small.Spans.of([[]] * 24))
    failed = MAKERS[name]().fit(own, data)
    with pytest.raises(InputError, match="no labelled window"):
        failed.fit(own, nothing)
    for proxy in (MAKERS[name](), failed, clone(MAKERS[name]().fit(own, data))):
        for method in (proxy.predict, proxy.detect):
            with pytest.raises(NotFittedError, match=f"This {type(proxy).__name__} .*not fitted"):
                method(own)


# scikit-learn inside a proxy


CLASSIFIERS = {
    "pipeline": pipeline,
    "grid search": lambda: GridSearchCV(pipeline(), GRID, cv=2, n_jobs=1),
    "random search": lambda: RandomizedSearchCV(pipeline(), GRID, n_iter=1, cv=2, random_state=0),
    "search in a pipeline": lambda: make_pipeline(
        StandardScaler(), PCA(2), GridSearchCV(LogisticRegression(), {"C": [0.01, 1.0]}, cv=2)
    ),
}


@pytest.mark.parametrize("kind", CLASSIFIERS)
@pytest.mark.parametrize("soft", [False, True])
def test_pipelines_and_searches_learn_and_come_back_from_a_file(kind, soft, tmp_path):
    own, data = training("pipeline")
    target = (0.1 + 0.6 * data.mask).astype(np.float32) if soft else None
    proxy = bars(CLASSIFIERS[kind]()).fit(own, data, target)
    store.save(store.Model.of(proxy, data, own), RunDir(tmp_path))
    back = store.load(RunDir(tmp_path)).proxy
    np.testing.assert_array_equal(back.predict(own), proxy.predict(own))
    np.testing.assert_array_equal(back.detect(own).start, proxy.detect(own).start)
    wanted = data.mask if target is None else target
    assert abs(proxy.predict(own).mean() - wanted.mean()) < 0.02
    assert np.corrcoef(proxy.predict(own).ravel(), wanted.ravel())[0, 1] > 0.3


def test_weights_reach_the_last_step_of_a_pipeline_inside_a_search():
    own, data = training("pipeline")
    search = GridSearchCV(pipeline(), {"logisticregression__C": [1.0]}, cv=2)
    found = bars(search, positive_weight=5.0).fit(own, data)
    plain = bars(pipeline(), positive_weight=5.0).fit(own, data)
    np.testing.assert_array_equal(found.predict(own), plain.predict(own))
    unweighted = bars(pipeline()).fit(own, data)
    assert not np.array_equal(found.predict(own), unweighted.predict(own))


def test_a_search_chooses_and_only_its_choice_is_kept():
    own, data = training("pipeline")
    poor = {"logisticregression__C": [1e-9, 1.0]}
    search = GridSearchCV(pipeline(), poor, cv=2, scoring="neg_log_loss")
    proxy = bars(search).fit(own, data)
    assert proxy.model_["logisticregression"].C == 1.0
    assert proxy.classifier is search


def test_a_forest_in_a_pipeline_votes_in_one_thread():
    own, data = training("pipeline")
    forest = make_pipeline(StandardScaler(), RandomForestClassifier(3, n_jobs=2, random_state=0))
    proxy = bars(forest).fit(own, data)
    assert proxy.model_[-1].n_jobs == 1
    assert forest[-1].n_jobs == 2
