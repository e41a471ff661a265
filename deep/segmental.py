"""The segmental head: an exact distribution over the spans of a window (a semi-Markov chain).

Model. A segmentation is any set of disjoint spans of bars; touching ones are distinct. With bar
scores ``e``, first-bar scores ``a``, last-bar scores ``b`` and the length prior ``p``, a span
``[s, u)`` inside the window scores ``sum e[s:u] + a[s] + b[u-1] + log p(u - s)``; bars outside
score 0. A span that starts at bar 0 is taken as possibly cut: its start is not in view, so it pays
``entry`` (the log rate of starts) in place of ``a[0]``, and its length is only known to be at least
what is seen, so it pays the survival function in place of ``p``. Likewise a span that stops at T
pays no ``b[T-1]``. Both follow from cutting the window out of a longer chain at random
(`deep.lengths.length_scores`). Semi-Markov conditional random field: Sarawagi and Cohen 2004.

Directions. A move goes up or down all through, and nobody marks which. With scores for each of D
directions a span's weight is the sum over them, so that evidence adds up over bars of one direction
only: a latent variable (hidden conditional random field: Quattoni et al. 2007), summed out exactly.
"""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from deep.best import best_spans
from deep.chain import BOTH, INNER, LEFT, RIGHT
from deep.lengths import LengthPrior, LengthScores, length_scores
from deep.marginals import inside, starts, stops
from deep.number import Part
from deep.observed import Observed, cut
from deep.partition import log_partition, parts_of
from deep.sums import length_rows
from proxytools.types import Float, Spans


class SpanChain:
    """The distribution over segmentations that the scores of ``N`` windows define.

    What is asked of it shares one pass over the bars, O(T * Lmax) a window.

    Parameters
    ----------
    e, a, b : (N, D, T) float, or (N, T) for one direction
        Scores of a bar inside a span, of a span's first bar and of its last, by direction; finite,
        any size. ``a[..., 0]`` and ``b[..., -1]`` are never used.
    length : LengthScores
    number : (3,) float, optional
        Log weights of holding no span, one, several; see `deep.number`.

    Examples
    --------
    >>> prior = LengthPrior.of([2, 3, 3, 4], l_max=4)
    >>> head = SegmentalHead(n_inputs=1, prior=prior, start_bias=-3.0)
    >>> e = torch.tensor([[-5.0, -5, 5, 5, 5, -5, -5]])
    >>> chain = SpanChain(e, *torch.zeros(2, 1, 7), head.length())
    >>> spans = chain.decode()
    >>> spans.start, spans.stop, spans.score.round(3)
    (array([2]), array([5]), array([0.998]))
    """

    def __init__(
        self, e: Tensor, a: Tensor, b: Tensor, length: LengthScores, number: Tensor | None = None
    ) -> None:
        scores = (x[:, None] if x.ndim == 2 else x for x in (e, a, b))
        self.e, self.a, self.b = (x.float() if x.dtype.itemsize < 4 else x for x in scores)
        self.length, self.number = length, number

    @cached_property
    def _parts(self) -> list[Part]:
        return parts_of(self.e, self.a, self.b, self.length, self.number)[1]

    def log_partition(self) -> Tensor:
        """(N,) float64 log of the summed weight of all segmentations; differentiable."""
        return log_partition(self.e, self.a, self.b, self.length, self.number)

    def log_likelihood(self, observed: Observed) -> Tensor:
        """(N,) float64 log probability of the given segmentations; differentiable."""
        score = observed.score(self.e, self.a, self.b, self.length)
        if self.number is not None:
            score = score + observed.number.double() @ self.number.double()
        return score - self.log_partition()

    def posterior(self) -> Tensor:
        """(N, T) probability that a bar lies in a span."""
        return self.directions().sum(1).clamp_(0, 1).to(self.e.dtype)

    def directions(self) -> Tensor:
        """(N, D, T) float64 probability that a bar lies in a span of each direction."""
        found = [
            share[:, None, None] * inside(starts(sums), stops(sums)) for share, sums in self._parts
        ]
        return torch.stack(found).sum(0).clamp_(0, 1)

    def expected_spans(self) -> Tensor:
        """(N,) float64 expected number of spans, cut ones included."""
        found = [share * starts(sums).sum((1, 2)) for share, sums in self._parts]
        return torch.stack(found).sum(0)

    @torch.no_grad()
    def probability(self, spans: Spans) -> Float:
        """(S,) posterior probability that a segmentation holds exactly this span."""
        e, rows = (
            x.cpu().numpy() for x in (self.e.double(), length_rows(self.length, self.e.shape[2]))
        )
        a, b = (x.cpu().numpy() for x in (self.a, self.b))
        n_bars = e.shape[2]
        prefix = np.pad(e.cumsum(2), ((0, 0), (0, 0), (1, 0)))  # (N, D, T+1)
        w, s, u = spans.window, spans.start, spans.stop
        inside = prefix[w, :, u] - prefix[w, :, s]  # (S, D)
        first = np.where(s > 0, a[w, :, s].T, 0)  # (D, S)
        last = np.where(u < n_bars, b[w, :, u - 1].T, 0)
        own = rows[cut(spans, n_bars), u - s - 1] + inside.T + first + last  # (D, S)
        prob = np.zeros(len(spans))
        for share, sums in self._parts:
            weight, (left, right), log_z = (
                x.cpu().numpy() for x in (share, sums.total, sums.log_z)
            )
            prob += weight[w] * np.exp(left[w, s] + right[w, u] - log_z[w] + own).sum(0)
        return prob

    @torch.no_grad()
    def span_probabilities(self, longest: int) -> Tensor:
        """(N, T, L) float64 posterior probability of every span of up to ``longest`` bars.

        At ``[:, s, k]`` the span of ``k + 1`` bars from bar ``s``; 0 where it does not fit.
        """
        n_windows, _, n_bars = self.e.shape
        longest = min(longest, n_bars)
        rows = length_rows(self.length, n_bars)  # (4, T)
        prefix = functional.pad(self.e.double().cumsum(2), (1, 0))  # (N, D, T+1)
        opens, closes = -prefix[..., :-1], prefix[..., 1:].clone()  # (N, D, T)
        opens[..., 1:] += self.a[..., 1:]
        closes[..., :-1] += self.b[..., :-1]
        prob = self.e.new_zeros((n_windows, n_bars, longest), dtype=torch.float64)
        for share, sums in self._parts:
            before, after = sums.total[0, :, :-1] - sums.log_z[:, None], sums.total[1, :, 1:]
            opened, closed = opens + before[:, None], closes + after[:, None]  # (N, D, T)
            _add_spans(prob, share[:, None], opened, closed, rows)
        return prob.clamp_(min=0)

    @torch.no_grad()
    def decode(self) -> Spans:
        """Most probable segmentation of each window (max-product), whatever its number of spans.

        A span's score is the mean posterior of its bars.
        """
        e, a, b = (x.detach().cpu().contiguous().numpy() for x in (self.e, self.a, self.b))
        n_windows, _, n_bars = self.e.shape
        origin = np.empty((n_windows, n_bars + 1), np.int64)
        table = self.length.table.detach().cpu().double().numpy()
        best_spans(e, a, b, table, float(self.length.log_ratio.detach()), origin)
        window, stop = np.nonzero(origin >= 0)
        start = origin[window, stop]
        mass = np.zeros((n_windows, n_bars + 1))
        np.cumsum(self.posterior().cpu().numpy(), axis=1, dtype=np.float64, out=mass[:, 1:])
        score = (mass[window, stop] - mass[window, start]) / (stop - start)
        return Spans(window, start, stop, n_windows, score=score)


def _add_spans(prob: Tensor, share: Tensor, opened: Tensor, closed: Tensor, rows: Tensor) -> None:
    """Add to prob (N, T, L) a share (N, 1) of the probability of every span."""
    n_bars = opened.shape[2]
    for k in range(prob.shape[2]):
        within = opened[..., : n_bars - k] + closed[..., k:] + rows[INNER, k]  # (N, D, T-k)
        within[..., 0] += rows[LEFT, k] - rows[INNER, k]
        within[..., -1] += rows[RIGHT, k] - rows[INNER, k]
        if k == n_bars - 1:
            within += rows[BOTH, k] + rows[INNER, k] - rows[LEFT, k] - rows[RIGHT, k]
        prob[:, : n_bars - k, k] += share * within.exp_().sum(1)


class SegmentalHead(nn.Module):
    """Linear scores over an encoder's outputs, and a learnt length prior.

    Parameters
    ----------
    n_inputs : int
        Width ``H`` of the encoder's outputs.
    prior : LengthPrior
        Where the length scores start.
    start_bias : float
        Where the start score and ``entry`` begin; see `deep.lengths.start_bias`. At 0 the chain
        would expect a dozen spans a window.
    directions : int
        D; the same linear map scores each.
    """

    def __init__(
        self, n_inputs: int, prior: LengthPrior, start_bias: float, directions: int = 1
    ) -> None:
        super().__init__()
        self.scores = nn.Linear(n_inputs, 3)
        each = start_bias - math.log(directions)
        with torch.no_grad():
            self.scores.bias.copy_(torch.tensor([0.0, each, 0.0]))
        self.length_logits = nn.Parameter(torch.tensor(prior.mass).log().float())
        self.tail_logit = nn.Parameter(torch.tensor(prior.ratio).logit().float())
        self.entry = nn.Parameter(torch.tensor(each))

    def length(self) -> LengthScores:
        """Length scores of the prior as it stands."""
        return length_scores(self.length_logits, self.tail_logit, self.entry)

    def forward(self, encoded: Tensor) -> SpanChain:
        """Chain over windows; ``encoded`` (N, D, T, H) or, for one direction, (N, T, H)."""
        e, a, b = self.scores(encoded).unbind(-1)  # (N, D, T) each
        return SpanChain(e, a, b, self.length())
