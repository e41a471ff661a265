"""The training loop."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from deep.losses import Objective
from deep.model import SpanModel
from deep.presets import Settings


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training windows gave.

    Attributes
    ----------
    run : str
        Which training it belongs to: ``"fold 1"``, ``"member 1"`` and so on.
    epoch, epochs : int
        Passes done, and passes at most.
    loss : float
        Mean over the pass, dropout included.
    held_out : float or None
        The objective's metric of the averaged weights on held-out windows; larger is better.
    best : bool
        Whether the weights after this pass are, so far, the ones to keep.
    """

    run: str
    epoch: int
    epochs: int
    loss: float
    held_out: float | None
    best: bool


Watch = Callable[[Epoch], None]


def train(
    model: SpanModel,
    objective: Objective,
    values: Tensor,
    learnt: Tensor,
    settings: Settings,
    *,
    held: Tensor | None = None,
    run: str = "member 1",
    watch: Watch = lambda epoch: None,
) -> tuple[SpanModel, list[Epoch]]:
    """Train, and return a running average of the weights.

    With windows held out it is the average after the pass that was best on them, and training
    stops ``settings.patience`` passes later; without, the average after ``settings.epochs`` passes.

    Parameters
    ----------
    values : (N, T, F) Tensor
        Features of all windows, on the model's device.
    learnt, held : (n,), (m,) int64 Tensor
        Windows to learn from, and those that choose the pass, on the same device.
    """
    optimizer = torch.optim.AdamW(_groups(model, settings.weight_decay), lr=settings.learning_rate)
    averaged = copy.deepcopy(model).requires_grad_(False).eval()
    best, history = copy.deepcopy(averaged), list[Epoch]()
    highest, waited, steps = -float("inf"), 0, 0
    for epoch in range(1, settings.epochs + 1):
        model.train()
        total = torch.zeros((), dtype=torch.float64, device=values.device)
        shuffled = learnt[torch.randperm(len(learnt)).to(learnt.device)]
        for windows in torch.split(shuffled, settings.batch_size):
            loss = objective.loss(model, model(values[windows]), windows)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(model.parameters(), settings.clip)
            optimizer.step()
            steps += 1
            _follow(averaged, model, min(settings.average, steps / (steps + 10)))
            total += loss.detach() * len(windows)
        held_out = None if held is None else _judge(averaged, objective, values, held)
        better = held_out is None or held_out > highest
        if better:
            best.load_state_dict(averaged.state_dict())
        highest = highest if held_out is None else max(highest, held_out)
        history.append(
            Epoch(run, epoch, settings.epochs, float(total) / len(learnt), held_out, better)
        )
        watch(history[-1])
        waited = 0 if better else waited + 1
        if waited >= settings.patience:
            break
    return best, history


@torch.no_grad()
def _judge(model: SpanModel, objective: Objective, values: Tensor, held: Tensor) -> float:
    return objective.held_out(model, model(values[held]), held)


def _groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Decay matrices; biases, the length prior and the rate of spans are left where they lead."""
    matrices = [p for p in model.parameters() if p.ndim >= 2]
    others = [p for p in model.parameters() if p.ndim < 2]
    return [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]


@torch.no_grad()
def _follow(averaged: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the average a step towards the weights as they are now."""
    for ours, theirs in zip(averaged.parameters(), model.parameters(), strict=True):
        ours.lerp_(theirs, 1 - decay)
