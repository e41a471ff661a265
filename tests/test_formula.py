import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.estimator_checks import parametrize_with_checks

from proxytools import features, synthetic
from proxytools.errors import DeviceError, InputError
from proxytools.metrics.span import span_metrics
from proxytools.proxies import make
from proxytools.proxies.formula import FORMS, FormulaSearch, LinearFormula, grid
from proxytools.proxies.scoring import scores, torch_sums
from tests import naive_formula

TWO_COLUMNS = "the check fits two columns, and the formula reads three"
CANNOT_APPLY = dict.fromkeys(
    (
        "check_estimators_overwrite_params",
        "check_estimators_fit_returns_self",
        "check_readonly_memmap_input",
        "check_classifier_data_not_an_array",
        "check_classifiers_classes",
        "check_classifiers_train",
        "check_fit_idempotent",
        "check_fit_check_is_fitted",
        "check_n_features_in",
    ),
    TWO_COLUMNS,
)
ESTIMATORS = [LinearFormula(), FormulaSearch(), FormulaSearch("classic")]


@parametrize_with_checks(ESTIMATORS, expected_failed_checks=lambda _: CANNOT_APPLY)
def test_the_formula_is_a_scikit_learn_classifier(estimator, check):
    check(estimator)


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
def test_the_checks_that_cannot_apply_hold_for_three_columns(estimator):
    rng = np.random.default_rng(0)
    X = rng.random((200, 3))
    X.flags.writeable = False
    names = np.array(["no", "yes"])
    y = names[(X[:, 0] > 0.5).astype(int)]
    before = repr(estimator.get_params())
    assert estimator.fit(X, y) is estimator
    assert repr(estimator.get_params()) == before
    assert estimator.n_features_in_ == 3
    assert list(estimator.classes_) == ["no", "yes"]
    first = estimator.predict_proba(X)
    assert first.shape == (200, 2)
    np.testing.assert_allclose(first.sum(axis=1), 1)
    assert set(estimator.predict(X)) <= {"no", "yes"}
    np.testing.assert_array_equal(estimator.fit(X, y).predict_proba(X), first)
    with pytest.raises(ValueError, match="expecting 3 features"):
        estimator.predict(X[:, :2])


def bars(n, seed):
    """Returns of both signs, streaks of 0 to 10 and volatilities that are sometimes 0."""
    rng = np.random.default_rng(seed)
    vol = rng.exponential(1.0, n) * (rng.random(n) > 0.1)
    return np.column_stack([rng.normal(0, 2, n), rng.integers(0, 11, n), vol])


def parameter_sets(k, seed):
    rng = np.random.default_rng(seed)
    eps = rng.choice([0.001, 0.01, 0.1, 1.0], k)  # equal ones in a row share work in the kernel
    return np.column_stack([rng.normal(0, 1, k), rng.normal(0, 1, k), eps])


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([1, 2, 7, 1023, 1024, 1025, 5000, 66_000]) | st.integers(1, 3000),
    st.integers(1, 40),
    st.integers(0, 2**32),
    st.booleans(),
)
def test_scores_equal_the_numpy_twin(n, k, seed, soft):
    X, sets = bars(n, seed), parameter_sets(k, seed)
    y = np.random.default_rng(seed).random(n)
    y = y if soft else (y > 0.9).astype(float)
    found = scores(X, y, sets, streak_bars=10.0)
    np.testing.assert_allclose(found, naive_formula.scores(X, y, sets), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize(
    ("X", "y"),
    [
        (np.ones((50, 3)) * [-1.0, 0.0, 1.0], np.arange(50) % 2),  # always 0
        (np.ones((50, 3)) * [9.0, 9.0, 0.0], np.arange(50) % 2),  # always 1
        (np.ones((50, 3)) * [0.1, 3.3, 0.7], np.arange(50) % 3 == 0),  # some other constant
        (bars(50, 1), np.zeros(50)),
        (bars(50, 1), np.ones(50)),
    ],
)
def test_a_constant_scores_0(X, y):
    np.testing.assert_array_equal(scores(X, y, grid("classic"), streak_bars=10.0), np.zeros(27))


def test_a_formula_that_varies_in_one_bar_of_many_is_no_constant():
    X = np.ones((200_000, 3)) * [0.1, 3.3, 0.7]
    X[777, 0] = 0.2
    y = np.zeros(len(X))
    y[777] = 1
    np.testing.assert_allclose(scores(X, y, [[1.0, 0.1, 0.01]], streak_bars=10.0), 1, rtol=1e-4)


def test_scores_do_not_depend_on_the_number_of_threads():
    X, sets = bars(60_000, 5), parameter_sets(50, 5)
    y = X[:, 0] > 1
    before = numba.get_num_threads()
    try:
        found = []
        for threads in {1, min(2, numba.config.NUMBA_NUM_THREADS)}:
            numba.set_num_threads(threads)
            found.append(scores(X, y, sets))
    finally:
        numba.set_num_threads(before)
    for other in found[1:]:
        np.testing.assert_array_equal(found[0], other)


def test_a_search_over_10_000_sets_finds_the_winner_of_numpy():
    X, sets = bars(2000, 8), parameter_sets(10_000, 8)
    y = naive_formula.prob(X, sets[4321]) > 0.7
    search = FormulaSearch("classic", sets).fit(X, y)
    expected = naive_formula.scores(X, y, sets)
    np.testing.assert_allclose(search.scores_, expected, atol=1e-7)
    best = search.best_
    winner = sets[expected.argmax()]
    np.testing.assert_array_equal(
        [best.return_weight, best.streak_weight, best.vol_epsilon], winner
    )
    np.testing.assert_allclose(search.predict_proba(X)[:, 1], naive_formula.prob(X, winner))


def test_the_torch_path_equals_the_kernel():
    X, sets = bars(5000, 2), parameter_sets(33, 2)
    y = np.random.default_rng(2).random(5000)
    sums = torch_sums(X, y, sets, device="cpu")
    p = np.stack([naive_formula.prob(X, s, streak_bars=1.0) for s in sets])  # (K, n)
    expected = np.stack([p.sum(1), (p * p).sum(1), p @ y], axis=1)
    np.testing.assert_allclose(sums, expected, rtol=1e-10)
    covariance = sums[:, 2] - sums[:, 0] * y.mean()
    spread = np.sqrt((sums[:, 1] - sums[:, 0] ** 2 / 5000) * ((y - y.mean()) ** 2).sum())
    np.testing.assert_allclose(covariance / spread, scores(X, y, sets), atol=1e-9)


def test_cuda_scores_equal_the_kernel_or_its_absence_is_an_error():
    import torch

    X, sets = bars(3000, 3), parameter_sets(9, 3)
    y = X[:, 0] > 1
    if torch.cuda.is_available():
        found = scores(X, y, sets, device="cuda")
        np.testing.assert_allclose(found, scores(X, y, sets), atol=1e-9)
    else:
        with pytest.raises(DeviceError, match="cuda"):
            scores(X, y, sets, device="cuda")
        with pytest.raises(DeviceError, match="cuda"):
            FormulaSearch("classic", device="cuda").fit(X, y)


@pytest.mark.parametrize("device", ["opencl", "gpu", ""])
def test_an_unknown_device_is_no_cpu(device):
    X = bars(20, 0)
    with pytest.raises(InputError, match="device"):
        FormulaSearch("classic", device=device).fit(X, X[:, 0] > 0)


@pytest.mark.parametrize("parameters", [(2.0, 0.05, 0.001), (0.5, 0.2, 0.1)])
def test_the_classic_form_equals_pandas_from_prices_to_probability(parameters):
    data = synthetic.planted(8, preset="easy", seed=4).data
    proxy = make("formula-classic").set_params(parameters=[parameters], inner_folds=0)
    computed = features.compute(data.windows.ohlc, proxy.feature_set)
    found = proxy.fit(computed, data).predict(computed)
    expected = np.stack([naive_formula.classic(w, parameters) for w in data.windows.ohlc])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
    assert found[:, 20:].std() > 0
    # A return needs 5 bars of changes, a streak 10 bars: before, the formula is 0.
    np.testing.assert_array_equal(found[:, :5], 0)


def test_the_classic_grid_is_the_old_one():
    assert grid("classic").shape == (27, 3)
    assert len(np.unique(grid("classic"), axis=0)) == 27
    assert {tuple(np.unique(column)) for column in grid("classic").T} == {
        (0.5, 1, 2),
        (0.05, 0.1, 0.2),
        (0.001, 0.01, 0.1),
    }


def test_the_directionless_form_does_not_see_the_sign():
    data = synthetic.planted(20, preset="easy", seed=4).data
    upside_down = 30_000 - data.windows.ohlc[..., [0, 2, 1, 3]]
    proxy = make("formula")
    computed = features.compute(data.windows.ohlc, proxy.feature_set)
    mirrored = features.compute(upside_down, proxy.feature_set)
    fitted = proxy.fit(computed, data)
    np.testing.assert_allclose(fitted.predict(mirrored), fitted.predict(computed), atol=1e-5)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_reads_columns_of_its_set(form):
    chosen = FORMS[form]
    assert set(chosen.columns) <= set(features.SETS[chosen.feature_set])
    assert all(column in chosen.equation for column in chosen.columns)
    assert grid(form).shape == (27, 3)


@pytest.mark.parametrize(
    "parameters",
    [[], [1.0, 2.0, 3.0], [[1.0, 2.0]], [[1.0, 2.0, 0.0]], [[1.0, 2.0, -1.0]],
     [[np.nan, 1.0, 1.0]], [[1.0, 1.0, 1.0], [np.inf, 1.0, 1.0]]],
)  # fmt: skip
def test_parameter_sets_without_a_formula_are_refused(parameters):
    X = bars(20, 0)
    with pytest.raises(InputError, match="parameters"):
        FormulaSearch("classic", parameters).fit(X, X[:, 0] > 0)


def test_an_unknown_form_is_refused():
    X = bars(20, 0)
    for estimator in (LinearFormula(form="signed"), FormulaSearch("signed", [[1.0, 1.0, 1.0]])):
        with pytest.raises(InputError, match="form"):
            estimator.fit(X, X[:, 0] > 0)


@pytest.mark.parametrize("seed", [0, 5, 9])
def test_the_threshold_fits_the_scale_of_the_formula_that_won(seed):
    data = synthetic.planted(220, preset="medium", seed=seed).data
    few, others = data.take(range(20)), data.take(range(20, 220))
    proxy = make("formula", seed=seed)
    own, other = (features.compute(part.windows.ohlc, proxy.feature_set) for part in (few, others))
    found = proxy.fit(own, few).detect(other)
    assert span_metrics(found, others.spans)["span_f1_50"] > 0.2
