"""Planted data: the generator keeps its constants, the posterior is exact for the generator."""

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from proxytools.errors import InputError
from proxytools.synthetic import LAYOUTS, PRESETS, Preset, ceiling, planted, posterior
from tests import naive_synthetic as naive

SILENT = Preset(m=0.0, v=1.0)  # spans that leave no trace


@pytest.fixture(scope="module", params=list(PRESETS))
def many(request):
    return planted(3000, preset=request.param, seed=7)


@pytest.mark.parametrize("empty", [0.0, 0.3])
@pytest.mark.parametrize("preset", ["medium", ("hard", "easy")])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_posterior_equals_brute_force(layout, preset, empty):
    sample = planted(4, preset=preset, layout=layout, empty=empty, n_bars=9, seed=2)
    np.testing.assert_allclose(posterior(sample), naive.posterior(sample), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("empty", [0.0, 0.2])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_are_drawn_with_the_probabilities_of_the_twin(layout, empty):
    n_windows, n_bars = 20_000, 8
    spans = planted(n_windows, layout=layout, empty=empty, n_bars=n_bars, seed=3).data.spans
    drawn: dict[int, tuple] = {}
    for window, start, stop in zip(spans.window, spans.start, spans.stop, strict=True):
        drawn[window] = (*drawn.get(window, ()), (start, stop))
    count = Counter(drawn.values())
    count[()] = n_windows - len(drawn)
    law = {k: p for k, p in naive.layouts(layout, n_bars, empty).items() if p > 0}
    assert sum(law.values()) == pytest.approx(1)
    assert {k for k, n in count.items() if n} <= set(law)
    common = [k for k, p in law.items() if p * n_windows > 5]
    seen, expected = [count[k] for k in common], [law[k] * n_windows for k in common]
    seen.append(n_windows - sum(seen))
    expected.append(n_windows - sum(expected))
    if expected[-1] < 1e-6:  # no rare layout is left over
        seen, expected = seen[:-1], expected[:-1]
    assert chisquare(seen, expected, sum_check=False).pvalue > 1e-3


@pytest.mark.parametrize("layout", LAYOUTS)
def test_without_evidence_the_posterior_is_how_often_a_bar_is_marked(layout):
    n_windows = 8000
    marked = planted(n_windows, layout=layout, empty=0.25, seed=4).data.mask.mean(axis=0)  # (T,)
    silent = replace(planted(2, layout=layout, empty=0.25), types=(SILENT,))
    prior, same = posterior(silent)
    np.testing.assert_allclose(prior, same, atol=1e-12)
    error = np.sqrt(prior * (1 - prior) / n_windows)
    assert np.all(np.abs(marked - prior) <= 4.5 * error)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"layout": "anywhere", "empty": 0.4},
        {"layout": "several"},
        {"layout": "several", "preset": ("hard", "easy"), "empty": 0.2},
    ],
    ids=str,
)
def test_posterior_is_calibrated(options):
    sample = planted(2500, seed=5, **options)
    prob, mask = posterior(sample), sample.data.mask
    edges = [0, 0.01, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 1.0001]
    for low, high in pairwise(edges):
        chosen = (prob >= low) & (prob < high)
        excess = np.where(chosen, mask - prob, 0).sum(axis=1)  # (N,) windows are independent
        assert chosen.sum() > 300
        assert abs(excess.sum()) < 4 * np.sqrt((excess**2).sum())


@pytest.mark.parametrize(
    ("preset", "expected", "tolerance"),
    [("hard", 0.61, 0.05), ("medium", 0.82, 0.03), ("easy", 0.94, 0.02)],
)
def test_ceiling(preset, expected, tolerance):
    assert ceiling(planted(3000, preset=preset, seed=6)) == pytest.approx(expected, abs=tolerance)


def test_no_other_use_of_the_sub_steps_beats_the_posterior():
    sample = planted(1000, seed=8)
    stronger = replace(sample, types=(PRESETS["easy"],))
    weaker = replace(sample, types=(PRESETS["hard"],))
    blind = replace(sample, types=(SILENT,))
    assert ceiling(sample) > max(ceiling(stronger), ceiling(weaker))
    assert 0.15 < ceiling(blind) < 0.27  # the position prior alone, about 0.21


def test_spans_keep_to_their_range(many):
    spans = many.data.spans
    assert spans.count.tolist() == [1] * 3000
    assert spans.length.min() == 3
    assert 25 < spans.length.max() <= 30
    assert spans.length.mean() == pytest.approx(7.4, abs=0.3)
    assert spans.start.min() == 20
    assert spans.stop.max() == 89
    assert many.data.labelled.all()
    assert many.data.classes == ("expansion",)


def test_noise_and_drift_have_the_stated_size(many):
    (kind,) = many.types
    inside = many.data.mask == 1
    move = many.steps / many.sigma[..., None]  # (N, T, 8) in units of sigma
    within = 8 * move.var(axis=2, ddof=1)  # (N, T) variance a bar without the drift
    bar = move.sum(axis=2)
    pair = (bar[:, :-1] * bar[:, 1:])[inside[:, :-1] & inside[:, 1:]]  # same direction: m squared
    assert within[~inside].mean() == pytest.approx(1, abs=0.01)
    assert within[inside].mean() == pytest.approx(kind.v**2, rel=0.02)
    assert (bar[inside] ** 2).mean() == pytest.approx(kind.m**2 + kind.v**2, rel=0.04)
    assert pair.mean() == pytest.approx(kind.m**2, abs=0.08)
    assert bar[~inside].mean() == pytest.approx(0, abs=0.01)
    direction = np.sign(np.where(inside, bar, 0).sum(axis=1))
    assert np.mean(direction > 0) == pytest.approx(0.5, abs=0.04)


def test_volatility_is_a_level_times_a_walk():
    sigma = np.log(planted(8000, n_bars=40, seed=9).sigma / 2.5)  # (N, T)
    expected = 0.3**2 + 0.03**2 * np.arange(1, 41)
    np.testing.assert_allclose(sigma.mean(axis=0), 0, atol=0.018)
    np.testing.assert_allclose(sigma.var(axis=0), expected, rtol=0.07)
    np.testing.assert_allclose(np.diff(sigma).std(), 0.03, rtol=0.01)


def test_bars_follow_the_path():
    sample = planted(5, layout="several", seed=10)
    ohlc = sample.data.windows.ohlc
    np.testing.assert_allclose(ohlc, naive.bars(sample.steps, 15_000.0), rtol=1e-14)
    np.testing.assert_array_equal(ohlc[:, 1:, 0], ohlc[:, :-1, 3])
    np.testing.assert_array_equal(ohlc[:, 0, 0], 15_000)


def test_types_are_equally_likely_and_keep_their_strength():
    sample = planted(3000, preset=("hard", "easy"), seed=11)
    spans = sample.data.spans
    assert sample.data.classes == ("hard", "easy")
    assert spans.label.mean() == pytest.approx(0.5, abs=0.04)
    within = 8 * (sample.steps / sample.sigma[..., None]).var(axis=2, ddof=1)  # (N, T)
    for code, kind in enumerate(sample.types):
        chosen = sample.data.take(spans.label == code).mask == 1
        spread = within[spans.label == code][chosen]
        assert spread.mean() == pytest.approx(kind.v**2, rel=0.03)


def test_several_spans_touch_and_stay_distinct():
    spans = planted(1000, layout="several", seed=12).data.spans
    same = spans.window[1:] == spans.window[:-1]
    gap = (spans.start[1:] - spans.stop[:-1])[same]
    assert gap.min() == 0
    assert set(spans.count) >= {0, 1, 2, 3, 4, 5}
    assert spans.stop.max() == 105  # some are cut by the window's end
    assert spans.start.min() == 0


def test_the_seed_fixes_the_data():
    first, again, other = (planted(20, seed=seed).data for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.windows.ohlc, again.windows.ohlc)
    np.testing.assert_array_equal(first.spans.start, again.spans.start)
    assert not np.array_equal(first.windows.ohlc, other.windows.ohlc)
    assert first.windows.ids[:2].tolist() == ["w00000", "w00001"]
    assert len(set(first.windows.ids)) == 20


def test_windows_without_spans():
    nothing = planted(10, empty=1.0)
    assert len(nothing.data.spans) == 0
    assert nothing.data.labelled.all()
    np.testing.assert_array_equal(posterior(nothing), 0)
    half = planted(4000, empty=0.5)
    assert np.mean(half.data.spans.count == 0) == pytest.approx(0.5, abs=0.03)


@given(
    layout=st.sampled_from(LAYOUTS),
    n_bars=st.integers(6, 150),
    n_windows=st.integers(1, 5),
    seed=st.integers(0, 2**32),
    empty=st.sampled_from([0.0, 0.5]),
    preset=st.sampled_from(["easy", ("easy", "hard")]),
)
@settings(max_examples=40, deadline=None)
def test_any_size_gives_valid_windows(layout, n_bars, n_windows, seed, empty, preset):
    sample = planted(n_windows, preset=preset, seed=seed, n_bars=n_bars, layout=layout, empty=empty)
    spans, ohlc = sample.data.spans, sample.data.windows.ohlc
    assert ohlc.shape == (n_windows, n_bars, 4)
    assert np.all(ohlc[..., 1] >= ohlc.max(axis=2))
    assert np.all(ohlc[..., 2] <= ohlc.min(axis=2))
    assert np.all((spans.start >= 0) & (spans.stop <= n_bars) & (spans.length >= 3))
    disjoint = (spans.window[1:] > spans.window[:-1]) | (spans.start[1:] >= spans.stop[:-1])
    assert disjoint.all()
    prob = posterior(sample)
    assert prob.shape == (n_windows, n_bars)
    assert np.all((prob >= 0) & (prob <= 1))
    if layout != "several" and not empty:  # the bars of one span: their number has this mean
        assert np.all((prob.sum(axis=1) > 2.999) & (prob.sum(axis=1) <= 30.001))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"preset": "meduim"}, "preset: got 'meduim', expected one of hard, medium, easy"),
        ({"preset": ()}, "preset: got ()"),
        ({"preset": ("easy", "easy")}, "different names"),
        ({"layout": "none"}, "layout: got 'none', expected one of one, anywhere, several"),
        ({"n_windows": 0}, "n_windows: got 0"),
        ({"n_bars": 5}, "n_bars: got 5, expected room for a span of 3 bars in the layout one"),
        ({"n_bars": 2, "layout": "several"}, "n_bars: got 2"),
        ({"empty": 1.5}, "empty: got 1.5"),
        ({"empty": float("nan")}, "empty: got nan"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused(options, words):
    with pytest.raises(InputError) as error:
        planted(**options)
    assert words in str(error.value)


def test_the_smallest_windows():
    assert planted(3, n_bars=3, layout="anywhere").data.spans.length.tolist() == [3, 3, 3]
    np.testing.assert_allclose(posterior(planted(3, n_bars=3, layout="anywhere")), 1)
    assert planted(3, n_bars=6).data.spans.start.tolist() == [1, 1, 1]
