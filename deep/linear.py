"""A model of features alone, by a ridge penalty: what few windows can tell without doubt.

Its loss is convex but for the hidden directions, and a ridge penalty is all it needs: no passes to
choose, no dropout, no seed. A recurrent model sees more and is less sure of it, so that the two err
differently and their mean is better than either.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from deep.losses import Objective
from deep.model import SpanModel
from deep.settings import Settings

ITERATIONS = 30
AT_ONCE = 128  # windows whose gradient is computed together: what fits a core's cache


def without_encoder(settings: Settings) -> Settings:
    """Return the settings of the linear model beside a detector."""
    return replace(settings, hidden=0, skip=True, input_dropout=0.0, dropout=0.0)


def fit_linear(
    model: SpanModel, objective: Objective, values: Tensor, learnt: Tensor, ridge: float
) -> SpanModel:
    """Minimise the span task's mean loss a window plus ``ridge / 2`` times the squared weights.

    By L-BFGS in float64 from weights of 0, `ITERATIONS` at most: enough for one direction, and with
    two a little short of the optimum. Biases are free, the length prior stays as it is.

    Parameters
    ----------
    model : SpanModel
        Without encoder, standardised.
    values : (N, T, F) Tensor
        Features of all windows, on the model's device.
    learnt : (n,) int64 Tensor
        Windows to learn from.
    """
    model.double().eval().requires_grad_(False)
    head = model.head if isinstance(model.head, nn.Linear) else model.head.scores
    found = [head.weight, head.bias]
    for parameter in found:
        parameter.requires_grad_(True)
    nn.init.zeros_(head.weight)
    search = torch.optim.LBFGS(
        found, max_iter=ITERATIONS, history_size=20, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        search.zero_grad()
        penalty = 0.5 * ridge * head.weight.square().sum()
        penalty.backward()  # type: ignore[no-untyped-call]
        total = penalty.detach()
        for part in torch.split(learnt, AT_ONCE):
            loss = objective.losses(model(values[part].double()), part, learnt)["span"]
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return total

    search.step(closure)  # type: ignore[no-untyped-call]
    return model.float().requires_grad_(False)
