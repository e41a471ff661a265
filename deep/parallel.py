"""Several processes that train one model: what each takes, and what they agree on.

Started by torchrun, every process runs the same command; each batch is split between them and
DistributedDataParallel averages their gradients. In a single process nothing here does anything.
"""

from __future__ import annotations

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel


def world() -> int:
    """Return the number of processes that train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """Return the number of this process among them, from 0; process 0 writes the files."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def wrapped(model: nn.Module) -> nn.Module:
    """Let the model start as in the first process and average its gradients over all.

    Random streams part from here, so that no two processes drop the same units.
    """
    if world() == 1:
        return model
    torch.manual_seed(torch.initial_seed() + rank())
    return DistributedDataParallel(model)


def part(batch: Tensor) -> Tensor:
    """Windows of a batch (n,) that this process takes."""
    return batch.tensor_split(world())[rank()]


def scaled(losses: dict[str, Tensor]) -> dict[str, Tensor]:
    """Losses whose mean over the processes is the loss of the batch."""
    return {name: loss * world() for name, loss in losses.items()}


def summed(values: Tensor) -> Tensor:
    """Sum over the processes of numbers that were computed in parts."""
    if world() > 1:
        distributed.all_reduce(values)
    return values


def agreed(value: float) -> float:
    """Take the value of the first process, so that all decide alike."""
    if world() == 1:
        return value
    held = torch.tensor([value], dtype=torch.float64)
    distributed.broadcast(held, 0)
    return float(held)
