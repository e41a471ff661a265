"""From a model's scores to probabilities and spans, one reader a head.

A reader's ``evidence`` is what its spans are read off: computed window by window, so that parts
from different models can be put together before anything is chosen on them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deep.matches import THRESHOLD, choose_threshold, match_probability, spans_above
from deep.model import Ensemble
from deep.tasks import chain
from proxytools import decode
from proxytools.decode import Decoder
from proxytools.types import Spans

Array = NDArray[np.float64]


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


@dataclass(frozen=True)
class MatchReader:
    """Reads the segmental head: spans that a mark probably matches, see `deep.matches`.

    Parameters
    ----------
    longest : int
        Bars of the longest candidate.
    threshold : float
        In (0, 1).
    """

    longest: int
    threshold: float = THRESHOLD

    @torch.no_grad()
    def prob(self, model: Ensemble, values: Tensor) -> NDArray[np.float32]:
        """Exact posterior of each bar."""
        posterior: NDArray[np.float32] = (
            chain(model(values), model.length()).posterior().numpy(force=True)
        )
        return posterior

    @torch.no_grad()
    def evidence(self, model: Ensemble, values: Tensor) -> Array:
        """(n, T, L) probability that a candidate matches a mark."""
        found = chain(model(values), model.length()).span_probabilities(self.longest)
        match: Array = match_probability(found.numpy(force=True))
        return match

    def spans(self, evidence: Array) -> Spans:
        """Candidates above the threshold; the score is the probability of a match."""
        return spans_above(evidence, self.threshold)

    def chosen_on(self, evidence: Array, marks: Spans) -> Self:
        """Choose the threshold."""
        return replace(self, threshold=choose_threshold(evidence, marks))


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
