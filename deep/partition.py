"""The log partition function of the segmental head, and its gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from deep.lengths import LengthScores
from deep.marginals import expected
from deep.number import Part, mixed, weighted
from deep.sums import compiled_sums, tensor_sums


@torch.no_grad()
def parts_of(
    e: Tensor, a: Tensor, b: Tensor, length: LengthScores, number: Tensor | None
) -> tuple[Tensor, list[Part]]:
    """(N,) log partition function, and what adds up to it."""
    run = tensor_sums if e.is_cuda else compiled_sums
    free = run(e, a, b, length)
    if number is None:
        return free.log_z, [Part(torch.ones_like(free.log_z), free)]
    return weighted(number, free, run(e, a, b, length, one=True))


def log_partition(
    e: Tensor, a: Tensor, b: Tensor, length: LengthScores, number: Tensor | None
) -> Tensor:
    """(N,) float64 log of the summed weight of all segmentations; differentiable."""
    log_z: Tensor = _LogPartition.apply(e, a, b, *length, number)  # type: ignore[no-untyped-call]
    return log_z


class _LogPartition(torch.autograd.Function):
    """Its gradient is the expected counts, so that nothing is differentiated step by step."""

    @staticmethod
    def forward(
        ctx: Any,
        e: Tensor,
        a: Tensor,
        b: Tensor,
        table: Tensor,
        log_ratio: Tensor,
        number: Tensor | None,
    ) -> Tensor:
        length = LengthScores(table, log_ratio)
        log_z, parts = parts_of(e, a, b, length, number)
        if any(ctx.needs_input_grad):
            ctx.dtypes = [x.dtype for x in (e, a, b, table, log_ratio)]
            wanted = any(ctx.needs_input_grad[3:5])
            found = [(p.share, expected(e, a, b, length, p.sums, lengths=wanted)) for p in parts]
            ctx.save_for_backward(*mixed(found))
        return log_z.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        bar, first, last, lengths, excess = ctx.saved_tensors
        bars = [grad[:, None, None] * x for x in (bar, first, last)]
        table = (grad @ lengths.flatten(1)).view(lengths.shape[1:])
        grads = [*bars, table, grad @ excess]
        return *(g.to(dtype) for g, dtype in zip(grads, ctx.dtypes, strict=True)), None
