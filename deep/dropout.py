"""Dropout whose masks cost less than reading the units does."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

LEVELS = 2**32


class QuickDropout(nn.Dropout):
    """`torch.nn.Dropout` that draws one number a call on a CPU, and hashes the rest out of it.

    torch draws a double a unit, one after the other: a fifth of an epoch of `jade`. Here a unit is
    kept by a hash of its place and the number drawn, in vector registers, backwards the same once
    more, so that no mask is ever written. On a GPU it is torch's own.

    Examples
    --------
    >>> dropout = QuickDropout(0.75)
    >>> dropout(torch.ones(100)).unique()
    tensor([0., 4.])
    >>> dropout.eval()(torch.ones(3))
    tensor([1., 1., 1.])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Drop units of x, of any shape."""
        if not self.training or self.p == 0 or x.is_cuda:
            return super().forward(x)
        key = int(torch.empty((), dtype=torch.int64).random_())
        dropped: Tensor = _Dropped.apply(x, key, self.p)  # type: ignore[no-untyped-call]
        return dropped


class _Dropped(torch.autograd.Function):
    """What is dropped is told by the key, forwards and backwards."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, key: int, p: float) -> Tensor:
        ctx.key, ctx.p = key, p
        return _dropped(x, key, p)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return _dropped(grad, ctx.key, ctx.p), None, None


def _dropped(x: Tensor, key: int, p: float) -> Tensor:
    x = x.detach().contiguous()
    out, scale = torch.empty_like(x), 0.0 if p == 1 else 1 / (1 - p)
    low, high = np.uint32(key % LEVELS), np.uint32(key // LEVELS % LEVELS)
    least = np.uint32(min(round(p * LEVELS), LEVELS - 1))
    units = x.view(-1).numpy()
    _drop(units, low, high, least, units.dtype.type(scale), out.view(-1).numpy())
    return out


@njit(cache=True, nogil=True, inline="always")
def _mixed(x: np.uint32) -> np.uint32:
    """Hash 32 bits: Wellons' lowbias32, every bit of the result depends on every bit."""
    x = np.uint32(x ^ (x >> np.uint32(16)))
    x = np.uint32(x * np.uint32(0x7FEB352D))
    x = np.uint32(x ^ (x >> np.uint32(15)))
    x = np.uint32(x * np.uint32(0x846CA68B))
    return np.uint32(x ^ (x >> np.uint32(16)))


@njit(cache=True, nogil=True)
def _drop(
    x: NDArray[Any],
    low: np.uint32,
    high: np.uint32,
    least: np.uint32,
    scale: Any,
    out: NDArray[Any],
) -> None:
    """Keep the units of x (n,) whose hash reaches ``least``."""
    for i in range(len(x)):
        place = np.uint32(np.uint32(i) * np.uint32(0x9E3779B9) + low)
        found = _mixed(np.uint32(_mixed(place) ^ high))
        out[i] = x[i] * scale if found >= least else scale * 0
