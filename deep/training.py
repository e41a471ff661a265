"""A training between two passes: everything that the next pass depends on."""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn

from deep import parallel
from deep.model import SpanModel
from deep.settings import Settings


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
        What was minimised, mean over the pass, dropout included.
    losses : dict of float
        Loss of each task, unweighted, likewise.
    held_out : float or None
        The objective's metric of the averaged weights on held-out windows; larger is better.
    best : bool
        Whether the weights after this pass are, so far, the ones to keep.
    """

    run: str
    epoch: int
    epochs: int
    loss: float
    losses: dict[str, float]
    held_out: float | None
    best: bool


class Training:
    """Weights, their average, the best of it, the optimiser, and what has been seen so far.

    Its random streams are torch's own (dropout) and one for the order of windows, which processes
    that train together share.

    Parameters
    ----------
    model : SpanModel
        On its device.
    settings : Settings

    Attributes
    ----------
    averaged, best : SpanModel
        Running average of the weights, and the average after the best pass.
    history : list of Epoch
    """

    def __init__(self, model: SpanModel, settings: Settings) -> None:
        self.model, self.settings = model, settings
        self.averaged = _copied(model).requires_grad_(False).eval()
        self.best = _copied(self.averaged)
        groups = _groups(model, settings)
        self.optimizer = torch.optim.AdamW(
            groups, lr=settings.learning_rate, fused=True, capturable=groups[0]["params"][0].is_cuda
        )
        self.order = parallel.streams()
        self.history: list[Epoch] = []
        self.steps = 0

    @property
    def finished(self) -> bool:
        """Whether there is no pass left, or none has helped for too long."""
        best = max((past.epoch for past in self.history if past.best), default=0)
        done = len(self.history)
        return done >= self.settings.epochs or done - best >= self.settings.patience

    @property
    def highest(self) -> float:
        """Best held-out figure so far."""
        seen = [past.held_out for past in self.history if past.held_out is not None]
        return max(seen, default=-float("inf"))

    @torch.no_grad()
    def follow(self) -> None:
        """Move the average towards the weights, after a step."""
        self.steps += 1
        decay = min(self.settings.average, self.steps / (self.steps + 10))
        ours, theirs = (tuple(model.parameters()) for model in (self.averaged, self.model))
        torch._foreach_lerp_(ours, theirs, 1 - decay)  # on a GPU all of them in one kernel

    def ended(self, epoch: Epoch) -> None:
        """Enter a pass, and keep its weights if they are the best."""
        self.history.append(epoch)
        if epoch.best:
            self.best.load_state_dict(self.averaged.state_dict())

    def state_dict(self) -> dict[str, Any]:
        """Return everything, as tensors and plain values; all processes have to ask at once."""
        device = next(self.model.parameters()).device
        return {
            **{name: getattr(self, name).state_dict() for name in _STATEFUL},
            "order": self.order.get_state(),
            "random": parallel.gathered(torch.get_rng_state()),
            "cuda": parallel.gathered(torch.cuda.get_rng_state(device))
            if device.type == "cuda"
            else None,
            "history": [asdict(epoch) for epoch in self.history],
            "steps": self.steps,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there; the random streams as well."""
        for name in _STATEFUL:
            getattr(self, name).load_state_dict(state[name])
        self.order.set_state(state["order"])
        torch.set_rng_state(state["random"][parallel.rank()])
        if state["cuda"] is not None:
            device = next(self.model.parameters()).device
            torch.cuda.set_rng_state(state["cuda"][parallel.rank()], device)
        self.history = [Epoch(**epoch) for epoch in state["history"]]
        self.steps = state["steps"]


_STATEFUL = ("model", "averaged", "best", "optimizer")


def _copied(model: SpanModel) -> SpanModel:
    """Copy a model; on a GPU the weights of an LSTM have to lie in one piece again."""
    other = copy.deepcopy(model)
    for module in other.modules():
        if isinstance(module, nn.LSTM):
            module.flatten_parameters()
    return other


def _groups(model: nn.Module, settings: Settings) -> list[dict[str, Any]]:
    """Decay matrices; biases, the length prior and the rate of spans are left where they lead."""
    everywhere = settings.decay_all
    decayed = [p for p in model.parameters() if p.ndim >= 2 or everywhere]
    free = [p for p in model.parameters() if p.ndim < 2 and not everywhere]
    return [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": free, "weight_decay": 0.0},
    ]
