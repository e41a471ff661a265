"""A BiLSTM whose two ways to read are learnt from side by side, a thread each.

An LSTM's steps wait for each other, and those of a small one are too short to be shared out among
threads. But nothing that one way reads depends on the other, so that two cores do both at once.
torch computes them one after the other, forwards and backwards.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

Weights = tuple[Tensor, ...]  # of one way: of the input, of the states, and the biases of both
_beside: ContextVar[Executor | None] = ContextVar("beside", default=None)


@contextmanager
def side_by_side(threads: int) -> Iterator[None]:
    """Share threads between both ways inside the block; fewer than two change nothing.

    Other threads that fit detectors meanwhile have blocks of their own.
    """
    if threads < 2:
        yield
        return
    before = torch.get_num_threads()
    each = min(before, threads // 2)
    with ThreadPoolExecutor(1, "bilstm", torch.set_num_threads, (each,)) as pool:
        outer = _beside.set(pool)
        torch.set_num_threads(each)
        try:
            yield
        finally:
            _beside.reset(outer)
            torch.set_num_threads(before)


class BiLSTM(nn.LSTM):
    """`torch.nn.LSTM`, bidirectional and batch first, from states of 0.

    While it learns on a CPU each layer is two LSTMs, side by side inside `side_by_side`; what comes
    out is the same bit for bit with and without a second thread.

    Examples
    --------
    >>> lstm = BiLSTM(3, 4, batch_first=True, bidirectional=True)
    >>> with side_by_side(threads=2):
    ...     lstm(torch.zeros(2, 5, 3))[0].shape
    torch.Size([2, 5, 8])
    """

    def forward(  # type: ignore[override]  # of packed sequences it knows nothing
        self, x: Tensor, hx: Any = None
    ) -> tuple[Tensor, Any]:
        """(N, T, 2H) states of x (N, T, F), and nothing of use."""
        if not (self.training and torch.is_grad_enabled()) or x.is_cuda:
            found: tuple[Tensor, Any] = super().forward(x, hx)
            return found
        self.check_input(x, None)  # torch.lstm would read what lies beside it
        for layer in range(self.num_layers):
            if layer:
                x = functional.dropout(x, self.dropout)
            ahead, back = self.all_weights[2 * layer : 2 * layer + 2]
            x = _Layer.apply(x, *ahead, *back)  # type: ignore[no-untyped-call]
        return x, None


class _Way:
    """What one way of a layer read, and its states, with the graph between them."""

    def __init__(self, x: Tensor, weights: Weights, *, backwards: bool, needed: list[bool]) -> None:
        self.read = [
            part.detach().requires_grad_(need)
            for part, need in zip((x, *weights), needed, strict=True)
        ]
        self.needed = needed
        x, *own = self.read
        with torch.enable_grad():
            start = x.new_zeros(1, len(x), own[1].shape[1])  # (1, N, H)
            given = x.flip(1) if backwards else x
            states = torch.lstm(given, (start, start), own, True, 1, 0.0, True, False, True)[0]
            self.states = states.flip(1) if backwards else states  # (N, T, H)

    def gradients(self, grad: Tensor) -> list[Tensor | None]:
        """Return those of the input and of the weights, where needed."""
        wanted = [part for part, need in zip(self.read, self.needed, strict=True) if need]
        if not wanted:
            return list[Tensor | None]([None] * len(self.needed))
        # Kept, as whoever goes back through a layer may do so again.
        found = iter(torch.autograd.grad(self.states, wanted, grad, retain_graph=True))
        return [next(found) if need else None for need in self.needed]


class _Layer(torch.autograd.Function):
    """Both ways of one layer."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, *weights: Tensor) -> Tensor:
        need_x, *need = ctx.needs_input_grad
        half = len(weights) // 2
        ctx.ways = _both(
            lambda: _Way(x, weights[:half], backwards=False, needed=[need_x, *need[:half]]),
            lambda: _Way(x, weights[half:], backwards=True, needed=[need_x, *need[half:]]),
        )
        return torch.cat([way.states.detach() for way in ctx.ways], 2)  # (N, T, 2H)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        one, other = ctx.ways
        ahead, back = grad.chunk(2, 2)
        (x, *own), (x_back, *own_back) = _both(
            lambda: one.gradients(ahead), lambda: other.gradients(back)
        )
        return None if x is None else x + x_back, *own, *own_back


def _both(one: Callable[[], Any], other: Callable[[], Any]) -> tuple[Any, Any]:
    """Call both, the second in the other thread, where there is one."""
    pool = _beside.get()
    if pool is None:
        return one(), other()
    there = pool.submit(other)
    return one(), there.result()
