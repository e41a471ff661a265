import numba
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deep.device import limited, resolve, seeded
from deep.dropout import QuickDropout
from deep.fitting import signs_of
from deep.lengths import LengthPrior
from deep.matches import choose_threshold, match_probability, spans_above
from deep.memory import reused
from deep.model import Ensemble, SpanModel
from deep.number import log_weights
from deep.presets import PRESETS, on_features, preset
from deep.reading import MatchReader
from deep.segmental import SegmentalHead
from deep.settings import Settings
from deep.soft import level_spans, soften
from deep.tasks import Likelihood, WeightedBars, chain
from proxytools.errors import DeviceError, InputError
from proxytools.types import Spans
from tests.naive_matches import best_total, iou, match_of
from tests.test_segmental import draw

CPU = torch.device("cpu")
seeds = st.integers(0, 2**32)
PRIOR = LengthPrior.of([3, 4, 4, 6], l_max=6)


def model(head="segmental", n_features=5, **given):
    with seeded((0,), CPU):
        return SpanModel(n_features, Settings(head=head, hidden=4, **given), PRIOR, -3.0).eval()


def span(outputs):
    return outputs["span"].detach().numpy()


def values(n_windows=3, n_bars=20, n_features=5, seed=0):
    return torch.randn(n_windows, n_bars, n_features, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("head", "scores"), [("segmental", 3), ("mask", 1)])
def test_a_score_a_bar(head, scores):
    assert model(head)(values())["span"].shape == (3, 20, scores)


def test_an_untrained_model_expects_about_as_many_spans_as_there_were():
    head = SegmentalHead(1, PRIOR, start_bias=-3.0)
    scores = torch.zeros(1, 60, 3)
    scores[..., 1] = -3.0
    assert 1 < chain(scores, head.length()).expected_spans().item() < 4


def test_standardised_by_what_it_was_given():
    x = values(4) * torch.tensor([1.0, 100.0, 1e-3, 1.0, 1.0]) + 7
    x[..., 3] = 5.0  # constant
    a, b = model(), model()
    a.standardise(x)
    np.testing.assert_allclose(a.mean, x.mean((0, 1)), rtol=1e-5)
    np.testing.assert_allclose(a.gain[[0, 1, 2]], 1 / x.std((0, 1), correction=0)[:3], rtol=1e-3)
    assert a.gain[3] == 0
    rescaled = x * 3 - 20  # the same, once standardised
    b.standardise(rescaled)
    np.testing.assert_allclose(span(a(x)), span(b(rescaled)), atol=2e-4)


def test_a_wild_feature_cannot_overflow():
    wild = values()
    wild[0, 0] = 3e38
    assert np.isfinite(span(model()(wild))).all()


def test_dropout_only_in_training():
    still = model(dropout=0.5, input_dropout=0.5)
    assert np.array_equal(span(still(values())), span(still(values())))
    still.train()
    assert not np.array_equal(span(still(values())), span(still(values())))


def test_an_ensemble_is_the_mean_of_its_members():
    one, two = model(), model()
    with torch.no_grad():
        two.head.scores.bias += 1.0
        two.head.length_logits += torch.linspace(0, 1, 7)
    both = Ensemble([one, two])
    np.testing.assert_allclose(
        both(values()).detach(), (span(one(values())) + span(two(values()))) / 2, atol=1e-6
    )
    mean = (one.length().table + two.length().table).detach() / 2
    np.testing.assert_allclose(both.length().table.detach(), mean, atol=1e-6)


def test_presets():
    assert preset("segmental") is PRESETS["segmental"]
    single = preset("single")
    assert (single.head, single.hidden) == ("mask", 256)
    assert 10 <= single.positive_weight <= 20
    assert single.soft_edge > 0
    with pytest.raises(InputError, match="Did you mean segmental"):
        preset("segmentl")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("head", "pointer"),
        ("hidden", -1),
        ("hidden", 2.5),
        ("members", True),
        ("dropout", 1.0),
        ("learning_rate", float("nan")),
        ("weight_decay", float("inf")),
        ("average", 1.0),
        ("backwards", 1),
        ("epochs", "9"),
    ],
)
def test_settings_out_of_range(name, value):
    with pytest.raises(InputError, match=name.replace("_", " ")):
        Settings(**{name: value})


def test_devices():
    assert resolve("cpu") == CPU
    assert resolve("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(DeviceError, match="opencl"):
        resolve("opencl")
    if not torch.cuda.is_available():
        with pytest.raises(DeviceError, match="no CUDA device"):
            resolve("cuda")


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.7])
def test_quick_dropout_drops_as_torch_does(rate):
    x = torch.ones(500, 1001, requires_grad=True)
    with seeded((1,), CPU):
        made = QuickDropout(rate)(x)
        twin = torch.nn.Dropout(rate)(x)
    kept = made[made > 0].unique()
    assert kept.item() == pytest.approx(twin.max().item(), rel=1e-4)
    shares = (made > 0).float()
    spread = (rate * (1 - rate) / x.numel()) ** 0.5
    assert shares.mean().item() == pytest.approx(1 - rate, abs=5 * spread)
    again = (QuickDropout(rate)(x) > 0).float()
    for other in (shares.roll(1, 1), shares.roll(1, 0), again):
        assert torch.corrcoef(torch.stack([shares.flatten(), other.flatten()]))[0, 1].abs() < 0.01
    made.sum().backward()
    assert torch.equal(x.grad, made.detach())


def test_quick_dropout_at_its_ends():
    x = torch.arange(7.0)
    assert torch.equal(QuickDropout(0.0)(x), x)
    assert torch.equal(QuickDropout(1.0)(x), torch.zeros(7))
    assert QuickDropout(0.5)(x[:0]).shape == (0,)
    assert QuickDropout(0.5)(x.double()).dtype == torch.float64


def test_a_small_lstm_takes_one_thread():
    before = torch.get_num_threads(), numba.get_num_threads()
    with limited(2, hidden=16):
        assert torch.get_num_threads() == 1
        assert numba.get_num_threads() == min(2, numba.config.NUMBA_NUM_THREADS)
    with limited(0, hidden=16):
        assert (torch.get_num_threads(), numba.get_num_threads()) == (1, before[1])
    with limited(2, hidden=256):
        assert torch.get_num_threads() == 2
    assert (torch.get_num_threads(), numba.get_num_threads()) == before


def test_memory_is_reused_and_given_back():
    for _ in range(2):  # again, and inside one another
        with reused(), reused():
            assert torch.ones(10**7).sum() == 10**7
    with pytest.raises(RuntimeError, match="kept"), reused():
        raise RuntimeError("errors are not kept")
    assert torch.ones(10**7).sum() == 10**7


def test_elsewhere_than_on_glibc_memory_is_left_alone(monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    with reused():
        assert torch.ones(3).sum() == 3


def test_threads_and_random_stream_are_given_back():
    before, state = torch.get_num_threads(), torch.get_rng_state()
    with limited(1), seeded((1, 2), CPU):
        assert torch.get_num_threads() == 1
        first = torch.rand(3)
    with seeded((1, 2), CPU):
        assert torch.equal(torch.rand(3), first)
    with seeded((1, 3), CPU):
        assert not torch.equal(torch.rand(3), first)
    assert torch.get_num_threads() == before
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(InputError, match="threads"), limited(-1):
        pass


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(1, 12), st.integers(1, 9))
def test_level_spans_average_to_the_target(seed, n_bars, n_levels):
    rng = np.random.default_rng(seed)
    target = rng.random((3, n_bars))
    levels = level_spans(target, n_levels)
    mean = np.mean([spans.mask(n_bars) for spans in levels], axis=0)
    assert np.abs(mean - target).max() <= 0.5 / n_levels + 1e-9
    hard = (target > 0.5).astype(float)
    for spans in level_spans(hard, n_levels):
        np.testing.assert_array_equal(spans.mask(n_bars), hard)


def test_the_likelihood_of_soft_targets_is_the_mean_over_levels():
    levels = level_spans(np.array([[0, 0.2, 0.9, 0.9, 0.3, 0], [0.6, 0.6, 0, 0, 1, 1]]), 4)
    at, x = torch.arange(2), values(2, 6)
    network = model()
    outputs = network(x)
    together = Likelihood(levels, 6, CPU).loss(outputs, at).detach()
    apart = [Likelihood([one], 6, CPU).loss(outputs, at).detach() for one in levels]
    np.testing.assert_allclose(together, torch.stack(apart).mean(0), rtol=1e-6)


def test_weighted_bars_equal_their_formula():
    target = np.array([[0, 1, 1, 0, 0]], np.float32)
    scores = torch.tensor([[[0.3], [-1.0], [2.0], [0.0], [-4.0]]])
    p = 1 / (1 + np.exp(-scores[0, :, 0].numpy().astype(float)))
    expected = -np.mean(15 * target[0] * np.log(p) + (1 - target[0]) * np.log(1 - p))
    got = WeightedBars(target, 15.0, 0.0, CPU).loss({"span": scores}, torch.tensor([0])).item()
    assert got == pytest.approx(expected, rel=1e-5)
    given = np.where(target[0] == 1, p, 1 - p)
    expected = -np.mean((1 - given) ** 2 * np.where(target[0] == 1, 15, 1) * np.log(given))
    got = WeightedBars(target, 15.0, 2.0, CPU).loss({"span": scores}, torch.tensor([0])).item()
    assert got == pytest.approx(expected, rel=1e-5)


def test_soft_edges_stay_on_the_edges():
    mask = Spans.of([[(5, 12)], [(0, 20)], []]).mask(20)
    soft = soften(mask, 2)
    assert soft.dtype == np.float32
    np.testing.assert_allclose(soft[0].sum(), 7, rtol=1e-6)  # what one bar loses another gets
    np.testing.assert_array_equal(soft[1:], mask[1:])
    assert np.all(np.diff(soft[0, 2:9]) >= 0)
    np.testing.assert_array_equal(soften(mask, 0), mask)


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(1, 7), st.integers(1, 9), st.sampled_from([0.0, 1.0, 5.0]))
def test_span_probabilities_equal_enumeration(seed, n_bars, l_max, scale):
    found, naive = draw(seed, 2, n_bars, l_max, scale)
    longest = 1 + seed % 8
    prob = found.span_probabilities(longest)
    assert prob.shape == (2, n_bars, min(longest, n_bars))
    for n, slow in enumerate(naive):
        for s in range(n_bars):
            for k in range(prob.shape[2]):
                fits = s + k + 1 <= n_bars
                expected = slow.probability((s, s + k + 1)) if fits else 0.0
                assert prob[n, s, k].item() == pytest.approx(expected, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(
    seeds,
    st.integers(1, 12),
    st.integers(1, 8),
    st.sampled_from([(0.3,), (0.5,), (0.6, 0.75), (1.0,)]),
)
def test_match_probability_equals_the_sum_over_pairs(seed, n_bars, n_lengths, ious):
    rng = np.random.default_rng(seed)
    n_lengths = min(n_lengths, n_bars)
    prob = rng.random((2, n_bars, n_lengths)) * 0.05
    prob[:, np.arange(n_bars)[:, None] + np.arange(n_lengths) >= n_bars] = 0
    expected = np.mean([match_of(prob, iou) for iou in ious], axis=0)
    np.testing.assert_allclose(match_probability(prob, ious), expected, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(1, 9), st.floats(0.1, 0.8))
def test_spans_above_are_the_best_set(seed, n_bars, threshold):
    match = np.random.default_rng(seed).random((2, n_bars, min(4, n_bars)))
    match[:, np.arange(n_bars)[:, None] + np.arange(match.shape[2]) >= n_bars] = 0
    spans = spans_above(match, threshold)
    for n in range(2):
        own = spans.take([n])
        assert np.all(own.start[1:] >= own.stop[:-1])
        total = sum(match[n, s, u - s - 1] - threshold for s, u in zip(own.start, own.stop))  # noqa: B905
        assert total == pytest.approx(best_total(match[n], threshold), abs=1e-9)
    np.testing.assert_array_equal(spans.score, match[spans.window, spans.start, spans.length - 1])
    assert np.all(spans.score > threshold)


def calibrated(seed):
    """Two hundred windows, each with one candidate that is right as often as it says."""
    rng = np.random.default_rng(seed)
    match = np.zeros((200, 10, 4))
    match[:, 2, 3] = prob = rng.random(200)
    marks = [[(2, 6)] if right else [] for right in rng.random(200) < prob]
    return match, prob, Spans.of(marks)


@settings(deadline=None, max_examples=20)
@given(seeds)
def test_the_threshold_is_half_of_the_f1_that_can_be_expected(seed):
    match, prob, marks = calibrated(seed)
    f1 = max(2 * prob[prob > x].sum() / ((prob > x).sum() + len(marks)) for x in prob)
    assert choose_threshold(match, marks) == pytest.approx(f1 / 2, abs=0.05)


def test_the_threshold_does_not_hang_on_which_marks_were_hit():
    match, _, marks = calibrated(0)
    others = Spans.of([[(8, 9)]] * len(marks) + [[]] * (200 - len(marks)))
    assert choose_threshold(match, marks) == choose_threshold(match, others)


def test_whatever_is_sure_is_returned():
    match = np.zeros((60, 10, 4))
    match[:, 2, 3], match[:, 7, 1] = 0.98, 0.02
    assert 0.02 < choose_threshold(match, Spans.of([[(2, 6)]] * 60)) < 0.98


def test_iou_of_the_twin():
    assert iou((0, 4), (2, 6)) == pytest.approx(2 / 6)
    assert iou((0, 2), (2, 4)) == 0


def directed(**given):
    with seeded((0,), CPU):
        made = SpanModel(5, Settings(directions=2, hidden=4, **given), PRIOR, -3.0).eval()
    made.signs.copy_(torch.tensor([1.0, -1, 1, -1, -1]))
    return made


def test_a_mirror_image_swaps_the_directions():
    network, x = directed(), values()
    network.standardise(x + 3)
    with torch.no_grad():
        up, down = (network(v)["span"].unflatten(2, (2, 3)) for v in (x, x * network.signs))
    assert not torch.allclose(up[:, :, 0], up[:, :, 1])
    torch.testing.assert_close(down, up.flip(2))
    one, other = (chain(v.flatten(2), network.length()).posterior() for v in (up, down))
    torch.testing.assert_close(one, other)


def test_mirrored_features_have_no_mean_where_their_sign_changes():
    network = directed()
    network.standardise(values() + 3)
    assert (network.mean[network.signs < 0] == 0).all()
    assert (network.mean[network.signs > 0] > 2).all()


def test_both_directions_lose_the_same_columns():
    network, x = directed(dropout=0.5, input_dropout=0.5).train(), values(8)
    network.head.scores.weight.data.fill_(1.0)
    network.signs.fill_(1.0)  # then both see the same
    scores = network(x)["span"].unflatten(2, (2, 3))
    torch.testing.assert_close(scores[:, :, 0], scores[:, :, 1])


def test_two_directions_need_features_that_mirrors_allow():
    assert on_features(preset("segmental"), "causal").directions == 1
    assert on_features(preset("segmental"), "directed").directions == 2
    with pytest.raises(InputError, match=r"upper_wick.*directed"):
        signs_of(("body", "upper_wick"), 2)
    np.testing.assert_array_equal(signs_of(("body", "body_size"), 2), [-1, 1])
    with pytest.raises(InputError, match="directions"):
        Settings(head="mask", directions=2)


def test_windows_of_one_span_are_read_as_such():
    spans = Spans.of([[(3, 6)]] * 30)
    network = directed(number=True)
    network.number.copy_(log_weights(spans))
    outputs = network(values(6))
    told = chain(outputs["span"], outputs["length"], outputs["number"])
    free = chain(outputs["span"], outputs["length"])
    assert (told.expected_spans() - 1).abs().max() < (free.expected_spans() - 1).abs().max()
    np.testing.assert_allclose(told.expected_spans().detach(), 1, atol=0.2)


def test_over_a_series_as_many_spans_are_expected_as_there_are():
    network = directed(number=True)
    with torch.no_grad():
        network.head.scores.bias[1] += 4.0  # what windows of one span never tell
    network.number.copy_(torch.tensor([-4.0, 1.0, -4.0]))
    parts = [(Ensemble([network]), values(6)), (Ensemble([network]), values(5, seed=1))]
    reader = MatchReader(6).for_series(parts, 11)
    assert reader.series_bias < -1
    found = [
        chain(model(x), reader.series_length(model)).expected_spans().sum() for model, x in parts
    ]
    assert sum(found).item() == pytest.approx(11, abs=0.05)
    plain = [(Ensemble([directed()]), values(6))]
    assert MatchReader(6).for_series(plain, 11) == MatchReader(6)
