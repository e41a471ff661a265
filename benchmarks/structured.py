"""The best classical method with structure: LightGBM's bars, read off by the segmental head.

LightGBM judges each bar for itself. What it says of windows it did not see (cross-fitted inside the
training windows) is all that a semi-Markov chain then learns from: its bar, first-bar and last-bar
scores are linear in the logits of a bar and its two neighbours, its length prior comes from the
training spans. That is a concave likelihood in a dozen weights, so nothing has to be chosen but how
spans are read off, which is also done on what was held out.
"""

from __future__ import annotations

from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from torch import Tensor

from deep.lengths import LengthPrior, start_bias, uncut
from deep.matches import choose_threshold, match_probability, spans_above
from deep.number import log_weights
from deep.observed import Observed
from deep.segmental import SegmentalHead, SpanChain
from proxytools.errors import InputError
from proxytools.proxies import make
from proxytools.types import FeatureSet, Float, SpanDataset, Spans

LEAST = 1e-4  # of a probability, before its logit
DECAY = 0.01  # on the squared weights, windows' mean log-likelihood being 1
STEPS = 60  # of L-BFGS


class StructuredBoosting(BaseEstimator):
    """LightGBM with segmental decoding on its scores, as a proxy.

    Parameters
    ----------
    seed : int
    threads : int
        0 for all cores.
    """

    name = "lightgbm-segmental"
    feature_set = "full"
    per_bar = False  # a bar's probability depends on the whole window

    def __init__(self, seed: int = 0, threads: int = 0) -> None:
        self.seed = seed
        self.threads = threads

    def fit(self, features: FeatureSet, data: SpanDataset, target: Float | None = None) -> Self:
        """Learn from the marks of labelled windows; a target in their place is refused."""
        if target is not None:
            raise InputError(self.name, got="a target", expected="marks, which have lengths")
        seen = np.flatnonzero(data.labelled)
        features, data = features.take(seen), data.take(seen)
        bars = make("lightgbm", seed=self.seed, threads=self.threads)
        self.bars_ = bars.fit(features, data)
        spans = data.spans
        whole = spans.length[uncut(spans, data.n_bars)]
        self.l_max_ = int(spans.length.max())
        prior = LengthPrior.of(whole, self.l_max_)
        self.head_ = SegmentalHead(3, prior, start_bias(spans, data.n_bars))
        self.number_ = log_weights(spans)
        held_out = logits(self.bars_.held_out_)
        self._learn(held_out, Observed.of([spans], data.n_bars))
        self.threshold_ = choose_threshold(self._match(held_out), spans)
        return self

    def predict(self, features: FeatureSet) -> NDArray[np.float32]:
        """(N, T) exact posterior of lying in a span."""
        with torch.no_grad():
            prob: NDArray[np.float32] = self._chain(self._logits(features)).posterior().numpy()
        return prob

    def detect(self, features: FeatureSet) -> Spans:
        """Spans that a mark probably matches."""
        return spans_above(self._match(self._logits(features)), self.threshold_)

    def _logits(self, features: FeatureSet) -> Tensor:
        return logits(self.bars_.predict(features))

    def _chain(self, x: Tensor) -> SpanChain:
        e, a, b = self.head_.scores(x).unbind(-1)  # (N, T) each
        return SpanChain(e, a, b, self.head_.length(), self.number_)

    @torch.no_grad()
    def _match(self, x: Tensor) -> NDArray[np.float64]:
        return match_probability(self._chain(x).span_probabilities(self.l_max_).numpy())

    def _learn(self, x: Tensor, observed: Observed) -> None:
        """Maximise the exact likelihood of the marks; the length prior stays as it was counted."""
        scores = self.head_.scores
        with torch.no_grad():
            scores.weight.zero_()
            scores.weight[0, 1] = 0.5  # neighbouring bars say much the same
        weights = [*scores.parameters(), self.head_.entry]
        search = torch.optim.LBFGS(weights, max_iter=STEPS, line_search_fn="strong_wolfe")

        def loss() -> Tensor:
            search.zero_grad()
            found = DECAY * scores.weight.square().sum()
            found = found - self._chain(x).log_likelihood(observed).mean()
            found.backward()
            return found

        search.step(loss)


def logits(prob: Float) -> Tensor:
    """(N, T, 3) logits of the bar before, of the bar, and of the bar after; edges are repeated.

    Examples
    --------
    >>> logits(np.array([[0.5, 0.9]])).shape
    torch.Size([1, 2, 3])
    """
    p = np.clip(np.asarray(prob, np.float64), LEAST, 1 - LEAST)
    x = np.pad(np.log(p / (1 - p)), ((0, 0), (1, 1)), mode="edge")  # (N, T+2)
    return torch.from_numpy(np.stack([x[:, :-2], x[:, 1:-1], x[:, 2:]], axis=2)).float()
