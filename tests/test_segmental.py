import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deep import chain
from deep.lengths import LengthPrior, length_scores, start_bias, uncut
from deep.observed import Observed
from deep.segmental import SegmentalHead, SpanChain
from deep.sums import compiled_sums, tensor_sums
from proxytools.errors import InputError
from proxytools.types import Spans
from tests.naive_segmental import NaiveChain

seeds = st.integers(0, 2**32)


NUMBERS = [None, (-2.0, 1.0, -1.5), (0.7, -3.0, 0.4)]


def draw(seed, n_windows=2, n_bars=6, l_max=3, scale=1.0, directions=1, number=None):
    """Scores, and what a naive chain of the same needs."""
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(3, n_windows, directions, n_bars)) * scale
    mass, ratio, entry = rng.dirichlet(np.ones(l_max + 1)) + 1e-9, rng.uniform(0.1, 0.8), -1.5
    mass /= mass.sum()
    mass_, ratio_, entry_ = (torch.tensor(x, dtype=torch.float64) for x in (mass, ratio, entry))
    length, told = length_scores(mass_.log(), ratio_.logit(), entry_), number or (0.0, 0.0, 0.0)
    naive = [NaiveChain(*scores[:, n], mass, ratio, entry, told) for n in range(n_windows)]
    number = None if number is None else torch.tensor(number, dtype=torch.float64)
    return SpanChain(*torch.tensor(scores), length, number), naive


def prior_scores(l_max=20):
    head = SegmentalHead(1, LengthPrior.of([5, 6, 7, 8, 9, 14], l_max), start_bias=-4.6)
    return length_scores(*(p.detach() for p in (head.length_logits, head.tail_logit, head.entry)))


def flat(n_windows, n_bars, value=0.0):
    return torch.full((n_windows, n_bars), value)


cases = given(
    seeds,
    st.integers(1, 8),
    st.integers(1, 10),
    st.sampled_from([0.0, 1.0, 8.0]),
    st.integers(1, 3),
)


@settings(max_examples=60, deadline=None)
@given(
    seeds,
    st.integers(1, 8),
    st.integers(1, 10),
    st.sampled_from([0.0, 1.0, 8.0]),
    st.integers(1, 3),
    st.sampled_from(NUMBERS),
)
def test_equals_enumeration(seed, n_bars, l_max, scale, directions, number):
    chain, naive = draw(seed, 2, n_bars, l_max, scale, directions, number)
    posterior = chain.posterior()
    for n, slow in enumerate(naive):
        assert chain.log_partition()[n].item() == pytest.approx(slow.log_z, rel=1e-10, abs=1e-10)
        assert chain.expected_spans()[n].item() == pytest.approx(slow.expected_spans(), abs=1e-10)
        np.testing.assert_allclose(posterior[n], slow.posterior(), atol=1e-10)
        np.testing.assert_allclose(chain.directions()[n], slow.directions(), atol=1e-10)


@settings(max_examples=60, deadline=None)
@cases
def test_decode_is_the_best_of_all(seed, n_bars, l_max, scale, directions):
    chain, naive = draw(seed, 3, n_bars, l_max, scale, directions=directions)
    spans = chain.decode()
    for n, slow in enumerate(naive):
        own = spans.take([n])
        got = list(zip(own.start.tolist(), own.stop.tolist(), strict=True))
        ways = range(directions)
        found = sum(max(slow.directed(span, d) for d in ways) for span in got)
        assert found == pytest.approx(slow.best_directed(), abs=1e-9)
        means = [slow.posterior()[s:u].mean() for s, u in got]
        np.testing.assert_allclose(own.score, means, atol=1e-9)
        exact = [slow.probability(span) for span in got]
        np.testing.assert_allclose(chain.probability(spans)[spans.window == n], exact, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(seeds, st.integers(1, 8), st.integers(1, 10), st.integers(1, 3), st.sampled_from(NUMBERS))
def test_likelihood_of_every_segmentation(seed, n_bars, l_max, directions, number):
    chain, (slow,) = draw(seed, 1, n_bars, l_max, 1.0, directions, number)
    n = len(slow.all)
    scores = [x.expand(n, -1, -1).clone().requires_grad_() for x in (chain.e, chain.a, chain.b)]
    many = SpanChain(*scores, chain.length, chain.number)
    observed = Observed.of([Spans.of(slow.all)], n_bars)
    got = many.log_likelihood(observed)
    np.testing.assert_allclose(got.detach(), slow.scores - slow.log_z, atol=1e-9)
    # what is expected is the mean of what is observed, over all segmentations
    score = observed.score(*scores, chain.length)
    (score * got.exp().detach()).sum().backward()
    ours = [x.detach().requires_grad_() for x in (chain.e, chain.a, chain.b)]
    SpanChain(*ours, chain.length, chain.number).log_partition().sum().backward()
    for x, have in zip(scores, ours, strict=True):
        torch.testing.assert_close(have.grad[0], x.grad.sum(0), atol=1e-9, rtol=0)
    slow_spans = [(s, u) for s in range(n_bars) for u in range(s + 1, n_bars + 1)]
    given = Spans.of([slow_spans])
    exact = [slow.probability(span) for span in zip(given.start, given.stop, strict=True)]
    np.testing.assert_allclose(chain.probability(given), exact, atol=1e-9)
    table = chain.span_probabilities(n_bars)[0]
    np.testing.assert_allclose(table[given.start, given.length - 1], exact, atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(seeds, st.integers(1, 8), st.integers(1, 4), st.integers(1, 3))
def test_levels_are_averaged(seed, n_bars, n_levels, directions):
    chain, (slow,) = draw(seed, 1, n_bars, 4, 1.0, directions, NUMBERS[seed % 3])
    rng = np.random.default_rng(seed)
    chosen = rng.integers(0, len(slow.all), n_levels)
    observed = Observed.of([Spans.of([slow.all[i]]) for i in chosen], n_bars)
    got = chain.log_likelihood(observed)
    np.testing.assert_allclose(got, slow.scores[chosen].mean() - slow.log_z, atol=1e-6)


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize(
    ("n_bars", "l_max", "marks"),
    [
        (1, 3, [[(0, 1)], []]),
        (2, 1, [[(0, 1), (1, 2)], [(0, 2)]]),
        (5, 9, [[(1, 4)], [(4, 5)]]),
        (7, 2, [[(1, 2), (2, 6)], [(3, 7)]]),
        (9, 3, [[(1, 8)], []]),
    ],
)
def test_gradients_by_finite_differences(n_bars, l_max, marks, number):
    e, a, b = torch.randn(3, 2, 2, n_bars, dtype=torch.float64, generator=torch.manual_seed(3))
    logits = torch.randn(l_max + 1, dtype=torch.float64, generator=torch.manual_seed(5))
    observed = Observed.of([Spans.of(marks)], n_bars)
    told = None if number is None else torch.tensor(number)

    def loss(e, a, b, logits, tail, entry):
        length = length_scores(logits, tail, entry)
        return SpanChain(e, a, b, length, told).log_likelihood(observed)

    inputs = [e, a, b, logits, torch.tensor(0.3), torch.tensor(-2.0)]
    assert torch.autograd.gradcheck(loss, [x.double().requires_grad_() for x in inputs])


@settings(max_examples=60, deadline=None)
@given(
    seeds,
    st.integers(1, 60),
    st.integers(1, 12),
    st.sampled_from([0.0, 1.0, 12.0, 60.0, 1e4]),
    st.sampled_from([1.0, 2000.0]),
    st.integers(1, 2),
)
def test_tensor_recursion_equals_compiled(seed, n_bars, l_max, scale, steep, directions):
    rng = np.random.default_rng(seed)
    e, a, b = torch.tensor(rng.normal(size=(3, 3, directions, n_bars)) * scale, dtype=torch.float32)
    logits, tail = torch.tensor(rng.normal(size=l_max + 1) * steep), torch.tensor(rng.normal())
    length = length_scores(logits, tail.double(), torch.tensor(-3.0))
    for one in (False, True):
        fast, slow = (f(e, a, b, length, one=one) for f in (compiled_sums, tensor_sums))
        for x, y in zip(fast, slow, strict=True):
            torch.testing.assert_close(x, y, rtol=1e-11, atol=1e-8)


@pytest.mark.parametrize(
    ("scale", "level", "trusted"), [(3, 0, True), (3, -5, True), (3, 4, True), (60, 0, False)]
)
@pytest.mark.parametrize("one", [False, True])
def test_logarithms_are_for_extreme_scores_alone(scale, level, trusted, one, monkeypatch):
    e, a, b = torch.tensor(np.random.default_rng(3).normal(size=(3, 20, 2, 105)) * scale).float()
    asked = []
    monkeypatch.setattr(chain, "sums", lambda e, *_: asked.append(len(e)))
    compiled_sums(e + level, a, b, prior_scores(), one=one)
    assert bool(asked) != trusted


@pytest.mark.parametrize("value", [-1e4, 0.0, 1e4])
@pytest.mark.parametrize("edge", [-1e4, 0.0, 1e4])
def test_extreme_scores_stay_finite(value, edge):
    e, a, b = (flat(2, 60, x).requires_grad_() for x in (value, edge, edge))
    chain = SpanChain(e, a, b, prior_scores())
    observed = Observed.of([Spans.of([[], [(0, 60)]])], 60)
    chain.log_likelihood(observed).sum().backward()
    for x in (e, a, b):
        assert torch.isfinite(x.grad).all()
        assert x.grad.abs().max() <= 1 + 1e-6
    posterior = chain.posterior()
    assert ((posterior >= 0) & (posterior <= 1)).all()
    assert np.isfinite(chain.decode().score).all()
    if value < 0 and edge <= 0:
        assert len(chain.decode()) == 0
        assert posterior.max() == 0
    if value > 0 and edge <= 0:
        assert chain.decode().length.tolist() == [60, 60]


def test_extreme_alternating_scores_pick_their_spans():
    e = flat(1, 30, -1e4)
    e[0, [3, 4, 5, 6, 12, 13, 20]] = 1e4
    chain = SpanChain(e, flat(1, 30), flat(1, 30), prior_scores())
    spans = chain.decode()
    assert spans.start.tolist() == [3, 12, 20]
    assert spans.stop.tolist() == [7, 14, 21]
    np.testing.assert_allclose(chain.posterior(), (e > 0).float(), atol=1e-6)


def test_touching_spans_stay_distinct():
    e, a, b = flat(1, 20, -4.0), flat(1, 20, -3.0), flat(1, 20, -3.0)
    e[0, 4:14] = 4.0
    a[0, [4, 9]], b[0, [8, 13]] = 6.0, 6.0
    spans = SpanChain(e, a, b, prior_scores()).decode()
    assert list(zip(spans.start.tolist(), spans.stop.tolist(), strict=True)) == [(4, 9), (9, 14)]


def test_expected_spans_of_untrained_head_match_training():
    rng = np.random.default_rng(0)
    start = rng.integers(20, 70, 200)
    spans = Spans(np.arange(200), start, start + rng.integers(3, 12, 200), 200)
    bias = start_bias(spans, 105)
    prior = LengthPrior.of(spans.length, int(spans.length.max()))
    head = SegmentalHead(4, prior, bias)
    chain = head(torch.zeros(1, 105, 4))
    assert 0.85 < chain.expected_spans().item() < 1.15
    zero = SpanChain(flat(1, 105), flat(1, 105), flat(1, 105), head.length())
    assert zero.expected_spans().item() > 10  # what the bias is there for
    posterior = chain.posterior()[0]  # a random cut: no place is special
    assert (posterior.max() - posterior.min()) / posterior.mean() < 0.05


def test_window_cut_from_a_longer_chain_keeps_its_posterior():
    """Marginalising the bars outside a window gives the same chain, which is what cut means."""
    length = prior_scores()
    generator = torch.manual_seed(2)
    n, before = 30, 600
    e, a, b = torch.randn(3, 1, n, generator=generator, dtype=torch.float64)
    a = a - 4.6
    rate = length.table[1, 0].double() - length.table[2, 0].double()  # entry
    padded = [
        torch.cat(
            [
                torch.full((1, before), fill, dtype=torch.float64),
                x,
                torch.full((1, before), fill, dtype=torch.float64),
            ],
            1,
        )
        for x, fill in ((e, 0.0), (a, float(rate)), (b, 0.0))
    ]
    padded[1][0, before] = rate  # an unseen start
    padded[2][0, before + n - 1] = 0
    long = SpanChain(*padded, length).posterior()[0, before : before + n]
    short = SpanChain(e, a, b, length).posterior()[0]
    torch.testing.assert_close(long, short, atol=0.02, rtol=0)


def test_one_step_learns_the_marks():
    torch.manual_seed(0)
    spans = Spans.of([[(3, 8)], [], [(10, 15), (15, 19)]])
    x = torch.randn(3, 24, 8)
    x[..., 0] = torch.tensor(spans.mask(24)) * 2.0
    head = SegmentalHead(8, LengthPrior.of(spans.length, 5), start_bias(spans, 24))
    observed = Observed.of([spans], 24)
    optimiser = torch.optim.Adam(head.parameters(), 0.1)
    losses = []
    for _ in range(150):
        optimiser.zero_grad()
        loss = -head(x).log_likelihood(observed).mean()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]
    assert all(p.grad.abs().sum() > 0 for p in head.parameters())
    with torch.no_grad():
        assert head(x).decode().mask(24).tolist() == spans.mask(24).tolist()


def test_half_precision_scores_are_read():
    e = flat(1, 20, -2.0).bfloat16().requires_grad_()
    chain = SpanChain(e, flat(1, 20).bfloat16(), flat(1, 20).bfloat16(), prior_scores())
    chain.log_partition().sum().backward()
    assert e.grad.dtype == torch.bfloat16
    assert torch.isfinite(e.grad).all()


def test_long_series_equals_its_windows_where_nothing_happens():
    e, a, b = flat(1, 200_000, -3.0), flat(1, 200_000, -4.0), flat(1, 200_000)
    starts = np.arange(50, 199_900, 100)
    for t in starts:
        e[0, t : t + 7] = 3.0
    spans = SpanChain(e, a, b, prior_scores()).decode()
    np.testing.assert_array_equal(spans.start, starts)
    np.testing.assert_array_equal(spans.length, 7)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=1, max_size=40), st.integers(1, 30))
def test_length_prior_is_a_distribution(lengths, l_max):
    prior = LengthPrior.of(lengths, l_max)
    assert prior.l_max == l_max
    assert (prior.mass > 0).all()
    assert prior.mass.sum() == pytest.approx(1)
    assert 0 < prior.ratio < 1
    assert prior.survival[0] == pytest.approx(1)
    assert (np.diff(prior.survival) < 0).all()


def test_length_prior_follows_many_lengths():
    lengths = np.random.default_rng(0).choice([3, 4, 5, 9], 20_000, p=[0.1, 0.4, 0.3, 0.2])
    prior = LengthPrior.of(lengths, 9)
    np.testing.assert_allclose(prior.mass[[2, 3, 4, 8]], [0.1, 0.4, 0.3, 0.2], atol=0.01)
    longer = 10 + np.random.default_rng(1).geometric(0.25, 20_000)
    assert LengthPrior.of(longer, 10).ratio == pytest.approx(0.75, abs=0.01)


@pytest.mark.parametrize("lengths", [[], [0, 3], [-1]])
def test_length_prior_refuses(lengths):
    with pytest.raises(InputError, match="lengths of training spans"):
        LengthPrior.of(lengths, 5)


def test_start_bias_refuses_what_has_no_rate():
    with pytest.raises(InputError, match="0 spans"):
        start_bias(Spans.of([[], []]), 10)
    with pytest.raises(InputError, match="0 bars outside"):
        start_bias(Spans.of([[(0, 10)]]), 10)


def test_uncut_leaves_edge_spans_out():
    spans = Spans.of([[(0, 10)], [(0, 2), (3, 5)], [(7, 10)]])
    assert uncut(spans, 10).tolist() == [False, False, True, False]


@pytest.mark.parametrize("bad", [[(2, 5), (4, 6)], [(3, 3)], [(4, 9)], [(-1, 2)]])
def test_bad_spans_are_refused(bad):
    with pytest.raises(InputError, match="window 1"):
        Observed.of([Spans.of([[(0, 2)], bad])], 8)


def test_observed_take_keeps_the_order():
    observed = Observed.of([Spans.of([[(0, 2)], [], [(3, 6), (7, 8)]])], 8)
    picked = observed.take(torch.tensor([2, 1]))
    assert picked.start[0].tolist() == [3, 7]
    assert picked.weight.tolist() == [[1, 1], [0, 0]]


def test_equal_directions_are_one():
    """Two directions of the same scores are one that is twice as likely to start."""
    e, a, b = torch.randn(3, 2, 1, 30, generator=torch.manual_seed(4))
    length = prior_scores()
    twice = SpanChain(*(x.expand(-1, 2, -1) for x in (e, a, b)), length)
    more = length.table.clone() + math.log(2)
    once = SpanChain(e, a, b, length._replace(table=more))
    torch.testing.assert_close(twice.log_partition(), once.log_partition())
    torch.testing.assert_close(twice.posterior(), once.posterior())
