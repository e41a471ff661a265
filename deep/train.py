"""The training loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from deep import parallel
from deep.losses import Objective
from deep.model import SpanModel
from deep.steps import halves
from deep.training import Epoch, Training


class Observer:
    """Looks on at trainings, and changes neither weights nor draws; this one does nothing."""

    def start(
        self,
        run: str,
        training: Training,
        objective: Objective,
        values: Tensor,
        learnt: Tensor,
        held: Tensor | None,
    ) -> None:
        """Look at what a training is about to learn; see `train`."""

    def batch(self, model: SpanModel) -> None:
        """Look at the gradients of a batch, before the step."""

    def judged(self, outputs: dict[str, Any], losses: dict[str, Tensor]) -> None:
        """Look at what the averaged weights make of the held-out windows after a pass."""

    def epoch(self, done: Epoch, training: Training) -> None:
        """Look at what a pass gave."""

    def pretraining(self, done: Epoch) -> None:
        """Look at what a pass of pre-training gave."""

    def state_dict(self) -> Any:
        """Return everything it has gathered so far, as tensors and plain values."""

    def load_state_dict(self, state: Any) -> None:
        """Go on from there: the training that starts next is one that was interrupted."""


class Observers(Observer):
    """Several that look on together."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self.observers = observers

    def start(self, *training: Any) -> None:
        """Tell all of them."""
        for observer in self.observers:
            observer.start(*training)

    def batch(self, model: SpanModel) -> None:
        """Tell all of them."""
        for observer in self.observers:
            observer.batch(model)

    def judged(self, outputs: dict[str, Any], losses: dict[str, Tensor]) -> None:
        """Tell all of them."""
        for observer in self.observers:
            observer.judged(outputs, losses)

    def epoch(self, done: Epoch, training: Training) -> None:
        """Tell all of them."""
        for observer in self.observers:
            observer.epoch(done, training)

    def pretraining(self, done: Epoch) -> None:
        """Tell all of them."""
        for observer in self.observers:
            observer.pretraining(done)

    def state_dict(self) -> list[Any]:
        """Return what each has gathered."""
        return [observer.state_dict() for observer in self.observers]

    def load_state_dict(self, state: list[Any]) -> None:
        """Let each go on."""
        for observer, own in zip(self.observers, state, strict=True):
            observer.load_state_dict(own)


def train(
    training: Training,
    objective: Objective,
    values: Tensor,
    learnt: Tensor,
    *,
    held: Tensor | None = None,
    run: str = "member 1",
    observer: Observer | None = None,
    keep: Callable[[Training], None] = lambda training: None,
) -> SpanModel:
    """Train to the end, and return a running average of the weights.

    With windows held out it is the average after the pass that was best on them, and training
    stops ``settings.patience`` passes later; without, the average after ``settings.epochs`` passes.
    Where several processes train together, each takes a part of every batch.

    Parameters
    ----------
    training : Training
        New, or one that was interrupted between two passes.
    values : (N, T, F) Tensor
        Features of all windows, on the model's device.
    learnt, held : (n,), (m,) int64 Tensor
        Windows to learn from, and those that choose the pass, on the same device.
    run : str
        Name of the training in what it reports.
    observer : Observer, optional
    keep : callable
        Given the training after every pass.
    """
    settings, model = training.settings, training.model
    gradients, move = halves(training, objective, values)
    observer = observer or Observer()
    observer.start(run, training, objective, values, learnt, held)
    while not training.finished:
        model.train()
        sums = torch.zeros(1 + len(objective.tasks), dtype=torch.float64, device=values.device)
        order = torch.randperm(len(learnt), generator=training.order)
        for batch in torch.split(learnt[order.to(learnt.device)], settings.batch_size):
            sums += gradients(batch) * len(batch)
            observer.batch(model)
            move()
            training.follow()
        epoch = _ended(training, objective, sums / len(learnt), values, held, run, observer)
        training.ended(epoch)
        observer.epoch(epoch, training)
        keep(training)
    return training.best


def _ended(
    training: Training,
    objective: Objective,
    means: Tensor,
    values: Tensor,
    held: Tensor | None,
    run: str,
    observer: Observer,
) -> Epoch:
    """Sum a pass up."""
    loss, *of_tasks = parallel.summed(means).tolist()
    by_task = dict(zip(objective.tasks, of_tasks, strict=True))
    held_out = None
    if held is not None:
        with torch.no_grad():
            outputs = training.averaged(values[held])
            losses = objective.losses(outputs, held)
            observer.judged(outputs, losses)
            held_out = objective.held_out(outputs, losses, held)
        held_out = parallel.agreed(held_out)
    best = held_out is None or held_out > training.highest
    n = len(training.history) + 1
    return Epoch(run, n, training.settings.epochs, loss, by_task, held_out, best)
