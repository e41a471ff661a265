from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from proxytools.errors import InputError
from proxytools.metrics.bar import bar_metrics, pearson
from proxytools.metrics.resample import f1_paired_interval, paired_interval, pearson_interval
from proxytools.metrics.span import span_metrics, window_bar_f1, window_counts
from proxytools.metrics.span_ap import average_precision
from proxytools.types import Spans
from tests import naive_metrics

few = settings(max_examples=60, deadline=None)
PERCENT = (30, 50, 70)


@st.composite
def scored_bars(draw):
    """Probabilities with many ties, and marks of both classes."""
    shape = draw(st.tuples(st.integers(1, 4), st.integers(1, 12)).filter(lambda s: s[0] * s[1] > 1))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    prob = rng.integers(0, draw(st.integers(1, 40)) + 1, shape)
    mask = rng.random(shape) < draw(st.floats(0.1, 0.9))
    mask.flat[0], mask.flat[-1] = True, False
    return (prob / max(prob.max(), 1)).astype(draw(st.sampled_from(["f4", "f8"]))), mask


@st.composite
def families(draw, max_windows=4, n_bars=14):
    """One list of disjoint spans a window, touching ones among them."""
    windows = []
    for _ in range(draw(st.integers(1, max_windows))):
        edges = sorted(draw(st.sets(st.integers(0, n_bars), max_size=9)))
        pairs = list(pairwise(edges))
        keep = draw(st.lists(st.booleans(), min_size=len(pairs), max_size=len(pairs)))
        windows.append([pair for pair, kept in zip(pairs, keep, strict=True) if kept])
    return windows


@st.composite
def family_pairs(draw):
    pred, true = draw(families()), draw(families())
    n = min(len(pred), len(true))
    return pred[:n], true[:n]


# Bars


@few
@given(scored_bars())
def test_bar_metrics_equal_their_definitions(case):
    prob, mask = case
    scores = bar_metrics(prob, mask)
    p, y = prob.ravel().astype(float), mask.ravel()
    expected = {
        "pearson_r": np.corrcoef(p, y)[0, 1] if np.ptp(p) else 0.0,
        "average_precision": average_precision_score(y, p),
        "roc_auc": roc_auc_score(y, p),
        "separation": p[y].mean() - p[~y].mean(),
        "brier": brier_score_loss(y, p),
        "calibration_error": naive_metrics.calibration_error(prob.astype(float), mask),
    }
    assert scores == pytest.approx(expected, abs=1e-12)
    assert scores["pearson_r"] == pearson(prob, mask)


def test_bar_metrics_by_hand():
    # Thresholds 0.9, 0.5, 0.5, 0.1: precision at the marked bars 1/1 and 2/3 (tie).
    scores = bar_metrics(np.array([[0.9, 0.5], [0.5, 0.1]]), np.array([[1, 1], [0, 0]]))
    assert scores["average_precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert scores["roc_auc"] == pytest.approx(3.5 / 4)
    assert scores["separation"] == pytest.approx(0.4)
    assert scores["brier"] == pytest.approx((0.01 + 0.25 + 0.25 + 0.01) / 4)
    assert scores["calibration_error"] == pytest.approx((0.1 + 0.1) / 4)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1 / 3, 1.0])
def test_a_constant_tells_nothing(constant):
    prob = np.full((3, 7), constant, np.float32)
    mask = np.arange(21).reshape(3, 7) % 5 == 0
    scores = bar_metrics(prob, mask)
    assert (scores["pearson_r"], scores["roc_auc"]) == (0.0, 0.5)
    assert scores["average_precision"] == pytest.approx(mask.mean())
    assert scores["separation"] == pytest.approx(0, abs=1e-7)


def test_one_class_alone_leaves_ranking_undefined():
    prob = np.array([[0.2, 0.4]])
    unmarked, marked = bar_metrics(prob, np.zeros((1, 2))), bar_metrics(prob, np.ones((1, 2)))
    undefined = {"average_precision", "roc_auc", "separation"}
    assert {name for name, value in unmarked.items() if value is None} == undefined
    assert marked["roc_auc"] is marked["separation"] is None
    assert marked["average_precision"] == 1.0
    assert unmarked["pearson_r"] == marked["pearson_r"] == 0.0


def test_one_bar():
    scores = bar_metrics(np.array([[0.25]]), np.array([[1]]))
    assert scores["brier"] == pytest.approx(0.5625)
    assert scores["calibration_error"] == pytest.approx(0.75)


def test_pearson_of_tiny_and_of_offset_values():
    mask = np.array([[0, 1, 0, 1]])
    assert pearson(mask * 1e-300, mask) == pytest.approx(1.0)
    assert pearson(0.5 + mask * 1e-9, mask) == pytest.approx(1.0)
    assert pearson(1.0 - mask, mask) == pytest.approx(-1.0)


@pytest.mark.parametrize(
    ("prob", "mask", "where"),
    [
        ([[0.1, np.nan]], [[0, 1]], "probability at 0, 1: got nan"),
        ([[0.1, 1.5]], [[0, 1]], "probability at 0, 1: got 1.5"),
        ([[0.1], [-0.2]], [[0], [1]], "probability at 1, 0: got -0.2"),
        ([[0.1, 0.2]], [[0, 2]], "mask at 0, 1: got 2"),
        ([[0.1, 0.2]], [[0], [1]], "shapes"),
        (np.empty((0, 5)), np.empty((0, 5)), "at least one bar"),
    ],
)
def test_bad_bars_are_refused(prob, mask, where):
    with pytest.raises(InputError, match=where):
        bar_metrics(np.array(prob), np.array(mask))


@few
@given(scored_bars(), st.sampled_from([0.0, 0.3, 0.5, 1.0]))
def test_window_bar_f1_equals_its_definition(case, threshold):
    prob, mask = case
    mask[1:2] = False
    scores = window_bar_f1(prob, mask, threshold)
    assert scores == pytest.approx(naive_metrics.window_bar_f1(prob, mask, threshold))


def test_window_bar_f1_leaves_windows_out_that_have_neither():
    prob = np.array([[0.9, 0.9, 0.1], [0.1, 0.1, 0.1], [0.1, 0.9, 0.1]])
    mask = np.array([[1, 0, 1], [0, 0, 0], [0, 0, 0]])
    # window 1: 1 hit of 2 predicted, of 2 marked; window 2 out; window 3: one false alarm
    expected = {"bar_f1": 0.25, "bar_precision": 0.25, "bar_recall": 0.25}
    assert window_bar_f1(prob, mask) == expected
    assert set(window_bar_f1(prob[1:2], mask[1:2]).values()) == {None}


# Spans


@settings(max_examples=200, deadline=None)
@given(family_pairs())
def test_matching_is_maximum(case):
    pred, true = case
    scores = span_metrics(Spans.of(pred), Spans.of(true))
    for percent in PERCENT:
        hits = [
            naive_metrics.largest_matching(p, t, percent) for p, t in zip(pred, true, strict=True)
        ]
        counts = window_counts(Spans.of(pred), Spans.of(true), percent / 100)
        np.testing.assert_array_equal(counts[:, 0], hits)
        np.testing.assert_array_equal(counts[:, 0] + counts[:, 1], list(map(len, pred)))
        np.testing.assert_array_equal(counts[:, 0] + counts[:, 2], list(map(len, true)))
        n_pred, n_true = sum(map(len, pred)), sum(map(len, true))
        assert scores[f"span_precision_{percent}"] == (sum(hits) / n_pred if n_pred else None)
        assert scores[f"span_recall_{percent}"] == (sum(hits) / n_true if n_true else None)
        whole = n_pred + n_true
        assert scores[f"span_f1_{percent}"] == (2 * sum(hits) / whole if whole else None)
    total = sum(naive_metrics.summed_iou(p, t) for p, t in zip(pred, true, strict=True))
    assert scores["mean_iou"] == (pytest.approx(total / n_true) if n_true else None)


@few
@given(family_pairs(), st.integers(0, 2**32), st.integers(1, 9))
def test_average_precision_equals_its_definition(case, seed, n_scores):
    pred, true = case
    rng = np.random.default_rng(seed)
    scores = [list(rng.integers(1, n_scores + 1, len(p)) / n_scores) for p in pred]
    spans = Spans.of(pred)
    spans.score[:] = [s for row in scores for s in row]
    got = average_precision(spans, Spans.of(true))
    if not any(true):
        assert got is None
    else:
        assert got == pytest.approx(naive_metrics.average_precision(pred, scores, true))
        assert got == span_metrics(spans, Spans.of(true))["span_ap"]


def test_span_metrics_by_hand():
    true = Spans.of([[(10, 20), (20, 26)], [(0, 8)], [], [(40, 50)], []])
    pred = Spans.of([[(12, 20), (20, 29)], [(2, 6)], [(5, 9)], [], []])
    # IoU: 8/10, 6/9, 4/8, and a false positive in window 2, a miss in window 3.
    scores = span_metrics(pred, true)
    matched = {30: 3, 50: 3, 70: 1}
    for percent, hits in matched.items():
        assert scores[f"span_precision_{percent}"] == hits / 4
        assert scores[f"span_recall_{percent}"] == hits / 4
        assert scores[f"span_f1_{percent}"] == hits / 4
    assert scores["mean_iou"] == pytest.approx((0.8 + 6 / 9 + 0.5 + 0) / 4)
    assert scores["start_error_signed"] == scores["start_error_abs"] == pytest.approx((2 + 2) / 3)
    assert scores["stop_error_signed"] == pytest.approx((0 + 3 - 2) / 3)
    assert scores["stop_error_abs"] == pytest.approx((0 + 3 + 2) / 3)
    assert (scores["n_true"], scores["n_pred"], scores["n_matched"]) == (4, 4, 3)
    # All scores equal, so each threshold is one point: hits/4 precision at hits/4 recall, with
    # 3 hits at 0.50, 2 at 0.55 to 0.65, 1 at 0.70 to 0.80, none above.
    assert scores["span_ap"] == pytest.approx((9 + 3 * 4 + 3 * 1) / 16 / 10)


def test_ranking_decides_average_precision():
    true = Spans.of([[(0, 4)], [(2, 6)]])
    columns = ([0, 0, 1], [0, 5, 2], [4, 7, 6], 2)
    best, worst = (Spans(*columns, score=score) for score in ([3, 1, 2], [1, 3, 2]))
    assert average_precision(best, true) == pytest.approx(1.0)
    assert average_precision(worst, true) == pytest.approx(2 / 3)


def test_a_mark_is_found_once_however_many_proposals_overlap_it():
    proposals = Spans([0, 0, 0], [0, 0, 0], [4, 4, 4], 1, score=[0.9, 0.8, 0.7])
    marks = Spans.of([[(0, 4)]])
    assert average_precision(proposals, marks) == pytest.approx(1.0)
    with pytest.raises(InputError, match="predicted spans, window 0: got overlapping spans"):
        span_metrics(proposals, marks)


@pytest.mark.parametrize(
    ("pred", "true", "precision", "recall", "f1", "ap"),
    [
        ([[], []], [[], []], None, None, None, None),
        ([[(0, 2)], []], [[], []], 0.0, None, 0.0, None),
        ([[], []], [[(0, 2)], []], None, 0.0, 0.0, 0.0),
        ([[(0, 2)], []], [[(0, 2)], []], 1.0, 1.0, 1.0, 1.0),
    ],
)
def test_empty_cases(pred, true, precision, recall, f1, ap):
    scores = span_metrics(Spans.of(pred), Spans.of(true))
    assert scores["span_precision_50"] == precision
    assert scores["span_recall_50"] == recall
    assert scores["span_f1_50"] == f1
    assert scores["span_ap"] == ap
    assert scores["mean_iou"] == recall
    matched = f1 == 1.0
    assert scores["start_error_abs"] == (0.0 if matched else None)


def test_touching_spans_are_not_one():
    scores = span_metrics(Spans.of([[(0, 10)]]), Spans.of([[(0, 5), (5, 10)]]))
    assert (scores["n_matched"], scores["span_f1_50"]) == (1, 2 / 3)  # an IoU of 1/2 with each
    assert scores["stop_error_signed"] == 5.0  # the earlier half counts
    assert scores["mean_iou"] == 0.25


def test_a_whole_window_and_a_one_bar_window():
    whole = Spans.of([[(0, 105)]])
    assert span_metrics(whole, whole)["span_ap"] == 1.0
    one = Spans.of([[(0, 1)], []])
    assert span_metrics(one, one)["span_f1_70"] == 1.0


def test_classes_match_only_their_own():
    columns = ([0, 0, 1], [0, 5, 2], [4, 9, 6], 2)
    true, pred = Spans(*columns, label=[0, 1, 1]), Spans(*columns, label=[0, 0, 1])
    np.testing.assert_array_equal(window_counts(pred, true), [[2, 0, 0], [1, 0, 0]])
    np.testing.assert_array_equal(window_counts(pred, true, by_class=True), [[1, 1, 1], [1, 0, 0]])
    scores = span_metrics(pred, true, by_class=True)
    assert scores["span_f1_50"] == scores["mean_iou"] == pytest.approx(2 / 3)
    assert scores["span_ap"] == average_precision(pred, true, by_class=True) < 1


@pytest.mark.parametrize(
    ("pred", "true", "where"),
    [
        ([[(0, 3)]], [[(0, 3)], []], "1 windows, expected the 2 windows"),
        ([[(0, 3)], []], [[], [(1, 4), (3, 6)]], "marked spans, window 1: got overlapping"),
        ([[], [(2, 2)]], [[], []], "predicted spans, window 1: got an empty span"),
    ],
)
def test_bad_spans_are_refused(pred, true, where):
    with pytest.raises(InputError, match=where):
        span_metrics(Spans.of(pred), Spans.of(true))


@pytest.mark.parametrize("iou", [0.0, -0.1, 1.01, np.nan])
def test_bad_iou_is_refused(iou):
    with pytest.raises(InputError, match="iou"):
        window_counts(Spans.of([[]]), Spans.of([[]]), iou)


# Intervals


def planted(rng, n_units, windows_a_unit=1, n_bars=60, gain=0.15):
    """Marks, and probabilities whose quality differs from unit to unit."""
    n = n_units * windows_a_unit
    quality = np.repeat(rng.normal(gain, 0.1, n_units), windows_a_unit)
    mask = np.zeros((n, n_bars), np.uint8)
    for w, start in enumerate(rng.integers(10, 40, n)):
        mask[w, start : start + rng.integers(3, 12)] = 1
    noise = rng.random((n, n_bars))
    return np.clip(0.3 + 0.4 * noise + quality[:, None] * mask, 0, 1), mask


def naive_resamples(prob, mask, units, draws, seed):
    """Pearson r of literally repeated windows."""
    rng = np.random.default_rng(seed)
    names = np.unique(units)
    for drawn in rng.integers(len(names), size=(draws, len(names))):
        windows = np.concatenate([np.flatnonzero(units == names[u]) for u in drawn])
        yield pearson(prob[windows], mask[windows])


def test_interval_is_that_of_repeated_windows():
    prob, mask = planted(np.random.default_rng(0), 10, 3)
    units = np.repeat(np.arange(10) * 7, 3)
    values = list(naive_resamples(prob, mask, units, 300, seed=4))
    low, high = pearson_interval(prob, mask, units, draws=300, seed=4)
    # Ten units: t with 9 degrees of freedom is 2.262, times sqrt(10/9) is 2.385 deviations.
    expected = np.quantile(values, [0.008549, 1 - 0.008549])
    np.testing.assert_allclose([low, high], expected, atol=1e-3)


def test_intervals_cover_at_their_level():
    rng = np.random.default_rng(1)
    truth = pearson(*planted(rng, 20_000))
    n, covered = 400, 0
    for seed in range(n):
        prob, mask = planted(rng, 20)
        low, high = pearson_interval(prob, mask, np.arange(20), draws=400, seed=seed)
        covered += low <= truth <= high
    assert 0.92 <= covered / n <= 0.98  # 0.95, three standard errors of 0.011 either side


def test_windows_of_a_unit_are_not_independent():
    prob, mask = planted(np.random.default_rng(2), 20)
    once = pearson_interval(prob, mask, np.arange(20))
    copied = [np.repeat(x, 9, axis=0) for x in (prob, mask)]
    grouped = pearson_interval(*copied, np.repeat(np.arange(20), 9))
    np.testing.assert_allclose(grouped, once, atol=1e-12)
    low, high = pearson_interval(*copied, np.arange(180))
    assert high - low < 0.5 * (once[1] - once[0])


def test_paired_interval_cancels_what_is_common():
    prob, mask = planted(np.random.default_rng(3), 30)
    rng = np.random.default_rng(4)
    other = np.clip(prob + rng.normal(0, 0.02, prob.shape), 0, 1)
    units = np.arange(30)
    difference, low, high = paired_interval(prob, other, mask, units)
    assert difference == pearson(prob, mask) - pearson(other, mask)
    assert low < difference < high
    alone = pearson_interval(prob, mask, units)
    assert high - low < 0.2 * (alone[1] - alone[0])
    assert paired_interval(prob, prob, mask, units) == (0.0, 0.0, 0.0)
    forth, back = (paired_interval(*pair, mask, units) for pair in ((prob, other), (other, prob)))
    np.testing.assert_allclose(forth, [-back[0], -back[2], -back[1]], atol=1e-9)


def test_f1_paired_interval_resamples_pooled_counts():
    rng = np.random.default_rng(5)
    a, b = rng.integers(0, 3, (2, 12, 3))
    units = np.repeat(np.arange(4), 3)

    def f1(counts):
        hits, alarms, misses = counts.sum(axis=0)
        return hits / (hits + (alarms + misses) / 2)

    draws = np.random.default_rng(6).integers(4, size=(500, 4))
    rows = [np.concatenate([np.flatnonzero(units == u) for u in drawn]) for drawn in draws]
    values = [f1(a[r]) - f1(b[r]) for r in rows]
    difference, low, high = f1_paired_interval(a, b, units, level=0.5, draws=500, seed=6)
    assert difference == pytest.approx(f1(a) - f1(b))
    assert np.min(values) <= low < high <= np.max(values)
    # Four units: t with 3 degrees of freedom is 0.7649 at 75 %, times sqrt(4/3) is 0.8832.
    np.testing.assert_allclose([low, high], np.quantile(values, [0.18856, 0.81144]), atol=2e-3)


def test_resamples_without_variation_count_as_zero():
    mask = np.zeros((3, 4), np.uint8)
    mask[0, 0] = 1
    low, high = pearson_interval(mask.astype(float), mask, np.arange(3))
    assert (low, high) == (0.0, pytest.approx(1.0))
    nothing = np.zeros((3, 3), np.int64)
    assert f1_paired_interval(nothing, nothing, np.arange(3)) == (0.0, 0.0, 0.0)


def test_interval_of_many_units_is_the_same_in_pieces(monkeypatch):
    prob, mask = planted(np.random.default_rng(7), 30)
    whole = pearson_interval(prob, mask, np.arange(30), draws=100)
    monkeypatch.setattr("proxytools.metrics.resample.WEIGHTS_AT_ONCE", 210)
    # BLAS may add up in another order: only the last digits differ.
    in_pieces = pearson_interval(prob, mask, np.arange(30), draws=100)
    assert in_pieces == pytest.approx(whole, rel=1e-12)


def test_bad_units_are_refused():
    prob, mask = planted(np.random.default_rng(8), 3)
    with pytest.raises(InputError, match="one unit"):
        pearson_interval(prob, mask, np.zeros(3, int))
    with pytest.raises(InputError, match="units: got shape"):
        pearson_interval(prob, mask, np.arange(4))
    with pytest.raises(InputError, match="span counts"):
        f1_paired_interval(np.zeros((3, 3)), np.zeros((3, 2)), np.arange(3))
