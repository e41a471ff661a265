"""Spans of runs that arrive bit by bit are those of one pass over the whole run."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from deep.candidates import Candidates, candidates
from deep.lengths import LengthPrior, length_scores
from deep.matches import match_probability, spans_above
from deep.streaming import BarStream, ChainStream, Selection, joined
from deep.tasks import chain
from proxytools.decode import Decoder

seeds = st.integers(0, 2**32)


def lengths(rng, l_max):
    mass = rng.dirichlet(np.full(l_max + 1, 2.0)) + 1e-9
    prior = LengthPrior(mass / mass.sum(), float(rng.uniform(0.1, 0.8)))
    tail, entry = torch.tensor(prior.ratio).logit(), torch.tensor(float(rng.uniform(-5, -1)))
    return length_scores(torch.tensor(prior.mass).log(), tail, entry)


def noise(rng, n_bars, scale):
    """Scores like those of a network: spans rare, neighbours alike; one direction or two."""
    directions = int(rng.integers(1, 3))
    rough = rng.normal(size=(n_bars + 8, 3 * directions))
    smooth = np.apply_along_axis(np.convolve, 0, rough, np.ones(5) / 5**0.5, "valid")[:n_bars]
    return (scale * smooth + np.tile([-0.5, -2.0, 0.0], directions)).astype(np.float32)


def dense(scores, length, longest):
    """(1, T, L) match of every candidate, by the table."""
    table = chain(torch.from_numpy(scores)[None], length).span_probabilities(longest)
    return match_probability(table.numpy())


def pushed(stream, values, cuts):
    """What a stream hands out, given the bars in pieces; checks what it says is settled."""
    found, n_bars = [], len(values)
    edges = [0, *sorted(cuts), n_bars]
    for begin, end in pairwise(edges):
        before = stream.settled
        found.append(stream.push(values[begin:end], ends=end == n_bars))
        assert before <= stream.settled <= end
        assert (found[-1].start >= before).all()
        assert (found[-1].stop <= stream.settled).all()
    assert stream.settled == n_bars
    return joined(found)


@settings(max_examples=60, deadline=None)
@given(
    seeds,
    st.integers(1, 40),
    st.integers(1, 12),
    st.sampled_from([0.0, 1.0, 6.0]),
    st.sampled_from([0.05, 0.3, 0.7]),
)
def test_candidates_are_those_of_the_table(seed, n_bars, longest, scale, threshold):
    rng = np.random.default_rng(seed)
    scores, length = noise(rng, n_bars, scale), lengths(rng, int(rng.integers(1, 12)))
    match = dense(scores, length, longest)[0]  # (T, L)
    found = candidates(scores, length, longest, threshold)
    sparse = np.zeros_like(match)
    sparse[found.start, found.stop - found.start - 1] = found.match
    np.testing.assert_allclose(sparse, np.where(match > threshold, match, 0), atol=1e-9)
    order = np.lexsort((found.stop - found.start, found.stop))
    np.testing.assert_array_equal(order, np.arange(len(order)))


@settings(max_examples=25, deadline=None)
@given(seeds, st.sampled_from([1.0, 2.0, 4.0]), st.integers(1, 12), st.data())
def test_a_run_in_pieces_is_the_run_at_once(seed, scale, longest, data):
    rng = np.random.default_rng(seed)
    n_bars, threshold = int(rng.integers(1, 1500)), float(rng.uniform(0.05, 0.5))
    cuts = data.draw(st.lists(st.integers(1, n_bars), unique=True, max_size=8))
    cuts = [cut for cut in cuts if cut < n_bars]
    scores, length = noise(rng, n_bars, scale), lengths(rng, 12)
    whole = spans_above(dense(scores, length, longest), threshold)
    stream = ChainStream(length, longest, threshold, block=100, context=300)
    found = pushed(stream, scores, cuts)
    np.testing.assert_array_equal(found.start, whole.start)
    np.testing.assert_array_equal(found.stop, whole.stop)
    np.testing.assert_allclose(found.score, whole.score, atol=1e-9)


def test_the_ends_of_a_run_may_cut_spans_and_inner_cuts_may_not():
    rng = np.random.default_rng(0)
    length = lengths(rng, 8)
    scores = np.full((600, 3), (-4.0, -3.0, 0.0), np.float32)
    for begin, end in [(0, 4), (98, 104), (300, 306), (595, 600)]:
        scores[begin:end, 0] = 4
    stream = ChainStream(length, 8, 0.3, block=100, context=50)
    found = pushed(stream, scores, [99, 100, 101, 301])
    whole = spans_above(dense(scores, length, 8), 0.3)
    assert len(whole) == 4
    np.testing.assert_array_equal(found.start, whole.start)
    np.testing.assert_array_equal(found.stop, whole.stop)


class Watched(ChainStream):
    """Keeps the candidates it saw."""

    def _candidates(self, stop, end):
        near = super()._candidates(stop, end)
        self.seen = [*getattr(self, "seen", []), near]
        return near


def test_context_is_what_makes_it_exact():
    rng = np.random.default_rng(1)
    scores, length = noise(rng, 4000, 0.5), lengths(rng, 30)
    whole = dense(scores, length, 12)[0]
    worst = {}
    for context in (48, 200):
        stream = Watched(length, 12, 0.05, block=250)
        stream.context = context
        stream.push(scores, ends=True)
        start, stop, match = map(np.concatenate, zip(*stream.seen, strict=True))
        worst[context] = np.abs(match - whole[start, stop - start - 1]).max()
    assert worst[200] < 1e-10 < worst[48]


@settings(max_examples=60, deadline=None)
@given(seeds, st.integers(1, 60), st.integers(1, 6), st.data())
def test_selection_in_steps_is_the_dynamic_programme(seed, n_bars, longest, data):
    rng = np.random.default_rng(seed)
    match = rng.uniform(size=(1, n_bars, longest)) * (rng.uniform(size=(n_bars, longest)) < 0.4)
    match *= np.arange(n_bars)[:, None] + np.arange(longest) < n_bars
    whole = spans_above(match, 0.3)
    start, k = np.nonzero(match[0] > 0.3)
    order = np.lexsort((k, start + k))
    all_of = Candidates(start[order], (start + k + 1)[order], match[0, start, k][order])
    selection, found, before = Selection(0.3, longest), [], 0
    for stop in [*sorted(data.draw(st.sets(st.integers(1, n_bars)))), n_bars]:
        own = slice(*np.searchsorted(all_of.stop, [before, stop], side="right"))
        part = Candidates(*(column[own] for column in all_of))
        found.append(selection.push(part, stop, ends=stop == n_bars))
        before = stop
    got = joined(found)
    np.testing.assert_array_equal(got.start, whole.start)
    np.testing.assert_array_equal(got.stop, whole.stop)
    np.testing.assert_array_equal(got.score, whole.score)


@settings(max_examples=80, deadline=None)
@given(
    seeds,
    st.integers(1, 60),
    st.integers(0, 3),
    st.integers(1, 4),
    st.sampled_from([0.3, 0.5]),
    st.data(),
)
def test_bars_in_pieces_are_the_bars_at_once(seed, n_bars, gap, least, low, data):
    prob = np.random.default_rng(seed).uniform(size=(n_bars, 1)).astype(np.float32)
    decoder = Decoder(0.6, low, least, gap)
    cuts = [c for c in data.draw(st.sets(st.integers(1, n_bars))) if c < n_bars]
    found = pushed(BarStream(decoder), prob, cuts)
    whole = decoder.spans(prob.T)
    np.testing.assert_array_equal(found.start, whole.start)
    np.testing.assert_array_equal(found.stop, whole.stop)
    np.testing.assert_array_equal(found.score, whole.score)


@pytest.mark.parametrize("head", ["chain", "bars"])
def test_what_a_stream_holds_does_not_grow(head):
    rng = np.random.default_rng(2)
    if head == "chain":
        stream, values = ChainStream(lengths(rng, 8), 8, 0.3, 200, 100), noise(rng, 5000, 2.0)
    else:
        stream, values = BarStream(Decoder()), rng.uniform(size=(5000, 1)).astype(np.float32)
    for begin in range(0, 5000, 50):
        stream.push(values[begin : begin + 50], ends=False)
        assert begin + 50 - stream.settled < 600
        held = [x for x in vars(stream).values() if isinstance(x, np.ndarray)]
        assert sum(map(len, held)) < 600
