"""What one fit of a detector does: inner folds choose, then the members learn from everything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deep import augment, directions
from deep.device import seeded
from deep.kept import Kept
from deep.lengths import uncut
from deep.linear import fit_linear, without_encoder
from deep.losses import Objective
from deep.model import LEAST_TYPES, Ensemble, SpanModel
from deep.number import log_weights
from deep.place import left_out
from deep.place import log_weights as log_place
from deep.presets import is_mirrored
from deep.pretrain import Pretraining
from deep.reading import BarReader, MatchReader, Reader
from deep.settings import Settings
from deep.soft import prior_of
from deep.train import Observer, train
from deep.training import Epoch, Training
from proxytools import splits
from proxytools.errors import InputError
from proxytools.features import describe
from proxytools.metrics.bar import bar_metrics
from proxytools.metrics.span import span_metrics
from proxytools.types import FeatureSet, Int, SpanDataset, Spans

AHEAD = 1  # names the random stream of a training's pre-training
FIRST_MEMBER = 1000  # random stream of the first member; those of inner folds come before
Parts = Sequence[tuple[Ensemble, Tensor]]  # models, and features of windows held out from each


class Fitting:
    """Training windows on their device, and what comes of them.

    Parameters
    ----------
    settings : Settings
    features : FeatureSet
    data : SpanDataset
        The windows to learn from; their marks, if any, choose the reader.
    target : (N, T) float32
    levels : list of Spans
        The same as segmentations, see `deep.losses.level_spans`.
    device : torch.device
    seed : int
    observer : Observer
        Looks on at every training.
    kept : Kept
        Where trainings go on from, if they were interrupted.
    pretraining : Pretraining, optional
        What every training starts from.

    Attributes
    ----------
    reader : Reader
    history : list of Epoch
    held_out : dict
        Bar and span metrics of the inner held-out windows, after `cross_fit`.
    inner : tuple of (M, T) float32, Spans and (M,) int64, optional
        What these metrics were measured on: probabilities, detections, and which windows.
    """

    def __init__(
        self,
        settings: Settings,
        features: FeatureSet,
        data: SpanDataset,
        target: NDArray[np.float32],
        levels: list[Spans],
        *,
        device: torch.device,
        seed: int,
        observer: Observer,
        kept: Kept,
        pretraining: Pretraining | None = None,
    ) -> None:
        self.settings, self.data, self.device = settings, data, device
        self.seed, self.observer, self.kept = seed, observer, kept
        self.pretraining = pretraining
        self.l_max = max(int(spans.length.max(initial=1)) for spans in levels)
        self.history: list[Epoch] = []
        self.held_out: dict[str, Any] = {}
        self.inner: tuple[NDArray[np.float32], Spans, Int] | None = None
        values, ways = augment.varied(features, data.windows.ohlc, settings, seed)
        self.n_variants, self.target = len(ways), augment.turned(target, ways)
        self.levels = levels = [augment.repeated(spans, data.n_bars, ways) for spans in levels]
        self.values = torch.from_numpy(values).to(device)  # (V * N, T, F)
        self.n_types = n_types(data.classes)
        self.signs = torch.from_numpy(signs_of(features.names, settings.directions))
        self.objective = Objective.of(
            settings, levels, self.target, none=self.n_types - 1, device=device
        )
        self.reader: Reader
        if settings.head == "segmental":
            self.reader = MatchReader(self.l_max + self.l_max // 2)
        else:
            self.reader = BarReader(settings.positive_weight)

    def cross_fit(self, n_folds: int) -> int:
        """Fit on inner folds; choose the reader there, and return the number of passes."""
        folds = splits.folds(self.data, n_folds, seed=self.seed)
        passes, parts = [], []
        for k, fold in enumerate(folds):
            model, history = self._train(fold.train, k, f"fold {k + 1}", held=fold.test)
            passes.append(max(past.epoch for past in history if past.best))
            values = self.values[torch.from_numpy(fold.test)]
            parts.append((self._together([model], fold.train), values))
        self._choose(parts, np.concatenate([fold.test for fold in folds]))
        return round(float(np.mean(passes)))

    def _choose(self, parts: Parts, windows: Int) -> None:
        """Choose the reader on windows held out from each part, and measure what it reads there."""
        tested = self.data.take(windows)
        seen = np.flatnonzero(tested.labelled)
        marks = tested.spans.take(seen)
        if not len(marks):
            return
        shown, rate = self._evidence(parts)[seen], len(marks) / len(seen)
        self.reader = self.reader.chosen_on(shown, marks).for_series(parts, rate * len(tested))
        prob, found = self._prob(parts)[seen], self.reader.spans(shown)
        self.inner = prob, found, windows[seen]
        self.held_out = self._measured(prob, found, marks)
        if self.settings.place:
            parts = [(model.anywhere(), values) for model, values in parts]
            found = self.reader.spans(self._evidence(parts)[seen])
            self.held_out |= left_out(self._measured(self._prob(parts)[seen], found, marks))

    def _prob(self, parts: Parts) -> NDArray[np.float32]:
        return np.concatenate([self.reader.prob(*part) for part in parts])

    def _evidence(self, parts: Parts) -> NDArray[Any]:
        return np.concatenate([self.reader.evidence(*part) for part in parts])

    def _measured(self, prob: NDArray[np.float32], found: Spans, marks: Spans) -> dict[str, Any]:
        bars = bar_metrics(prob, marks.mask(self.data.n_bars))
        return {**bars, **span_metrics(found, marks)}

    def members(self, epochs: int) -> Ensemble:
        """Fit the members on everything."""
        everything = np.arange(len(self.data))
        models = [
            self._train(everything, FIRST_MEMBER + i, f"member {i + 1}", epochs=epochs)[0]
            for i in range(self.settings.members)
        ]
        return self._together(models, everything)

    def _together(self, models: list[SpanModel], windows: Int) -> Ensemble:
        """Put models that learnt from the same windows together, and the linear one with them."""
        linear = self._linear(windows)
        every = models if linear is None else [*models, linear]
        directions.agree(every, self.values[self._places(windows)])
        return Ensemble(models, linear, self._place(windows)).eval()

    def _place(self, windows: Int) -> Tensor | None:
        """Learn where spans of windows start, as the windows are: their variants say nothing."""
        if not self.settings.place:
            return None
        learnt = [spans.take(windows) for spans in self.levels]
        starts = [spans.start[uncut(spans, self.data.n_bars)] for spans in learnt]
        return log_place(np.concatenate(starts), self.data.n_bars).to(self.device)

    def _train(
        self, windows: Int, stream: int, run: str, held: Int | None = None, epochs: int = 0
    ) -> tuple[SpanModel, list[Epoch]]:
        settings = replace(self.settings, epochs=epochs or self.settings.epochs)
        learnt = self._places(windows)
        tested = None if held is None else torch.from_numpy(held).to(self.device)
        with seeded((self.seed, stream), self.device):
            model = self._model(settings, learnt)
            if self.pretraining is not None:
                self.history += self.pretraining.on(windows, held).train(
                    model,
                    (self.seed, stream, AHEAD),
                    "members" if held is None else run,
                    observer=self.observer,
                    kept=self.kept,
                )
                slower = settings.learning_rate * settings.finetune
                settings = replace(settings, learning_rate=slower)
            training = Training(model, settings)
            basis = self.values, self.levels, self.target, learnt, tested
            keep = self.kept.going_on(training, self.observer, *basis)
            best = train(
                training,
                self.objective,
                self.values,
                learnt,
                held=tested,
                run=run,
                observer=self.observer,
                keep=keep,
            )
        self.history += training.history
        return best, training.history

    def _linear(self, windows: Int) -> SpanModel | None:
        """Fit the model without encoder, where there is one."""
        if not self.settings.linear:
            return None
        learnt = self._places(windows)
        with seeded((self.seed,), self.device):  # its first weights are random, and forgotten
            model = self._model(without_encoder(self.settings), learnt)
        ridge = self.settings.linear / len(windows)  # variants are no further evidence
        return fit_linear(model, self.objective, self.values, learnt, ridge)

    def _places(self, windows: Int) -> Tensor:
        """Where the variants of windows stand among the values."""
        variants = [windows + k * len(self.data) for k in range(self.n_variants)]
        return torch.from_numpy(np.concatenate(variants)).to(self.device)

    def _model(self, settings: Settings, learnt: Tensor) -> SpanModel:
        """Start a model from what it learns from."""
        places = learnt.cpu().numpy()
        start = prior_of(self.levels, places, self.data.n_bars, self.l_max)
        model = SpanModel(self.values.shape[2], settings, *start, self.n_types).to(self.device)
        model.signs.copy_(self.signs)
        if model.number is not None:
            model.number.copy_(log_weights(self.objective.spans.take(places)))
        if settings.standardise:
            model.standardise(self.values[learnt])
        return model


def signs_of(names: Sequence[str], directions: int) -> NDArray[np.float32]:
    """(F,) by what a mirror multiplies each feature.

    Raises
    ------
    InputError
        There are two directions, and a mirror does something else to a feature.
    """
    for name in names:
        if directions > 1 and not is_mirrored(name):
            raise InputError(
                f"feature {name}",
                got="values that a mirror changes by more than their sign",
                expected="features of the set directed, for a detector with two directions",
                fix="Choose other features, or directions = 1",
            )
    return np.array([-1 if describe(name).signed else 1 for name in names], np.float32)


def n_types(classes: Sequence[str]) -> int:
    """Return the number of window types: the classes of spans, and having none as the last."""
    return max(LEAST_TYPES, len(classes) + 1)
