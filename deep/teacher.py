"""Soft labels of a boosted proxy, from fits that never saw the marks of what they judge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from proxytools import evaluate, features, leaderboard, proxies
from proxytools.evaluate import CrossFit
from proxytools.proxies.reference import PositionPrior
from proxytools.types import Proxy, SpanDataset

FOLDS = 3  # in which a teacher is cross-fitted


def teacher(seed: int, threads: int) -> Teacher:
    """Return LightGBM with its own features, whatever the detector that learns from it reads."""
    return Teacher(proxies.make("lightgbm", seed=seed, threads=threads), seed)


@dataclass(frozen=True)
class Teacher:
    """A proxy whose probabilities are learnt from before the marks are.

    Whatever it is given are training windows: one part of them judges another, and no window
    outside takes part.

    Parameters
    ----------
    proxy : Proxy
        Cloned for every fit.
    seed : int
        Of the folds.
    """

    proxy: Proxy
    seed: int = 0

    def cross_fit(self, data: SpanDataset) -> CrossFit:
        """Judge each labelled window by a fit that did not see it."""
        return self._cross_fit(self.proxy, data)

    def soft_labels(self, data: SpanDataset, fitted: CrossFit) -> NDArray[np.float32]:
        """(N, T) held-out probabilities of labelled windows, a fit on all of them for the others.

        Parameters
        ----------
        data : SpanDataset
        fitted : CrossFit
            Of the same windows, from `cross_fit`.
        """
        prob = np.empty((len(data), data.n_bars), np.float32)  # (N, T)
        prob[data.labelled] = fitted.soft.prob
        if not data.labelled.all():
            own = features.compute(data.windows.ohlc, self.proxy.feature_set)
            final = clone(self.proxy).fit(own, data)
            prob[~data.labelled] = final.predict(own.take(~data.labelled))
        return prob

    def check_gate(self, data: SpanDataset, fitted: CrossFit) -> None:
        """Refuse to teach what the marks do not bear out.

        Raises
        ------
        GateError
            The interval of its held-out correlation does not lie above the gate, or it does not
            beat the position prior (`proxytools.leaderboard.check_gate`).
        """
        prior = self._cross_fit(PositionPrior(), data)
        leaderboard.check_gate([leaderboard.row(fitted, prior, seed=self.seed)])

    def _cross_fit(self, proxy: Proxy, data: SpanDataset) -> CrossFit:
        return evaluate.cross_fit(proxy, data.take(data.labelled), n_folds=FOLDS, seed=self.seed)
