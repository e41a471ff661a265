import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from benchmarks import speed_features
from proxytools import features
from proxytools.errors import InputError
from proxytools.features.check import hostile
from proxytools.synthetic import planted
from tests import naive_features as naive

NAMES = [entry.name for entry in features.table()]


@pytest.fixture(scope="module")
def windows():
    return planted(6, preset="medium", seed=11).data.windows.ohlc


@st.composite
def legal_windows(draw):
    """Bars of any size over whatever prices, many of them equal."""
    n_bars = draw(st.integers(1, 40))
    unit = draw(st.sampled_from([1e-12, 0.01, 1.0, 15_000.0, 1e12]))
    paths = draw(arrays(np.int64, (2, n_bars, 4), elements=st.integers(-6, 6))) * unit
    return np.stack([paths[..., 0], paths.max(-1), paths.min(-1), paths[..., 3]], axis=-1)


@pytest.mark.parametrize("name", NAMES)
def test_every_feature_keeps_its_promises(name):
    features.check_feature(name, seed=3)


@settings(max_examples=30, deadline=None)
@given(legal_windows())
def test_all_promises_hold_on_any_legal_window(ohlc):
    found = features.compute(ohlc, NAMES).values
    assert np.isfinite(found).all()
    scale_free = [i for i, name in enumerate(NAMES) if features.describe(name).scale_free]
    eight = features.compute(ohlc * 8, NAMES).values
    assert np.array_equal(found[..., scale_free], eight[..., scale_free])
    causal = [i for i, name in enumerate(NAMES) if features.describe(name).causal]
    half = max(ohlc.shape[1] // 2, 1)
    early = features.compute(ohlc[:, :half], NAMES).values
    assert np.array_equal(found[:, :half, causal], early[..., causal])


def test_classic_equals_pandas(windows):
    found = features.compute(windows, features.SETS["classic"] + ("accel",))
    for window, values in zip(windows, found.values, strict=True):
        wanted = naive.classic(window)
        np.testing.assert_allclose(values, wanted[list(found.names)], rtol=1e-5, atol=1e-7)


def test_classic_warm_up_is_exactly_zero(windows):
    values = features.compute(windows, "classic").values
    for i, warm_up in enumerate((3, 9, 5, 19)):
        assert not values[:, :warm_up, i].any()
        assert values[:, warm_up:, i].any(axis=0).all()


def test_volatility_keeps_its_digits_after_a_shock_and_on_flat_bars():
    window = np.full((1, 60, 4), 15_000.0)
    window[:, :, 1] += 0.1
    window[:, 5, 1] = 1e9
    values = features.compute(window, ["volatility"]).values[0, :, 0]
    assert values[20] > 1e8
    assert (values[25:] == 0.0).all()


def test_returns_on_zero_prices_are_finite():
    window = np.zeros((1, 8, 4))
    window[0, 4:, [1, 3]] = 1.0
    assert np.isfinite(features.compute(window, "classic").values).all()


@pytest.mark.parametrize("n_bars", [1, 2, 4, 105])
def test_every_other_feature_equals_its_twin(windows, n_bars):
    names = [name for name in NAMES if name not in features.SETS["classic"] + ("accel",)]
    found = features.compute(windows[:3, 15 : 15 + n_bars], names)
    for window, values in zip(windows[:3, 15 : 15 + n_bars], found.values, strict=True):
        wanted = naive.features(window)
        for i, name in enumerate(names):
            np.testing.assert_allclose(
                values[:, i], wanted[name], rtol=2e-3, atol=2e-5, err_msg=name
            )


def test_twins_agree_on_hostile_windows():
    names = [name for name in NAMES if name not in features.SETS["classic"] + ("accel",)]
    for ohlc in hostile(np.random.default_rng(5)):
        if ohlc.shape[1] > 30:
            continue
        found = features.compute(ohlc[:10], names).values
        for window, values in zip(ohlc[:10], found, strict=True):
            wanted = naive.features(window)
            for i, name in enumerate(names):
                np.testing.assert_allclose(
                    values[:, i], wanted[name], rtol=5e-3, atol=1e-4, err_msg=name
                )


def test_look_backs_are_not_overstated(windows):
    """Changing the farthest bar that a feature says it reads changes it somewhere."""
    for name in NAMES:
        reach = features.describe(name).lookback
        if not reach:
            continue
        before = features.compute(windows, [name]).values
        differs = False
        for t in range(reach, 105, 7):
            changed = windows.copy()
            changed[:, t - reach] += np.array([0.0, 1e3, -1e3, 5e2])
            differs |= (features.compute(changed, [name]).values[:, t] != before[:, t]).any()
        assert differs, name


def test_sets_nest_and_are_described():
    sets = features.SETS
    assert set(sets["causal"]) < set(sets["full"])
    assert 40 <= len(sets["full"]) <= 64
    assert sets["classic"] == ("momentum_3", "direction_streak", "cum_return_5", "volatility")
    for name in sets["full"]:
        assert features.describe(name).scale_free
    for name in sets["causal"]:
        assert features.describe(name).causal
    for entry in features.table():
        assert entry.meaning
        assert entry.unit


def test_any_choice_and_order_of_names_gives_the_same_columns(windows):
    whole = features.compute(windows, NAMES)
    chosen = list(np.random.default_rng(0).permutation(NAMES)[:25])
    some = features.compute(windows, chosen)
    assert some.names == tuple(chosen)
    for i, name in enumerate(chosen):
        assert np.array_equal(some.values[..., i], whole.values[..., NAMES.index(name)])
    assert features.compute(windows, "causal").lookahead_bars == 0
    assert features.compute(windows, "full").lookahead_bars == 104
    assert features.compute(windows[:0], "full").values.shape == (
        0,
        105,
        len(features.SETS["full"]),
    )


@pytest.mark.parametrize(
    ("names", "hint"),
    [
        ("clasic", "classic"),
        (["momentum3"], "momentum_3"),
        ([], "one or more"),
        (["body"] * 2, "different"),
    ],
)
def test_unknown_names_are_refused_with_a_hint(windows, names, hint):
    with pytest.raises(InputError, match=hint):
        features.compute(windows, names)


def test_wrong_shapes_are_refused():
    with pytest.raises(InputError, match=r"\(N, T, 4\)"):
        features.compute(np.zeros((5, 4)))


def _broken(name):
    """One function for each promise, which breaks it and no other."""

    def peeks(first, high, low, close):
        return np.append(close[1:] > close[:-1], False).astype(float)

    def remembers(first, high, low, close):
        return (close > close[0]).astype(float)

    def unscaled(first, high, low, close):
        return np.clip(high - low, 0, 1e6)

    def infinite(first, high, low, close):
        return np.where(high > low, 0.0, np.inf)

    def directed(first, high, low, close):
        return (close > first).astype(float)

    return locals()[name]


@pytest.mark.parametrize(
    ("name", "promise"),
    [
        ("peeks", "ahead"),
        ("remembers", "back"),
        ("unscaled", "prices are times"),
        ("infinite", "finite"),
        ("directed", "upside down"),
    ],
)
def test_a_broken_promise_is_caught(name, promise):
    reach = {"peeks": 1, "remembers": 3}.get(name, 0)
    add = features.feature(
        name, meaning="-", unit="-", lookback=reach, direction_free=name == "directed"
    )
    add(_broken(name))
    try:
        with pytest.raises(InputError, match=promise):
            features.check_feature(name)
    finally:
        features.remove(name)


def test_a_name_cannot_be_taken_twice():
    add = features.feature("body", meaning="-", unit="-", lookback=0)
    with pytest.raises(InputError, match="twice"):
        add(lambda *prices: prices[3])


def test_no_causal_feature_gives_the_place_in_the_window_away():
    """On bars without any span, nothing but the first few bars' short look-backs may tell."""
    paths = np.random.default_rng(4).normal(size=(400, 105, 8)).cumsum(axis=2)
    paths += np.pad(paths[:, :-1, -1].cumsum(axis=1), ((0, 0), (1, 0)))[..., None]
    start = np.pad(paths[:, :-1, -1], ((0, 0), (1, 0)))[..., None]  # the close before
    steps = np.concatenate([start, paths], axis=2)
    ohlc = np.stack([steps[..., 0], steps.max(-1), steps.min(-1), steps[..., -1]], axis=-1)
    values = features.compute(ohlc, "causal").values[:, 20:]
    place = np.broadcast_to(np.arange(85.0), values.shape[:2]).ravel()
    for i, name in enumerate(features.SETS["causal"]):
        assert abs(np.corrcoef(values[..., i].ravel(), place)[0, 1]) < 0.06, name


def test_span_share_finds_planted_spans():
    data = planted(210, preset="medium", seed=12).data
    share = features.compute(data.windows.ohlc, ["span_share"]).values[..., 0]
    assert np.corrcoef(share.ravel(), data.mask.ravel())[0, 1] > 0.5


def test_the_rivals_of_the_benchmark_compute_the_same(windows):
    found = features.compute(windows, "classic").values
    for rival in (speed_features.vectorised, speed_features.by_coreforecast):
        np.testing.assert_allclose(found, rival(windows), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found[0], speed_features.by_pandas(windows[0]), rtol=1e-5, atol=1e-7)
    lines = speed_features.features_lines(windows=40, pandas_windows=2, repeats=1)
    assert all(line["value"] > 0 for line in lines)
