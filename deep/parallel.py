"""Several processes that train one model: what each takes, and what they agree on.

Started by torchrun, every process runs the same command; each batch is split between them and
DistributedDataParallel averages their gradients. In a single process nothing here does anything.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from proxytools.errors import ProxytoolsError

Value = TypeVar("Value")


@contextmanager
def together() -> Iterator[None]:
    """Train with the other processes that torchrun started, if it did; each on a GPU of its own.

    When one fails, all end: the first says why, the others follow with its exit code.
    """
    if not distributed.is_torchelastic_launched():
        yield
        return
    from torch.distributed.rendezvous import rendezvous

    n_devices = torch.cuda.device_count()
    if n_devices:
        torch.cuda.set_device(local_rank() % n_devices)
    store, own, n = next(iter(rendezvous("env://")))
    backend = "cpu:gloo,cuda:nccl" if n_devices else "gloo"
    try:  # another may fail while this one is still connecting to it
        distributed.init_process_group(backend, store=store, rank=own, world_size=n)
        yield
    except BaseException as error:
        if _failed_before(store):
            raise SystemExit(getattr(error, "exit_code", 1)) from None
        if _is_lost(error):
            raise ProxytoolsError("A process that trained with this one was killed.") from error
        raise
    finally:
        if distributed.is_initialized():
            distributed.destroy_process_group()


def _failed_before(store: Any) -> bool:
    """Whether another process has failed before this one."""
    try:
        return bool(store.add("failed", 1) > 1)
    except RuntimeError:  # torchrun has gone, and the store with it
        return True


def _is_lost(error: BaseException) -> bool:
    """Whether an error says that another process is no more; gloo's has no class of its own."""
    return isinstance(error, distributed.DistBackendError) or "by peer" in str(error)


def world() -> int:
    """Return the number of processes that train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """Return the number of this process among them, from 0; process 0 writes the files."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def local_rank() -> int:
    """Return the number of this process among those on this machine, which is that of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def wrapped(model: nn.Module) -> nn.Module:
    """Let the model start as in the first process, and average its gradients over all."""
    if world() == 1:
        return model
    return DistributedDataParallel(model)


def streams() -> torch.Generator:
    """Start the random streams of a training: torch's own, and the one returned.

    Torch's parts here, so that no two processes drop the same units; the other is common to all,
    so that they shuffle alike.
    """
    seed = agreed(torch.initial_seed())
    if world() > 1:
        torch.manual_seed(seed + rank())
    return torch.Generator().manual_seed(seed)


def part(batch: Tensor) -> Tensor:
    """Windows of a batch (n,) that this process takes; may be none."""
    return batch.tensor_split(world())[rank()]


def scaled(losses: dict[str, Tensor]) -> dict[str, Tensor]:
    """Losses whose mean over the processes is the loss of the batch."""
    return {name: loss * world() for name, loss in losses.items()}


def summed(values: Tensor) -> Tensor:
    """Sum over the processes of numbers that were computed in parts."""
    if world() > 1:
        distributed.all_reduce(values)
    return values


def agreed(value: Value) -> Value:
    """Take the value of the first process, so that all decide alike."""
    if world() == 1:
        return value
    held = [value]
    distributed.broadcast_object_list(held, 0)
    return held[0]


def gathered(value: Tensor) -> list[Tensor]:
    """Values of all processes, of one shape, on the CPU."""
    if world() == 1:
        return [value]
    values = [torch.empty_like(value) for _ in range(world())]
    distributed.all_gather(values, value)
    return values
