"""Pre-training: what a model learns before it learns from marks."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deep.device import seeded
from deep.kept import Kept
from deep.losses import Objective
from deep.model import SpanModel
from deep.number import log_weights
from deep.selfsupervised import Ahead, Contrastive, Masked
from deep.settings import Settings
from deep.soft import all_levels, level_spans
from deep.teacher import Teacher
from deep.train import Observer, train
from deep.training import Epoch, Training
from proxytools import splits
from proxytools.errors import GateError, InputError
from proxytools.evaluate import CrossFit
from proxytools.types import FeatureSet, Int, SpanDataset, Spans

AHEAD = ", pre-training"  # follows the name of the training whose pre-training it is


class Taught(Ahead):
    """The model itself, as far as it finds spans."""

    def parts(self) -> nn.Module:
        """Return the encoder and the span head."""
        return nn.ModuleList([self.model.lstm, self.model.head])

    def forward(self, values: Tensor) -> dict[str, Any]:
        """Return the outputs of the model."""
        outputs: dict[str, Any] = self.model(values)
        return outputs


NETWORKS: dict[str, type[Ahead]] = {
    "proxies": Taught,
    "masked": Masked,
    "contrastive": Contrastive,
}


class Pretraining:
    """Windows to pre-train on: those that are learnt from, and unlabelled ones beside them.

    They are learnt from as they are, without variants: unlabelled windows are many. Each inner fold
    is pre-trained for by itself; all members go on from one pre-training. With soft labels each set
    of windows has a teacher of its own, so that what an inner fold holds out is as unseen as ever.
    Its cost: with 3 inner folds, 4 sets of windows, in each of them 3 fits for the labelled windows
    and 1 for the others.

    Parameters
    ----------
    settings : Settings
    features : FeatureSet
    data : SpanDataset
        The windows to learn from first, then the unlabelled ones.
    n_learnt : int
        How many the former are.
    teacher : Teacher
    force : bool
        Whether to go on where the teacher does not pass the gate.

    Attributes
    ----------
    whole : Start
        Pre-training on everything.
    warnings : list of str

    Raises
    ------
    InputError
        The model has no encoder.
    GateError
        The teacher does not pass the gate on the windows to learn from.
    """

    def __init__(
        self,
        settings: Settings,
        features: FeatureSet,
        data: SpanDataset,
        n_learnt: int,
        *,
        teacher: Teacher,
        device: torch.device,
        force: bool,
    ) -> None:
        self.settings, self.features, self.data = settings, features, data
        self.n_learnt, self.teacher = n_learnt, teacher
        self.force, self.warnings = force, list[str]()
        if settings.hidden == 0:
            raise InputError("pretrain", got="hidden = 0", expected="an encoder to pre-train")
        self.values = torch.from_numpy(features.values).to(device)  # (M, T, F)
        self.whole = self._start(np.arange(len(data)), judge=True)

    def on(self, train: Int, held: Int | None) -> Start:
        """Pre-training on windows to learn from, and on all others that are clear of those held."""
        if held is None:
            return self.whole
        others = np.arange(self.n_learnt, len(self.data))
        windows, reach = self.data.windows, self.features.lookback_bars
        clear = splits.clear_of(windows.take(others), windows.take(held), lookback_bars=reach)
        return self._start(np.concatenate([train, others[clear]]))

    def _start(self, chosen: Int, *, judge: bool = False) -> Start:
        device = self.values.device
        target, number = np.zeros(self.values.shape[:2], np.float32), None  # (M, T)
        if self.settings.pretrain == "proxies":
            target[chosen] = self._soft_labels(chosen, judge)
            levels = level_spans(target)
            # The span task, and it alone, learns from soft labels.
            alone = replace(self.settings, type=0.0, pointers=0.0, countdown=0.0)
            objective = Objective.of(alone, levels, target, none=0, device=device)
            spans = all_levels(levels, chosen)
            number = log_weights(spans) if len(spans) else None
        else:
            task = Reported(self.settings.pretrain, torch.ones(len(self.values), device=device))
            objective = Objective({task.name: task}, {task.name: 1.0}, Spans.of([]), self.settings)
        learnt = torch.from_numpy(chosen).to(device)
        return Start(self.settings, self.values, target, objective, learnt, number)

    def _soft_labels(self, chosen: Int, judge: bool) -> NDArray[np.float32]:
        """(n, T) what a teacher fitted on the chosen windows makes of them."""
        data = self.data.take(chosen)
        fitted = self.teacher.cross_fit(data)
        if judge:
            self._judge(data, fitted)
        return self.teacher.soft_labels(data, fitted)

    def _judge(self, data: SpanDataset, fitted: CrossFit) -> None:
        try:
            self.teacher.check_gate(data, fitted)
        except GateError as error:
            if not self.force:
                raise
            self.warnings.append(f"{error} Pre-trained on its soft labels all the same.")


@dataclass(eq=False)
class Start:
    """Pre-training on chosen windows: done once, whichever models go on from there.

    Parameters
    ----------
    values : (M, T, F) Tensor
    target : (M, T) float32
        Soft labels of the chosen ones; of no meaning without a teacher.
    objective : Objective
    learnt : (n,) int64 Tensor
        The chosen ones.
    number : (3,) Tensor, optional
        How many spans a window holds by its soft labels, see `deep.number`: far more often none
        than by the marks.
    weights : dict of Tensor, optional
        What was learnt.
    """

    settings: Settings
    values: Tensor
    target: NDArray[np.float32]
    objective: Objective
    learnt: Tensor
    number: Tensor | None
    weights: dict[str, Tensor] | None = None

    def train(
        self,
        model: SpanModel,
        seed: tuple[int, ...],
        run: str,
        *,
        observer: Observer,
        kept: Kept,
    ) -> list[Epoch]:
        """Pre-train a model in place, the first one; others take over what was learnt.

        Heads that take no part stay as they are. Returns the passes that were done.
        """
        history: list[Epoch] = []
        if self.weights is None:
            history = self._train(copy.deepcopy(model), seed, run, observer, kept)
        network = NETWORKS[self.settings.pretrain](model)
        network.parts().load_state_dict(cast(dict[str, Tensor], self.weights))
        model.requires_grad_(True)
        return history

    def _train(
        self,
        model: SpanModel,
        seed: tuple[int, ...],
        run: str,
        observer: Observer,
        kept: Kept,
    ) -> list[Epoch]:
        if self.number is not None and model.number is not None:
            model.number.copy_(self.number)
        with seeded(seed, self.values.device):
            network = NETWORKS[self.settings.pretrain](model).to(self.values.device)
            settings = replace(self.settings, epochs=self.settings.pretrain_epochs)
            # Any network will do: what trains it reads its parameters and `log_sigma` alone.
            training = Training(cast(SpanModel, network), settings)
            watch = _Passes(observer)
            best = train(
                training,
                self.objective,
                self.values,
                self.learnt,
                run=run + AHEAD,
                observer=watch,
                keep=kept.going_on(training, watch, self.values, self.target, self.learnt),
            )
        self.weights = cast(Ahead, best).parts().state_dict()
        return training.history


@dataclass(frozen=True, eq=False)
class Reported:
    """The task of a network that computes its loss itself."""

    name: str
    counts: Tensor

    def loss(self, outputs: dict[str, Any], windows: Tensor) -> Tensor:
        """(n,) loss of each window."""
        loss: Tensor = outputs[self.name]
        return loss


class _Passes(Observer):
    """Shows passes as those of pre-training: whoever looks on at trainings expects detectors."""

    def __init__(self, observer: Observer) -> None:
        self.observer = observer

    def epoch(self, done: Epoch, training: Training) -> None:
        self.observer.pretraining(done)
