import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from benchmarks import recomputed
from proxytools import features
from proxytools.features.check import hostile
from proxytools.synthetic import planted
from tests import naive_jade as naive

NAMES = (
    "open_norm",
    "close_norm",
    "body_pct",
    "upper_wick_pct",
    "lower_wick_pct",
    "range_z",
    "dist_to_prev_sh",
    "dist_to_prev_sl",
    "bars_since_sh_norm",
    "bars_since_sl_norm",
    "expansion_proxy",
    "consol_proxy",
)
LEAST = np.array([0, 0, -1, 0, 0, 0, -3, -3, 0, 0, -2, 0])
MOST = np.array([1, 1, 1, 1, 1, 3, 3, 3, 3, 3, 2, 3])


@pytest.fixture(scope="module")
def windows():
    return planted(8, preset="medium", seed=21).data.windows.ohlc


def jade(ohlc):
    return features.compute(ohlc, "jade").values


def column(ohlc, name):
    return jade(np.array([ohlc], float))[0, :, NAMES.index(name)]


def assert_equals_twin(ohlc, tolerance=1e-6):
    for window, values in zip(ohlc, jade(ohlc), strict=True):
        wanted = naive.features(window)
        for i, name in enumerate(NAMES):
            np.testing.assert_allclose(
                values[:, i], wanted[name], rtol=tolerance, atol=tolerance, err_msg=name
            )


@st.composite
def ticks(draw):
    """Bars on a grid of few prices: ties, flat bars and gaps; quarters are exact in binary."""
    n_bars = draw(st.integers(1, 40))
    paths = draw(arrays(np.int64, (2, n_bars, 4), elements=st.integers(-6, 6))) / 4
    return np.stack([paths[..., 0], paths.max(-1), paths.min(-1), paths[..., 3]], axis=-1)


def test_the_set_is_the_predecessors_twelve_in_its_order(windows):
    found = features.compute(windows, "jade")
    assert found.names == features.SETS["jade"] == NAMES
    assert (found.lookback_bars, found.lookahead_bars) == (104, 0)


@pytest.mark.parametrize("n_bars", [1, 2, 3, 11, 105])
def test_it_equals_its_twin(windows, n_bars):
    assert_equals_twin(windows[:, :n_bars])
    assert_equals_twin(windows[:, 105 - n_bars :])
    assert_equals_twin(windows[:1, :n_bars])


def test_it_equals_its_twin_where_ages_reach_their_limit():
    steps = np.linspace(0, 400, 401)  # one high on bar 3, then down without end
    steps[3:] = 50 - steps[3:]
    ohlc = np.stack([steps, steps + 0.1, steps - 0.1, steps], axis=1)[None]
    assert_equals_twin(ohlc)
    assert column(ohlc[0], "bars_since_sh_norm").max() == 3.0


@settings(max_examples=60, deadline=None)
@given(ticks())
def test_it_equals_its_twin_on_ties(ohlc):
    assert_equals_twin(ohlc, 1e-5)


def test_values_are_finite_and_in_their_ranges():
    for ohlc in hostile(np.random.default_rng(8)):
        values = jade(ohlc)
        assert np.isfinite(values).all()
        assert (values >= LEAST).all()
        assert (values <= MOST).all()


def test_planted_windows_fill_the_ranges(windows):
    """No feature is stuck, and those with a clip reach it or come near.

    Ages take few values: a bar whose range is half the average or more often turns its own leg.
    """
    values = jade(windows).reshape(-1, 12)
    for i, name in enumerate(NAMES):
        assert len(np.unique(values[:, i])) > (3 if "since" in name else 300), name
    near = [0, 1, 2, 5, 6, 7, 10]
    assert (values[:, near].max(axis=0) > 0.9 * MOST[near]).all()


def test_legs_and_swings_by_hand():
    """A rise, a fall and a rise; each bar opens at its close."""
    high = [11.0, 12.0, 12.5, 9.0, 9.5, 11.0]
    low = [9.0, 10.0, 11.9, 8.0, 8.0, 10.9]
    close = [10.0, 11.0, 12.0, 9.0, 8.5, 11.0]
    ohlc = np.stack([close, high, low, close], axis=1)
    # bar 1: true range 12 - 10 = 2; up from its close, 11
    # bar 2: true range 12.5 - 11 = 1.5, average 1.75; 12.5 is the extreme; low 0.6 under it: stays
    # bar 3: true range 12 - 8 = 4, average 2.5; close 3.5 under 12.5: down from 8
    # bar 4: true range 9.5 - 8 = 1.5, average 2.25; high 1.5 over 8, the low of bar 3: up from 9.5
    # bar 5: true range 11 - 8.5 = 2.5, average 2.3; 11 is the extreme; low 0.1 under it: stays
    above = [0, 0, 0, 3.5 / 2.5, 4 / 2.25, 1.5 / 2.3]
    below = [0, 0, 0, 0, 0.5 / 2.25, 3 / 2.3]
    np.testing.assert_allclose(column(ohlc, "dist_to_prev_sh"), above, rtol=1e-6)
    np.testing.assert_allclose(column(ohlc, "dist_to_prev_sl"), below, rtol=1e-6)
    ages = jade(ohlc[None])[0, :, 8:10] * 105
    np.testing.assert_allclose(ages.T, [[0, 0, 0, 1, 2, 3], [0, 0, 0, 0, 1, 2]], rtol=1e-6)


@pytest.mark.parametrize(
    ("quiet", "fall", "turns"),
    [
        (4, 2.7, True),  # the extreme is 5 bars old: half the average, (44 + 2.7) / 9, is 2.594
        (4, 2.5, False),  # (44 + 2.5) / 9 / 2 is 2.583
        (5, 2.7, False),  # 6 bars old: half the average is no longer enough,
        (5, 6.0, True),  # but 1.2 times (44 + 6) / 10 is
        (5, 5.9, False),
    ],
)
def test_an_old_extreme_needs_a_longer_fall(quiet, fall, turns):
    """Bars without range: four steps up of 11, a rest, a step down; then the swing high shows."""
    path = np.array([0.0, 11, 22, 33, 44, *[44] * quiet, 44 - fall])
    distance = column(np.repeat(path[:, None], 4, axis=1), "dist_to_prev_sh")
    assert not distance[:-1].any()
    assert (distance[-1] > 0) == turns


def test_it_equals_its_twin_on_steps_and_rests():
    """Bars without range: the legs live long enough for both rules of turning."""
    rng = np.random.default_rng(6)
    steps = rng.choice([0.0, 0, 0, 0, 1, -1, 2.7, -2.7, 11, -11], (150, 60))
    assert_equals_twin(np.repeat(steps.cumsum(axis=1)[:, :, None], 4, axis=2))


def test_expansion_is_positive_where_a_bar_goes_with_its_leg():
    closes = 100.0 + np.arange(8.0)
    rising = np.stack([closes - 1, closes, closes - 1, closes], axis=1)
    # A bar that is all body has its low an average range under its high, so it turns its own leg.
    assert column(rising, "expansion_proxy").tolist() == [0, 1, -1, 1, -1, 1, -1, 1]


@pytest.mark.parametrize("n_bars", [1, 2, 60])
@pytest.mark.parametrize("price", [0.0, 15_000.0, -3.5])
def test_flat_prices_are_all_zero(price, n_bars):
    assert not jade(np.full((2, n_bars, 4), price)).any()


def test_flat_prices_after_a_swing_age_it_and_turn_no_leg(windows):
    ohlc = windows[:1, :40].copy()
    ohlc[:, 20:] = ohlc[:, 19:20, 3:]
    ages = jade(ohlc)[0, 20:, 8:10] * 105
    np.testing.assert_allclose(np.diff(ages, axis=0), 1.0, rtol=1e-4)


def test_no_value_depends_on_later_bars_or_on_how_many_there_are(windows):
    whole = jade(windows)
    for stop in (1, 2, 3, 40, 104):
        assert np.array_equal(jade(windows[:, :stop]), whole[:, :stop])


def test_every_window_starts_anew(windows):
    together = jade(windows)
    for n, window in enumerate(windows):
        assert np.array_equal(jade(window[None])[0], together[n])


def test_what_is_not_stated_is_not_true(windows):
    """`check_feature` proves what a feature states; this, that it states no less than is true."""
    down, cheap = jade(-windows[..., [0, 2, 1, 3]]), jade(windows * 1e-9)
    values = jade(windows)
    for i, name in enumerate(NAMES):
        entry = features.describe(name)
        assert not entry.scale_free
        assert not np.allclose(cheap[..., i], values[..., i], atol=1e-3), name
        same = np.allclose(down[..., i], values[..., i], atol=1e-3)
        assert same == entry.direction_free, name


def test_the_baseline_computes_the_same_features(windows):
    wanted = jade(windows)
    seen = []
    for values, items in recomputed.loader(windows):
        np.testing.assert_allclose(values.numpy(), wanted[items], rtol=1e-5, atol=1e-6)
        seen += items.tolist()
    assert sorted(seen) == list(range(len(windows)))


def test_the_baseline_keeps_nothing_between_accesses(windows, monkeypatch):
    calls = []
    by_pandas = recomputed.by_pandas
    monkeypatch.setattr(recomputed, "by_pandas", lambda bars: calls.append(1) or by_pandas(bars))
    assert recomputed.seconds_per_epoch(windows[:3], epochs=2) > 0
    assert len(calls) == 3 * 3  # one epoch warms up
