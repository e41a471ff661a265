from dataclasses import asdict
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxytools import decode
from proxytools.decode import Decoder, choose
from proxytools.errors import InputError
from proxytools.metrics.span import span_metrics
from proxytools.types import Spans
from tests import naive_decode


def planted(seed, n_windows=30, n_bars=40, noise=0.25):
    rng = np.random.default_rng(seed)
    start = rng.integers(5, 25, n_windows)
    spans = Spans(np.arange(n_windows), start, start + rng.integers(3, 12, n_windows), n_windows)
    prob = 0.3 + 0.3 * spans.mask(n_bars) + noise * rng.normal(size=(n_windows, n_bars))
    return prob.clip(0, 1).astype(np.float32), spans


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 2**32),
    st.tuples(st.integers(1, 3), st.integers(1, 25)),
    st.tuples(st.integers(0, 5), st.integers(0, 5)),
    st.integers(1, 4),
    st.integers(0, 3),
)
def test_decoding_equals_its_definition(seed, shape, levels, min_length, max_gap):
    prob = np.random.default_rng(seed).integers(0, 6, shape) / 5
    low, high = np.sort(levels) / 5
    spans = Decoder(high, low, min_length, max_gap).spans(prob)
    expected = Spans.of([naive_decode.spans(row, high, low, min_length, max_gap) for row in prob])
    for name in ("window", "start", "stop"):
        np.testing.assert_array_equal(getattr(spans, name), getattr(expected, name))
    means = [
        prob[w, a:b].mean() for w, a, b in zip(spans.window, spans.start, spans.stop, strict=True)
    ]
    np.testing.assert_allclose(spans.score, means)
    assert spans.n_windows == len(prob)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        # bars          0    1    2    3    4    5    6    7    8    9
        # probabilities 0.6, 0.2, 0.5, 0.9, 0.4, 0.1, 0.5, 0.1, 0.1, 0.7
        ((0.5, 0.5, 1, 0), [(0, 1), (2, 4), (6, 7), (9, 10)]),
        ((0.5, 0.5, 2, 0), [(2, 4)]),
        ((0.9, 0.4, 1, 0), [(2, 5)]),
        ((0.6, 0.5, 1, 1), [(0, 4), (9, 10)]),
        ((0.6, 0.5, 1, 2), [(0, 10)]),
        ((0.6, 0.4, 5, 1), [(0, 7)]),
        ((0.95, 0.1, 1, 0), []),
        ((0.0, 0.0, 1, 0), [(0, 10)]),
    ],
)
def test_decoding_by_hand(setting, expected):
    prob = np.array([[0.6, 0.2, 0.5, 0.9, 0.4, 0.1, 0.5, 0.1, 0.1, 0.7]])
    spans = Decoder(*setting).spans(prob)
    assert list(zip(spans.start, spans.stop, strict=True)) == expected


def test_spans_reach_the_edges_and_stay_in_their_window():
    spans = Decoder().spans(np.array([[0.1, 0.9], [0.9, 0.9], [0.2, 0.1], [0.9, 0.1]]))
    assert spans.window.tolist() == [0, 1, 3]
    assert list(zip(spans.start, spans.stop, strict=True)) == [(1, 2), (0, 2), (0, 1)]


def test_one_bar_and_no_windows():
    assert len(Decoder().spans(np.array([[0.7]]))) == 1
    assert len(Decoder().spans(np.array([[0.3]]))) == 0
    assert Decoder().spans(np.empty((0, 5))).n_windows == 0


def test_nan_is_never_in_a_span():
    spans = Decoder(high=0.0, low=0.0).spans(np.array([[np.nan, 0.5, np.nan]]))
    assert list(zip(spans.start, spans.stop, strict=True)) == [(1, 2)]


def test_a_decoder_survives_json_and_decodes_the_same_in_float32():
    prob, spans = planted(0)
    decoder = choose(prob, spans)
    assert Decoder(**asdict(decoder)) == decoder
    assert all(type(value) in (int, float) for value in asdict(decoder).values())


@pytest.mark.parametrize(
    ("setting", "name"),
    [
        ({"high": 0.3, "low": 0.4}, "low"),
        ({"high": np.nan}, "low"),
        ({"min_length": 0}, "min_length"),
        ({"max_gap": -1}, "max_gap"),
    ],
)
def test_bad_settings_are_refused(setting, name):
    with pytest.raises(InputError, match=f"decoder, {name}"):
        Decoder(**setting)


def naive_grid(prob, spans, iou):
    """F1 of each setting through the public decoder and metrics, in the order of simplicity."""
    percent = round(100 * iou)
    grid = product(decode.MAX_GAPS, decode.MIN_LENGTHS, decode.LOW_FRACTIONS, decode._levels(prob))
    for gap, length, fraction, high in grid:
        decoder = Decoder(float(high), float(fraction * high), length, gap)
        yield decoder, span_metrics(decoder.spans(prob), spans)[f"span_f1_{percent}"]


def hills(seed):
    """Spans so clear that most settings find them, up to different heights."""
    prob, spans = planted(seed, noise=0.02)
    top = np.random.default_rng(seed).uniform(0.5, 1, (len(prob), 1)).astype(np.float32)
    bars = np.arange(prob.shape[1])
    middle, half = (spans.start + spans.stop - 1) / 2, spans.length / 2
    hill = np.clip(1.2 - np.abs(bars - middle[:, None]) / half[:, None], 0, 1)
    return (0.05 * prob + 0.9 * top * hill).astype(np.float32), spans


@pytest.mark.parametrize(
    ("make", "seed", "iou"),
    [(planted, 1, 0.3), (planted, 2, 0.5), (planted, 3, 0.7), (hills, 4, 0.3), (hills, 5, 0.5)],
)
def test_choice_is_the_best_of_the_grid(make, seed, iou):
    prob, spans = make(seed)
    grid = dict(naive_grid(prob, spans, iou))
    chosen = choose(prob, spans, iou=iou)
    assert grid[chosen] == max(grid.values())
    ties = [decoder for decoder, f1 in grid.items() if f1 == grid[chosen]]

    def rest(decoder):
        return decoder.max_gap, decoder.min_length, -round(decoder.low / decoder.high, 6)

    assert rest(chosen) == min(map(rest, ties))
    highs = [decoder.high for decoder in ties if rest(decoder) == rest(chosen)]
    assert chosen.high == highs[len(highs) // 2]


def test_of_equally_good_thresholds_the_middle_one_is_taken():
    hill = [0.5, 0.6, 0.7, 0.8, 0.8, 0.7, 0.6, 0.5]
    prob = np.array([[*np.linspace(0.2, 0, 20), *hill]])
    spans = Spans.of([[(20, 28)]])
    good = [level for level in decode._levels(prob) if 0.2 < level <= 0.7]  # IoU from 1/2
    assert len(good) >= 3
    assert choose(prob, spans) == Decoder(good[len(good) // 2], good[len(good) // 2])


def test_thresholds_follow_the_scale_of_the_probabilities():
    prob, spans = planted(4)
    big, small = choose(prob, spans), choose(prob / 64, spans)
    assert small.high == pytest.approx(big.high / 64)
    assert (small.min_length, small.max_gap) == (big.min_length, big.max_gap)
    found, again = big.spans(prob), small.spans(prob / 64)
    np.testing.assert_array_equal(found.start, again.start)


def test_clear_probabilities_are_decoded_without_error():
    prob, spans = planted(5, noise=0.0)
    found = choose(prob, spans).spans(prob)
    np.testing.assert_array_equal(found.start, spans.start)
    np.testing.assert_array_equal(found.stop, spans.stop)


def test_windows_without_spans_push_the_threshold_up():
    prob, spans = planted(6, noise=0.05)
    bumps = np.full((90, 40), 0.3, np.float32)
    bumps[:, 10:18] = 0.45
    both = Spans(spans.window, spans.start, spans.stop, 120)
    found = choose(np.concatenate([prob, bumps]), both).spans(np.concatenate([prob, bumps]))
    assert found.window.max() < 30
    assert len(found) >= 25


def test_a_constant_gives_some_decoder():
    prob = np.full((3, 8), 0.2, np.float32)
    assert len(choose(prob, Spans.of([[(0, 8)], [], []])).spans(prob)) == 3


def test_nothing_to_choose_on_is_refused():
    prob = np.full((2, 8), 0.2)
    with pytest.raises(InputError, match="0 marked spans"):
        choose(prob, Spans.of([[], []]))
    with pytest.raises(InputError, match="at least one in 2 windows"):
        choose(prob, Spans.of([[(0, 2)]]))
