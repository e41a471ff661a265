from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.neighbors import KNeighborsClassifier
from threadpoolctl import threadpool_limits

from proxytools import evaluate, features, leaderboard, splits, synthetic
from proxytools.errors import InputError
from proxytools.evaluate import compare, cross_fit
from proxytools.metrics.bar import pearson
from proxytools.proxies.bars import BarProxy
from proxytools.proxies.formula import FormulaSearch
from proxytools.proxies.linear import FormulaProxy
from proxytools.proxies.reference import Constant, PositionPrior, Random
from proxytools.types import FeatureSet, SpanDataset, Spans, Windows
from tests import small


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    with threadpool_limits(1, "openmp"):
        yield


class Spy(BaseEstimator):
    """Notes the windows of every fit and of every prediction that follows."""

    name = "spy"
    feature_set = "classic"
    log: list = []  # noqa: RUF012

    def fit(self, own, data, target=None):
        self.trained_ = set(data.windows.ids)
        assert data.labelled.all()
        return self

    def predict(self, own):
        asked = own.values[:, 0, 0].astype(int)
        self.log.append((self.trained_, asked))
        return np.repeat(asked[:, None] / 1000, own.values.shape[1], axis=1).astype(np.float32)

    def detect(self, own):
        return Spans.of([[(int(i) % 7, int(i) % 7 + 3)] for i in own.values[:, 0, 0]])


def numbered(data, lookback_bars=0):
    """A feature set in which every window carries its own number."""
    number = np.arange(len(data), dtype=np.float32)
    values = np.repeat(number[:, None], data.n_bars, axis=1)[..., None]
    return {"classic": FeatureSet(values, ("number",), lookback_bars, 5)}


@pytest.fixture
def spied():
    Spy.log.clear()
    return Spy.log


def hourly(n_windows=12, n_bars=10):
    """Windows that follow each other without a gap, an hour a bar."""
    rng = np.random.default_rng(0)
    time = np.datetime64("2024-01-01", "ns") + np.arange(n_windows * n_bars).reshape(
        n_windows, n_bars
    ) * np.timedelta64(1, "h")
    ohlc = rng.random((n_windows, n_bars, 1)) + np.array([0.1, 0.3, 0.0, 0.2])
    windows = Windows(ohlc, np.array([f"w{i}" for i in range(n_windows)]), time=time)
    spans = Spans.of([[(2, 5)]] * n_windows)
    return SpanDataset(windows, spans, np.ones(n_windows, bool))


# cross_fit


def test_each_labelled_window_is_held_out_once(spied):
    data = small.planted()
    labelled = np.arange(len(data)) % 3 > 0
    spans = Spans.of([[(3, 9)] if seen else [] for seen in labelled])
    data = replace(data, labelled=labelled, spans=spans)
    fitted = cross_fit(Spy(), data, n_folds=4, features=numbered(data), seed=2)
    asked = np.concatenate([windows for _, windows in spied])
    assert sorted(asked) == np.flatnonzero(labelled).tolist()
    for trained, windows in spied:
        assert not trained & set(data.windows.ids[windows])
        assert trained | set(data.windows.ids[windows]) == set(data.windows.ids[labelled])
    assert len(spied) == 4
    # and its results stand in its own row
    expected = np.flatnonzero(labelled)
    np.testing.assert_array_equal(fitted.soft.ids, data.windows.ids[labelled])
    np.testing.assert_allclose(fitted.soft.prob[:, 0] * 1000, expected, rtol=1e-5)
    np.testing.assert_array_equal(fitted.spans.start, expected % 7)
    assert fitted.soft.held_out.all()
    assert (fitted.soft.source, fitted.soft.lookahead_bars) == ("spy", 5)
    assert len(fitted.data) == labelled.sum()


def test_neighbours_in_time_are_purged_by_look_back_and_embargo(spied):
    data = hourly()
    cross_fit(Spy(), data, n_folds=3, features=numbered(data))
    assert [len(trained) for trained, _ in spied] == [8, 8, 8]
    spied.clear()
    cross_fit(Spy(), data, n_folds=3, features=numbered(data, lookback_bars=4))
    assert [len(trained) for trained, _ in spied] == [7, 6, 7]  # the next, and on the right before
    spied.clear()
    cross_fit(Spy(), data, n_folds=3, features=numbered(data), embargo="11h")
    assert [len(trained) for trained, _ in spied] == [6, 6, 8]


def test_an_embargo_without_clock_times_is_refused():
    data = small.planted()
    with pytest.raises(InputError, match="embargo"):
        cross_fit(Spy(), data, features=numbered(data), embargo="2h")


def test_data_without_labelled_windows_are_refused():
    data = small.part_labelled(small.planted(), 0)
    with pytest.raises(InputError, match="no labelled window"):
        cross_fit(small.proxy("formula"), data)


def test_folds_can_be_tracked():
    data, seen = small.planted(), []
    cross_fit(
        small.proxy("formula"), data, n_folds=3, track=lambda f: [seen.append(x) or x for x in f]
    )
    assert len(seen) == 3


@pytest.mark.parametrize("name", ["lightgbm", "xgboost", "formula", "logistic"])
def test_nothing_of_a_model_comes_from_the_outer_test_windows(name, monkeypatch):
    data = small.planted()
    rng = np.random.default_rng(1)
    own = small.computed(data, name)
    folds = evaluate.folds_of(data, own, 3, 0, "0")
    fits = []
    fit = BarProxy.fit
    monkeypatch.setattr(BarProxy, "fit", lambda self, *a: fits.append(fit(self, *a)) or self)
    evaluate.held_out(small.proxy(name), data, own, folds)
    for k, fold in enumerate(folds):
        values = own.values.copy()
        values[fold.test] = rng.normal(size=values[fold.test].shape)
        starts = rng.integers(50, size=len(data))
        spans = [[(s, s + 4)] if w in fold.test else [] for w, s in enumerate(starts)]
        kept = ~np.isin(data.spans.window, fold.test)
        for window, start, stop in zip(
            *(getattr(data.spans, c)[kept] for c in ("window", "start", "stop")), strict=True
        ):
            spans[window] = [(start, stop)]
        noisy = replace(data, spans=Spans.of(spans))
        assert not np.array_equal(noisy.mask[fold.test], data.mask[fold.test])
        evaluate.held_out(small.proxy(name), noisy, replace(own, values=values), [fold])
        clean, other = fits[k], fits[-1]
        assert getattr(clean, "rounds_", 0) == getattr(other, "rounds_", 0)
        assert clean.decoder_ == other.decoder_
        np.testing.assert_array_equal(clean.predict(own), other.predict(own))


def test_the_same_seed_gives_the_same_bits():
    data = small.planted()
    one, two, other = (
        cross_fit(small.proxy("lightgbm"), data, n_folds=3, seed=s) for s in (4, 4, 5)
    )
    np.testing.assert_array_equal(one.soft.prob, two.soft.prob)
    np.testing.assert_array_equal(one.spans.start, two.spans.start)
    assert one.metrics == two.metrics
    assert not np.array_equal(one.soft.prob, other.soft.prob)


# A leak


def unpredictable(copies, seed=0, n=40, n_bars=40):
    """Noise with marks anywhere, and the same windows again: only memory can tell the marks."""
    rng = np.random.default_rng(seed)
    steps = rng.normal(0, 1, (n, n_bars + 10, 8))
    long = synthetic.generate.bars(steps)  # (n, T + 10, 4)
    start = rng.integers(10, n_bars - 10, n)
    shift = {"exact": 0, "shifted": 10}[copies]
    ohlc = np.concatenate([long[:, :n_bars], long[:, shift : shift + n_bars]])
    spans = Spans.of([[(s - k, s - k + 8)] for k in (0, shift) for s in start])
    windows = Windows(ohlc, np.array([f"w{i:03d}" for i in range(2 * n)]))
    return SpanDataset(windows, spans, np.ones(2 * n, bool))


@pytest.mark.parametrize("copies", ["exact", "shifted"])
def test_a_window_planted_twice_is_no_signal(copies):
    data = unpredictable(copies)
    memory = BarProxy(KNeighborsClassifier(1), "memory", "causal", inner_folds=0)
    own = features.compute(data.windows.ohlc, "causal")
    folds = evaluate.folds_of(data, own, 5, 0, "0")
    for fold in folds:
        twin = (fold.test + 40) % 80
        np.testing.assert_array_equal(np.sort(twin), fold.test)
        assert not np.intersect1d(fold.train, fold.test).size
    honest = cross_fit(memory, data, features={"causal": own})
    assert pearson(honest.soft.prob, data.mask) < 0.15
    # Windows dealt at random would have shown a signal where there is none.
    order = np.random.default_rng(0).permutation(80)
    naive = [
        splits.Fold(np.setdiff1d(order, test), np.sort(test)) for test in np.array_split(order, 5)
    ]
    ((leaked, _),) = evaluate.held_out(memory, data, own, naive)
    assert pearson(leaked, data.mask) > 0.4
    # The bootstrap resamples the two together as well.
    np.testing.assert_array_equal(honest.units[:40], honest.units[40:])


# compare


@pytest.fixture(scope="module")
def pair():
    data = small.planted(60)
    return [
        cross_fit(small.proxy(name), data, n_folds=3) for name in ("logistic", "formula-classic")
    ]


def test_a_comparison_is_antisymmetric_and_0_with_itself(pair):
    a, b = pair
    forward, backward = compare(a, b), compare(b, a)
    assert forward.difference == -backward.difference
    np.testing.assert_allclose([forward.low, forward.high], [-backward.high, -backward.low])
    assert forward.low < forward.difference < forward.high
    assert forward.low > 0
    itself = compare(a, a)
    assert (itself.difference, itself.low, itself.high) == (0, 0, 0)
    expected = pearson(a.soft.prob, a.data.mask) - pearson(b.soft.prob, b.data.mask)
    np.testing.assert_allclose(forward.difference, expected)


def test_a_comparison_of_different_windows_is_refused(pair):
    a, b = pair
    keep = np.arange(59)
    fewer = replace(
        b,
        data=b.data.take(keep),
        soft=replace(b.soft, prob=b.soft.prob[keep], ids=b.soft.ids[keep]),
        units=b.units[keep],
    )
    same_names = cross_fit(small.proxy("formula"), small.planted(60, seed=4), n_folds=3)
    np.testing.assert_array_equal(same_names.soft.ids, a.soft.ids)
    other_marks = replace(b, data=replace(b.data, spans=Spans.of([[(1, 4)]] * 60)))
    for other in (fewer, same_names, other_marks):
        with pytest.raises(InputError, match="different windows"):
            compare(a, other)


def test_metrics_are_those_of_the_held_out_windows(pair):
    fitted = pair[0]
    metrics = fitted.metrics
    assert metrics["pearson_r"] == pearson(fitted.soft.prob, fitted.data.mask)
    assert metrics["ci_low"] < metrics["pearson_r"] < metrics["ci_high"]
    assert {"average_precision", "separation", "brier", "span_f1_50", "mean_iou"} <= set(metrics)


# The leaderboard


@pytest.fixture(scope="module")
def planted():
    data = synthetic.planted(100, preset="medium", seed=8).data
    boosted = small.proxy("lightgbm", feature_set="full", rounds=80, patience=20)
    proxies = [boosted, small.proxy("formula"), small.proxy("formula-classic")]
    rows = leaderboard.correlate(proxies, data, n_folds=2, permutations=39)
    own = evaluate.compute(data, proxies)
    fitted = {
        p.name: cross_fit(p, data, n_folds=2, features=own)
        for p in (*proxies, Constant(), Random(), PositionPrior())
        if p.name != "formula-classic"
    }
    return data, {row.model: row for row in rows}, rows, fitted


def test_boosted_beats_formula_beats_the_references(planted):
    _, _, _, fitted = planted
    assert compare(fitted["lightgbm"], fitted["formula"]).low > 0
    for reference in ("constant", "random", "position-prior"):
        assert compare(fitted["formula"], fitted[reference]).low > 0


def test_the_leaderboard_tells_signal_from_none(planted):
    _, row, rows, fitted = planted
    assert [r.pearson_r for r in rows] == sorted((r.pearson_r for r in rows), reverse=True)
    assert set(row) == {"lightgbm", "formula", "formula-classic"} | set(small.REFERENCES)
    assert row["lightgbm"].passes(0.15)
    assert row["formula"].passes(0.15)
    assert not any(row[name].passes(0.0) for name in (*small.REFERENCES, "formula-classic"))
    assert row["lightgbm"].p_value == row["formula"].p_value == 1 / 40
    assert row["constant"].p_value > 0.05
    assert row["random"].p_value > 0.02
    for name, result in fitted.items():
        assert row[name].pearson_r == result.metrics["pearson_r"]
        assert (row[name].ci_low, row[name].ci_high) == result.interval
        assert row[name].span_f1_50 == result.metrics["span_f1_50"]
    gain = compare(fitted["lightgbm"], fitted["position-prior"])
    lead = row["lightgbm"]
    assert (lead.gain, lead.gain_low, lead.gain_high) == (gain.difference, gain.low, gain.high)
    prior = row["position-prior"]
    assert (prior.gain, prior.gain_low, prior.gain_high) == (0, 0, 0)


def test_the_gate_wants_both_the_interval_and_the_gain():
    row = leaderboard.Row("m", 0.3, 0.16, 0.4, 0.01, None, None, None, 0.1, 0.01, 0.2, 1.0)
    assert row.passes(0.15)
    assert not row.passes(0.16)
    assert not replace(row, gain_low=0.0).passes(0.15)
    assert not replace(row, ci_low=0.1).passes(0.15)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_marks_shuffled_between_windows_pass_no_gate(seed):
    data = small.planted(60, "easy", 6)
    order = np.random.default_rng(seed).permutation(len(data))
    shuffled = replace(data, spans=data.spans.take(order))
    proxies = [small.proxy(n) for n in ("formula", "logistic", "lightgbm")]
    rows = leaderboard.correlate(proxies, shuffled, n_folds=3, permutations=39, seed=seed)
    assert not any(row.passes(0.15) for row in rows)
    # The least of six p-values is below 0.025 in one of seven such tables.
    assert min(row.p_value for row in rows) >= 0.05
    assert not any(row.passes(0.0) for row in rows)
    real = leaderboard.correlate(proxies, data, n_folds=3, permutations=39, seed=seed)
    assert all(row.passes(0.15) for row in real if row.model in ("formula", "logistic", "lightgbm"))


def test_the_leaderboard_is_the_same_for_the_same_seed():
    data = small.planted()
    proxies = [small.proxy("formula"), small.proxy("lightgbm")]

    def table(seed):
        rows = leaderboard.correlate(proxies, data, n_folds=3, permutations=9, seed=seed)
        return [replace(row, seconds=0) for row in rows]

    assert table(3) == table(3)
    assert table(3) != table(4)


def test_folds_of_every_proxy_can_be_tracked():
    seen = []
    leaderboard.correlate(
        [small.proxy("formula")],
        small.planted(),
        n_folds=2,
        permutations=1,
        track=lambda name: lambda folds: [seen.append(name) or fold for fold in folds],
    )
    assert seen == [name for name in ("formula", *small.REFERENCES) for _ in range(2)]


# Permutation


def test_the_null_of_a_formula_repeats_its_search(monkeypatch):
    data = small.planted()
    own = small.computed(data, "formula")
    proxy = small.proxy("formula")
    folds = evaluate.folds_of(data, own, 3, 0, "0")
    fitted = cross_fit(proxy, data, n_folds=3, features={"directionless": own})
    seen = []
    search = FormulaSearch.search

    def counted(self, X, target):
        seen.append(np.asarray(target).copy())
        return search(self, X, target)

    monkeypatch.setattr(FormulaSearch, "search", counted)
    leaderboard.permutation_p(proxy, fitted, own, folds, 7)
    assert len(seen) == 7 * 3
    assert len({target.tobytes() for target in seen}) == 7 * 3  # on other marks each time


def test_a_null_without_the_search_would_differ():
    data = small.planted()
    own = small.computed(data, "formula")
    folds = evaluate.folds_of(data, own, 3, 0, "0")
    fitted = cross_fit(small.proxy("formula"), data, n_folds=3, features={"directionless": own})
    groups = splits.groups(data.windows)
    rng = np.random.default_rng(0)
    orders = [leaderboard._deal(groups, rng) for _ in range(5)]
    refit = [leaderboard._refit_r(small.proxy("formula"), data, own, folds, o) for o in orders]
    fixed = leaderboard._null_r(fitted.soft.prob, data.mask, orders)
    assert not np.allclose(refit, fixed, atol=1e-4)
    for order, r in zip(orders, refit, strict=True):
        dealt = replace(data, spans=data.spans.take(order))
        ((by_hand, _),) = evaluate.held_out(
            small.proxy("formula", inner_folds=0), dealt, own, folds
        )
        assert r == pearson(by_hand, dealt.mask)


def test_the_fast_null_equals_moving_the_masks():
    rng = np.random.default_rng(0)
    prob = rng.random((12, 9)).astype(np.float32)
    mask = (rng.random((12, 9)) > 0.7).astype(np.uint8)
    orders = [rng.permutation(12) for _ in range(8)]
    expected = [pearson(prob, mask[order]) for order in orders]
    np.testing.assert_allclose(leaderboard._null_r(prob, mask, orders), expected, rtol=1e-5)
    assert leaderboard._null_r(np.full((12, 9), 0.3), mask, orders) == [0.0] * 8


def test_a_draw_that_moves_nothing_counts_as_good():
    data = small.planted()
    own = small.computed(data, "logistic")
    fitted = cross_fit(small.proxy("logistic"), data, n_folds=3)
    still = replace(data.windows, parent=np.full(len(data), "one"))  # one group cannot move
    fitted = replace(fitted, data=replace(data, windows=still))
    assert leaderboard.permutation_p(small.proxy("logistic"), fitted, own, [], 9) == 1


def test_groups_change_places_whole():
    groups = np.repeat([0, 1, 2, 3], 5)[np.random.default_rng(1).permutation(20)]
    moved = 0
    for seed in range(20):
        order = leaderboard._deal(groups, np.random.default_rng(seed))
        assert sorted(order) == list(range(20))
        sources = [set(groups[order[groups == g]]) for g in range(4)]
        assert all(len(source) == 1 for source in sources)
        moved += sources[0] != {0}
        inside = order[groups == 2]
        assert np.all(np.diff(inside) > 0)  # their insides keep their order
    assert 5 < moved < 20


def test_any_order_of_groups_is_as_likely():
    rng = np.random.default_rng(0)
    orders = [tuple(leaderboard._deal(np.arange(3), rng)) for _ in range(600)]
    counts = np.unique(orders, axis=0, return_counts=True)[1]
    assert len(counts) == 6
    assert counts.min() > 60


def test_p_values_are_even_where_there_is_nothing():
    """On noise about a quarter of the p-values lie in each quarter."""
    data = hourly(16)
    own = numbered(data)["classic"]
    rng = np.random.default_rng(0)
    p_values = []
    for _ in range(200):
        fitted = noise_fit(data, rng)
        p_values.append(
            leaderboard.permutation_p(Spy(), fitted, own, [], 19, seed=int(rng.integers(9**9)))
        )
    counts = np.histogram(p_values, [0, 0.26, 0.51, 0.76, 1.01])[0]
    assert counts.min() > 30
    assert min(p_values) == 1 / 20


def noise_fit(data, rng):
    prob = rng.random((len(data), data.n_bars), np.float32)
    start = rng.integers(0, 6, len(data))
    dealt = replace(data, spans=Spans.of([[(s, s + 3)] for s in start]))
    soft = evaluate.SoftLabels(prob, "noise", np.ones(len(data), bool), data.windows.ids, 0)
    return evaluate.CrossFit(dealt, soft, dealt.spans, np.arange(len(data)), 0.0)


def test_only_a_formula_repeats_its_search():
    assert FormulaProxy.searches
    assert not getattr(small.proxy("lightgbm"), "searches", False)
