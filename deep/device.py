"""Where and how a detector is computed: the device, its threads, its random stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numba
import numpy as np
import torch

from deep import parallel
from proxytools.errors import DeviceError, InputError

DEVICES = ("cpu", "cuda", "auto")
SMALL = 128  # units of an LSTM, each way, whose steps are too small for two threads


def resolve(device: str) -> torch.device:
    """Torch's device of that name; ``auto`` is CUDA where there is one.

    Raises
    ------
    DeviceError
        The device was asked for and is not there.

    Examples
    --------
    >>> resolve("cpu")
    device(type='cpu')
    """
    if device not in DEVICES:
        raise DeviceError("device for deep", got=repr(device), expected=" or ".join(DEVICES))
    if device == "cuda" and not torch.cuda.is_available():
        raise DeviceError(
            "device cuda for deep",
            got="no CUDA device that torch can use",
            expected="an NVIDIA GPU and a torch build with CUDA",
            fix="Use --device cpu",
        )
    cuda = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    if cuda and parallel.local_rank() >= torch.cuda.device_count():
        raise DeviceError(
            "device cuda for deep",
            got=f"{torch.cuda.device_count()} devices",
            expected="one for each process",
            fix="Start fewer by torchrun --nproc-per-node, or use --device cpu",
        )
    return torch.device("cuda" if cuda else "cpu")


def cpu_threads() -> int:
    """Return the number of CPU threads in use where none is asked for."""
    return torch.get_num_threads()


@contextmanager
def limited(threads: int, *, hidden: int = SMALL) -> Iterator[int]:
    """Use that many CPU threads inside the block, and return how many; 0 leaves them as they are.

    Parameters
    ----------
    hidden : int
        Units of the LSTM that is computed inside. Below `SMALL` torch takes one thread whatever is
        asked for: a step is over before a second thread has begun, and on a busy machine each of a
        window's steps would wait for it.

    Raises
    ------
    InputError
        The number is below 0.
    """
    if threads < 0:
        raise InputError("threads", got=str(threads), expected="0 or more")
    before = torch.get_num_threads(), numba.get_num_threads()
    if threads or hidden < SMALL:
        torch.set_num_threads(threads if hidden >= SMALL else 1)
    if threads:
        numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]
    try:
        yield threads or before[0]
    finally:
        torch.set_num_threads(before[0])
        numba.set_num_threads(before[1])


@contextmanager
def seeded(seed: Sequence[int], device: torch.device) -> Iterator[None]:
    """Draw from a random stream of one's own inside the block; the caller's does not move."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(int(np.random.SeedSequence(list(seed)).generate_state(1)[0]))
        yield
