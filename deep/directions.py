"""Which of two hidden directions a model takes for up is chance; models that are averaged agree.

A model reads a window and its mirror image with the same weights, and nothing in its loss tells the
one from the other. Two models whose directions are swapped say the same, but the mean of their
scores says neither.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from deep.model import SpanModel
from deep.segmental import SegmentalHead


@torch.no_grad()
def agree(models: Sequence[SpanModel], values: Tensor) -> None:
    """Swap the directions of models, in place, that call up what the first one calls down.

    Parameters
    ----------
    models : sequence of SpanModel
        With two directions; others are left alone.
    values : (N, T, F) Tensor
        Features of windows on which they are compared.
    """
    if len(models) < 2 or models[0].directions < 2:
        return
    first, *others = (_leaning(model, values) for model in models)
    for model, own in zip(models[1:], others, strict=True):
        if float((first * own).sum()) < 0:
            swap(model)


@torch.no_grad()
def swap(model: SpanModel) -> None:
    """Let a model read the mirror image as it read the window, and the window as that, in place.

    Its distribution over spans stays the same; the scores of the two directions change places.
    """
    assert isinstance(model.head, SegmentalHead)
    if model.encoder is not None:
        for name in ("weight_ih_l0", "weight_ih_l0_reverse"):
            model.encoder.get_parameter(name).mul_(model.signs)
    if model.skip:
        model.head.scores.weight[:, -len(model.signs) :].mul_(model.signs)


def _leaning(model: SpanModel, values: Tensor) -> Tensor:
    """(N, T) by how much a bar scores more in the first direction than in the second."""
    bar = model(values)["span"].unflatten(2, (model.directions, 3))[..., 0]  # (N, T, D)
    leaning: Tensor = bar[..., 0] - bar[..., 1]
    return leaning
