"""From a model's scores to probabilities and spans, one reader a head.

A reader's ``evidence`` is what its spans are read off: computed window by window, so that parts
from different models can be put together before anything is chosen on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import bisect
from torch import Tensor

from deep.lengths import LengthScores
from deep.matches import THRESHOLD, choose_threshold, match_probability, spans_above
from deep.model import Ensemble
from deep.place import placed
from deep.segmental import SpanChain
from deep.tasks import chain
from proxytools import decode
from proxytools.decode import Decoder
from proxytools.types import Spans

Array = NDArray[np.float64]
BIASES = (-30.0, 30.0)  # of a span's score: from none to one wherever there is room


class Reader(Protocol):
    """Probabilities and spans from an ensemble and features (n, T, F) on its device."""

    def prob(self, model: Ensemble, values: Tensor) -> NDArray[np.float32]:
        """(n, T) probability of lying in a span."""
        ...

    def evidence(self, model: Ensemble, values: Tensor) -> NDArray[Any]:
        """(n, T, ...) what spans are read off."""
        ...

    def spans(self, evidence: NDArray[Any]) -> Spans:
        """Disjoint spans, the score a probability."""
        ...

    def chosen_on(self, evidence: NDArray[Any], marks: Spans) -> Reader:
        """Return the reader with the best F1 at IoU 0.5 on windows held out."""
        ...

    def for_series(self, parts: Sequence[tuple[Ensemble, Tensor]], n_spans: float) -> Reader:
        """Return the reader that expects as many spans as there are, with no window's number.

        ``parts`` are models and features of windows held out from each.
        """
        ...


@dataclass(frozen=True)
class MatchReader:
    """Reads the segmental head: spans that a mark probably matches, see `deep.matches`.

    Parameters
    ----------
    longest : int
        Bars of the longest candidate.
    threshold : float
        In (0, 1).
    series_bias : float
        Added to the score of every span over a long series, where no window says how many there
        are (see `deep.number`).
    """

    longest: int
    threshold: float = THRESHOLD
    series_bias: float = 0.0

    @torch.no_grad()
    def prob(self, model: Ensemble, values: Tensor) -> NDArray[np.float32]:
        """Exact posterior of each bar."""
        posterior: NDArray[np.float32] = _chain(model, values).posterior().numpy(force=True)
        return posterior

    @torch.no_grad()
    def evidence(self, model: Ensemble, values: Tensor) -> Array:
        """(n, T, L) probability that a candidate matches a mark."""
        found = _chain(model, values).span_probabilities(self.longest)
        match: Array = match_probability(found.numpy(force=True))
        return match

    def spans(self, evidence: Array) -> Spans:
        """Candidates above the threshold; the score is the probability of a match."""
        return spans_above(evidence, self.threshold)

    def chosen_on(self, evidence: Array, marks: Spans) -> Self:
        """Choose the threshold."""
        return replace(self, threshold=choose_threshold(evidence, marks))

    def series_length(self, model: Ensemble) -> LengthScores:
        """Length scores for long series, on the CPU."""
        table, log_ratio = (x.detach().cpu() for x in model.length())
        return LengthScores(table + self.series_bias, log_ratio)

    @torch.no_grad()
    def for_series(self, parts: Sequence[tuple[Ensemble, Tensor]], n_spans: float) -> Self:
        """Choose the bias; a chain that says itself how many spans there are needs none.

        Places in a window are left out, as over a long series.
        """
        if all(model.number is None for model, _ in parts):
            return self
        scores = [model(values).cpu() for model, values in parts]

        def expected(bias: float) -> float:
            reader = replace(self, series_bias=bias)
            lengths = [reader.series_length(model) for model, _ in parts]
            found = zip(scores, lengths, strict=True)
            return sum(float(chain(*one).expected_spans().sum()) for one in found)

        bias = bisect(lambda x: expected(x) - n_spans, *BIASES, xtol=1e-3)
        return replace(self, series_bias=float(bias))


def _chain(model: Ensemble, values: Tensor) -> SpanChain:
    """Distribution over the spans of windows."""
    return chain(placed(model(values), model.place), model.length(), model.number)


@dataclass(frozen=True)
class BarReader:
    """Reads the mask head: bars, each for itself.

    Parameters
    ----------
    positive_weight : float
        Of the loss: the odds are divided by it, so that probabilities are calibrated.
    decoder : Decoder
    """

    positive_weight: float
    decoder: Decoder = Decoder()  # noqa: RUF009  # frozen

    @torch.no_grad()
    def prob(self, model: Ensemble, values: Tensor) -> NDArray[np.float32]:
        """Calibrated probability of each bar."""
        logits = model(values)[..., 0]  # (n, T)
        prob: NDArray[np.float32] = torch.sigmoid(logits - np.log(self.positive_weight)).numpy(
            force=True
        )
        return prob

    def evidence(self, model: Ensemble, values: Tensor) -> NDArray[np.float32]:
        """(n, T) the same probability."""
        return self.prob(model, values)

    def spans(self, evidence: NDArray[np.float32]) -> Spans:
        """Return runs of probable bars; the score is their mean probability."""
        return self.decoder.spans(evidence)

    def chosen_on(self, evidence: NDArray[np.float32], marks: Spans) -> Self:
        """Choose the decoder."""
        return replace(self, decoder=decode.choose(evidence, marks))

    def for_series(self, parts: Sequence[tuple[Ensemble, Tensor]], n_spans: float) -> Self:
        """Bars are read one by one, whatever there is around."""
        return self
