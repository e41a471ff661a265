"""The deep span detector as a proxy: fit, predict and detect."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from deep.augment import children, children_of
from deep.bilstm import side_by_side
from deep.device import limited, resolve
from deep.fitting import Fitting
from deep.kept import Kept
from deep.memory import reused
from deep.presets import PRESETS
from deep.pretrain import Pretraining
from deep.settings import Settings
from deep.soft import level_spans
from deep.teacher import teacher
from deep.train import Observer
from proxytools import features as feature_sets
from proxytools.errors import InputError
from proxytools.proxies.bars import check_target, forget
from proxytools.types import FeatureSet, Float, Int, SoftLabels, SpanDataset, Spans

INNER_FOLDS = 3
BATCH = 128  # windows scored at once


class SpanDetector(BaseEstimator):
    """An ensemble of BiLSTMs that finds spans, as a proxy among the others.

    `fit` cross-fits inside the windows it is given, in grouped folds: what is held out there
    chooses the number of passes and how spans are read off. The members then learn from all of
    the windows, for that many passes.

    Parameters
    ----------
    settings : Settings
        See `deep.settings`; `deep.presets` names some.
    name : str
    inner_folds : int
        At least 2.
    seed : int
    device : {"cpu", "cuda", "auto"}
    threads : int
        Of the CPU; 0 leaves them as they are.
    force : bool
        Whether to pre-train on soft labels of a proxy that does not pass the gate.
    observer : Observer, optional
        Looks on at every training: shows progress, collects diagnostics.
    kept : Kept, optional
        Where trainings go on from, if they were interrupted.

    Attributes
    ----------
    ensemble_ : Ensemble
    l_max_ : int
        Longest training span.
    reader_ : Reader
        How spans are read off.
    history_ : list of deep.training.Epoch
    held_out_ : dict
        Bar and span metrics of the inner held-out windows. The number of passes and the reader were
        chosen on them, so expect a little less of other windows. Some again without places, see
        `deep.place`. Empty without marks.
    inner_ : tuple of SoftLabels and Spans, optional
        What the detector said of those windows; None without marks.
    warnings_ : list of str
        What to mind, a sentence each.

    Examples
    --------
    >>> from proxytools import features, synthetic
    >>> data = synthetic.planted(20, preset="easy", seed=0, n_bars=60).data
    >>> own = features.compute(data.windows.ohlc, "causal")
    >>> detector = SpanDetector(Settings(features="causal", hidden=4, members=1, epochs=2))
    >>> detector.fit(own, data).predict(own).shape
    (20, 60)
    """

    per_bar = False  # a bar's probability depends on the whole window

    def __init__(
        self,
        settings: Settings = PRESETS["segmental"],
        name: str = "deep",
        inner_folds: int = INNER_FOLDS,
        seed: int = 0,
        device: str = "cpu",
        threads: int = 0,
        force: bool = False,
        observer: Observer | None = None,
        kept: Kept | None = None,
    ) -> None:
        self.settings = settings
        self.name = name
        self.inner_folds = inner_folds
        self.seed = seed
        self.device = device
        self.threads = threads
        self.force = force
        self.observer = observer
        self.kept = kept

    @property
    def feature_set(self) -> str:
        """The features it reads, a name in `proxytools.features.SETS`."""
        return self.settings.features

    @property
    def uses_unlabelled(self) -> bool:
        """Whether it learns from unlabelled windows too: in pre-training."""
        return self.settings.pretrain != "none"

    def fit(self, features: FeatureSet, data: SpanDataset, target: Float | None = None) -> Self:
        """Learn from the labelled windows, or from ``target`` (N, T) in [0, 1] on all windows.

        Unlabelled ones are learnt from in pre-training alone.

        Raises
        ------
        InputError
            There is no labelled window, no bar of either class, a target outside [0, 1], fewer
            than two groups, or a target where a proxy's soft labels are to come before the marks.
        GateError
            That proxy does not pass the gate.
        DeviceError
            The device is not there.
        """
        forget(self)
        device = resolve(self.device)
        self.feature_names_ = features.names
        if target is None:
            others = np.flatnonzero(~data.labelled & self.uses_unlabelled)
            chosen = np.append(np.flatnonzero(data.labelled), others)
            features, data = features.take(chosen), data.take(chosen)
        elif self.settings.pretrain == "proxies":
            raise InputError("pretrain", got="a target beside proxies", expected="marks alone")
        y = np.asarray(data.mask if target is None else target, np.float32)  # (M, T)
        n = int(data.labelled.sum()) if target is None else len(data)  # to learn from, the first
        check_target(y[:n], (n, data.n_bars))
        if self.settings.slide:
            n_before, cut = len(data), (self.settings.child_bars, self.settings.slide)
            data, y = children(data, *cut), children_of(y, *cut)
            features = feature_sets.compute(data.windows.ohlc, features.names)
            n = n * len(data) // n_before
        limits = limited(self.threads, hidden=self.settings.hidden)
        with limits as threads, side_by_side(threads), reused():
            fitting = self._fitting(features, data, y, n, hard=target is None, device=device)
            self.ensemble_ = fitting.members(fitting.cross_fit(self.inner_folds))
        self.l_max_, self.reader_ = fitting.l_max, fitting.reader
        self.history_, self.held_out_ = fitting.history, fitting.held_out
        self.inner_: tuple[SoftLabels, Spans] | None = None
        if fitting.inner is not None:
            prob, found, windows = fitting.inner
            ids, held_out = fitting.data.windows.ids[windows], np.ones(len(windows), bool)
            self.inner_ = SoftLabels(prob, self.name, held_out, ids, data.n_bars - 1), found
        return self

    def _fitting(
        self,
        features: FeatureSet,
        data: SpanDataset,
        y: NDArray[np.float32],
        n: int,
        *,
        hard: bool,
        device: torch.device,
    ) -> Fitting:
        """Prepare to learn from the first ``n`` windows, and to pre-train on all of them."""
        pretraining = None
        if self.uses_unlabelled:
            pretraining = Pretraining(
                self.settings,
                features,
                data,
                n,
                teacher=teacher(self.seed, self.threads),
                device=device,
                force=self.force,
            )
        self.warnings_ = pretraining.warnings if pretraining else []
        learnt = np.arange(n)
        features, data, y = features.take(learnt), data.take(learnt), y[:n]
        return Fitting(
            self.settings,
            features,
            data,
            y,
            [data.spans] if hard else level_spans(y),
            device=device,
            seed=self.seed,
            observer=self.observer or Observer(),
            kept=self.kept or Kept(),
            pretraining=pretraining,
        )

    def predict(self, features: FeatureSet) -> NDArray[np.float32]:
        """(N, T) probability of lying in a span."""
        prob = np.empty(features.values.shape[:2], np.float32)
        for windows, values in self._batches(features):
            prob[windows] = self.reader_.prob(self.ensemble_, values)
        return prob

    def detect(self, features: FeatureSet) -> Spans:
        """Spans, read off as was best on inner held-out windows.

        Their score is, with the segmental head, the probability that a mark matches the span; with
        the mask head the mean probability of its bars.
        """
        parts, places = [Spans.of([])], [np.empty(0, np.int64)]
        for windows, values in self._batches(features):
            parts.append(self.reader_.spans(self.reader_.evidence(self.ensemble_, values)))
            places.append(windows)
        return Spans.concatenate(parts, places, len(features.values))

    def anywhere(self) -> Self:
        """Return the fitted detector with one place in a window as good as another."""
        check_is_fitted(self, "ensemble_")
        other = copy.copy(self)
        other.ensemble_ = self.ensemble_.anywhere()
        return other

    def _batches(self, features: FeatureSet) -> Iterator[tuple[Int, Tensor]]:
        """Windows, and their features on the device of the model."""
        check_is_fitted(self, "ensemble_")
        if features.names != self.feature_names_:
            raise InputError(
                f"features of {self.name}",
                got=f"{len(features.names)} columns starting with {features.names[:3]}",
                expected=f"the {len(self.feature_names_)} columns it was fitted on",
            )
        device = next(self.ensemble_.parameters()).device
        everything = np.arange(len(features.values))
        with limited(self.threads, hidden=self.settings.hidden):
            for windows in np.split(everything, range(BATCH, len(everything), BATCH)):
                yield windows, torch.from_numpy(features.values[windows]).to(device)
