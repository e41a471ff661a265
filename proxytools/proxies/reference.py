"""The rows every method must beat: constant, random and the position prior."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from proxytools.decode import Decoder
from proxytools.errors import InputError
from proxytools.proxies.bars import check_target, forget
from proxytools.types import FeatureSet, Float, SpanDataset, Spans


class _Reference(BaseEstimator, ABC):
    """Scores bars without looking at prices; detects nothing below a probability of one half."""

    feature_set = "classic"  # only the shape is read: the smallest set there is
    name: str

    def fit(self, features: FeatureSet, data: SpanDataset, target: Float | None = None) -> Self:
        """Remember the mean mask of the labelled windows, or mean target, by bar index."""
        forget(self)
        if target is None:
            target = data.take(data.labelled).mask.astype(np.float32)
        check_target(target, (len(target), data.n_bars))
        self.mean_mask_ = target.mean(axis=0, dtype=np.float64)  # (T,)
        return self

    def detect(self, features: FeatureSet) -> Spans:
        """Spans where the probability reaches one half."""
        return Decoder().spans(self.predict(features))

    def predict(self, features: FeatureSet) -> NDArray[np.float32]:
        """(N, T) probability of lying in a span."""
        check_is_fitted(self)
        return self._prob(*features.values.shape[:2])

    @abstractmethod
    def _prob(self, n: int, n_bars: int) -> NDArray[np.float32]:
        """(n, n_bars) of ``n`` windows."""


class Constant(_Reference):
    """The base rate of the training bars, everywhere."""

    name = "constant"

    def _prob(self, n: int, n_bars: int) -> NDArray[np.float32]:
        return np.full((n, n_bars), self.mean_mask_.mean(), np.float32)


class Random(_Reference):
    """Uniform noise in [0, 1): shows what chance looks like at this sample size."""

    name = "random"

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def _prob(self, n: int, n_bars: int) -> NDArray[np.float32]:
        return np.random.default_rng(self.seed).random((n, n_bars), np.float32)


class PositionPrior(_Reference):
    """The mean training mask by bar index: what hand-cut windows give away for free."""

    name = "position-prior"

    def _prob(self, n: int, n_bars: int) -> NDArray[np.float32]:
        if n_bars != len(self.mean_mask_):
            raise InputError(
                "position-prior",
                got=f"windows of {n_bars} bars",
                expected=f"windows of {len(self.mean_mask_)} bars, as in training",
            )
        return np.tile(self.mean_mask_.astype(np.float32), (n, 1))
