"""How large gradients are, layer by layer, and how much of them each task asks for."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from deep.losses import Objective
from deep.model import SpanModel


class LayerNorms:
    """Norms of a model's gradients, added up over the batches of a pass without leaving the device.

    Parameters
    ----------
    model : nn.Module

    Attributes
    ----------
    names : list of str
        Of the layers: modules that hold weights, one for each depth of an LSTM.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(2, 1, bias=False), nn.Linear(1, 1, bias=False))
    >>> norms = LayerNorms(model)
    >>> model[0].weight.grad, model[1].weight.grad = torch.ones(1, 2) * 3, torch.ones(1, 1) * 4
    >>> norms.add()
    >>> {name: round(value, 3) for name, value in norms.taken().items()}
    {'total_grad_norm': 5.831, '0': 4.243, '1': 4.0}
    """

    def __init__(self, model: nn.Module) -> None:
        parameters = dict(model.named_parameters())
        self.parameters = list(parameters.values())
        owners = [_layer(name) for name in parameters]
        self.names = list(dict.fromkeys(owners))
        rows = [[True] * len(owners)] + [[owner == name for owner in owners] for name in self.names]
        self.members = torch.tensor(rows, device=self.parameters[0].device).float()  # (1 + L, P)
        self.sums, self.batches = self.members.new_zeros(len(rows)), 0

    @torch.no_grad()
    def add(self) -> None:
        """Add the gradients as they stand; a parameter that has none counts as 0."""
        zero = self.sums.new_zeros(())
        squares = [zero if p.grad is None else p.grad.square().sum() for p in self.parameters]
        self.sums += (self.members @ torch.stack(squares)).sqrt()
        self.batches += 1

    def taken(self) -> dict[str, float]:
        """Return the mean over the batches added, of all and by layer, and start again."""
        means = (self.sums / max(self.batches, 1)).tolist()
        self.sums, self.batches = torch.zeros_like(self.sums), 0
        return dict(zip(["total_grad_norm", *self.names], means, strict=True))


def _layer(parameter: str) -> str:
    module, _, name = parameter.rpartition(".")
    depth = name.removesuffix("_reverse").rpartition("_l")[2]
    if module == "encoder":
        return f"{module}.{depth}"
    return module or name


def pulls(
    model: SpanModel, objective: Objective, values: Tensor, windows: Tensor
) -> dict[str, float]:
    """Compute for each task the norm of its loss's gradient in the weights of the encoder.

    The encoder is what tasks share, so that is how hard each of them pulls at it. Losses are
    unweighted, nothing is dropped out or drawn, and no weight moves. A single task pulls alone, and
    its norm is taken as 1. It costs a pass over the windows, and one back for every task.

    Parameters
    ----------
    model : SpanModel
        In evaluation mode and without gradients, as averaged weights are.
    values : (n, T, F) Tensor
        Features of ``windows`` (n,).
    """
    if len(objective.tasks) == 1:
        return dict.fromkeys(objective.tasks, 1.0)
    encoder, dropout = model.lstm, model.lstm.dropout
    encoder.train().requires_grad_(True)  # CUDA goes back through an LSTM in training mode alone
    encoder.dropout = 0.0
    try:
        with torch.enable_grad():
            losses = objective.losses(model(values), windows)
            norms = [_norm(loss, encoder) for loss in losses.values()]
    finally:
        encoder.eval().requires_grad_(False)
        encoder.dropout = dropout
    return dict(zip(losses, torch.stack(norms).tolist(), strict=True))


def _norm(loss: Tensor, module: nn.Module) -> Tensor:
    grads = torch.autograd.grad(loss, list(module.parameters()), retain_graph=True)
    return torch.stack([grad.square().sum() for grad in grads]).sum().sqrt()
