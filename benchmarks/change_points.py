"""Spans from change points, a peer that learns next to nothing."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.isotonic import IsotonicRegression

from benchmarks.bars import BARS
from proxytools import decode
from proxytools.proxies.bars import check_target
from proxytools.types import FeatureSet, Float, SpanDataset, Spans

TINY = 1e-9  # a window's spread of moves, from which on it is not flat


class Ruptures(BaseEstimator):
    """Segments between change points, by how far they move for their length.

    Parameters
    ----------
    penalty : float
        Of a change point, in units of a standardised series' variance.
    """

    name = "ruptures"
    feature_set = BARS
    per_bar = False

    def __init__(self, penalty: float = 4.0) -> None:
        self.penalty = penalty

    def fit(self, features: FeatureSet, data: SpanDataset, target: Float | None = None) -> Self:
        """Learn how scores become probabilities, and where to cut."""
        seen = np.flatnonzero(data.labelled) if target is None else np.arange(len(data))
        y = data.mask[seen] if target is None else target
        check_target(y, (len(seen), data.n_bars))
        scores = self._scores(features.take(seen))
        self.scale_ = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
        self.scale_.fit(scores.ravel(), np.asarray(y, np.float64).ravel())
        self.decoder_ = decode.choose(self._prob(scores), data.take(seen).spans)
        return self

    def predict(self, features: FeatureSet) -> NDArray[np.float32]:
        """(N, T) probability of lying in a span."""
        return self._prob(self._scores(features))

    def detect(self, features: FeatureSet) -> Spans:
        """Segments probable enough."""
        return self.decoder_.spans(self.predict(features))

    def _prob(self, scores: Float) -> NDArray[np.float32]:
        return self.scale_.predict(scores.ravel()).reshape(scores.shape).astype(np.float32)

    def _scores(self, features: FeatureSet) -> NDArray[np.float64]:
        """(N, T) of each bar's segment, its move over what a random walk of its length makes."""
        import ruptures

        values = features.values.astype(np.float64)
        moves = np.diff(values[..., 3], axis=1, prepend=values[:, :1, 0])  # (N, T)
        moves /= np.maximum(moves.std(axis=1, keepdims=True), TINY)
        scores = np.zeros(moves.shape)
        for own, score in zip(moves, scores, strict=True):
            search = ruptures.KernelCPD("linear", min_size=2).fit(own[:, None])
            stops = search.predict(pen=self.penalty)
            for start, stop in zip([0, *stops[:-1]], stops, strict=True):
                score[start:stop] = abs(own[start:stop].sum()) / np.sqrt(stop - start)
        return scores
