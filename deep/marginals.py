"""The log partition function and its gradient: expected counts under the posterior.

The chain is an exponential family: the score of a segmentation whose spans have their directions is
the inner product of the scores with how often it uses each of them (`Counts`).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from deep.chain import BOTH, INNER, LEFT, RIGHT
from deep.lengths import LengthScores
from deep.sums import Sums, length_rows


class Counts(NamedTuple):
    """How often a window's segmentation is expected to use each score: probabilities."""

    bar: Tensor  # (N, D, T) in a span of the direction
    first: Tensor  # (N, D, T) a span starts, seen to: bar 0 is never
    last: Tensor  # (N, D, T) a span ends, seen to: bar T-1 is never
    length: Tensor  # (N, 4, Lmax+1) spans by how they are cut and by visible length
    excess: Tensor  # (N,) bars beyond Lmax+1 in longer spans


def outside(sums: Sums) -> Tensor:
    """(N, T) probability that a bar lies in no span."""
    return torch.exp(sums.total[0, :, :-1] + sums.total[1, :, 1:] - sums.log_z[:, None])


def starts(sums: Sums) -> Tensor:
    """(N, D, T) probability that a visible span starts at a bar, bar 0 included."""
    before = sums.total[0, :, :-1] - sums.log_z[:, None]  # (N, T)
    return torch.exp(before[:, None] + sums.closing[1, ..., :-1])


def stops(sums: Sums) -> Tensor:
    """(N, D, T) probability that a visible span ends with a bar, bar T-1 included."""
    after = sums.total[1, :, 1:] - sums.log_z[:, None]  # (N, T)
    return torch.exp(sums.closing[0, ..., 1:] + after[:, None])


def inside(first: Tensor, last: Tensor) -> Tensor:
    """(N, D, T) probability that a bar lies in a span: what has started and not yet stopped."""
    stopped = functional.pad(last[..., :-1], (1, 0))
    return (first - stopped).cumsum(2).clamp_(0, 1)


@torch.no_grad()
def expected(
    e: Tensor, a: Tensor, b: Tensor, length: LengthScores, sums: Sums, *, lengths: bool = True
) -> Counts:
    """Expect counts under the posterior, float64: the gradient of the log partition function.

    Those of lengths, which take as long as all others, can be left at 0.
    """
    first, last = starts(sums), stops(sums)
    bar = inside(first, last)
    first[..., 0], last[..., -1] = 0, 0
    if lengths:
        return Counts(bar, first, last, *_lengths(e, a, b, length, sums))
    unknown = bar.new_zeros(len(bar), *length.table.shape)
    return Counts(bar, first, last, unknown, bar.new_zeros(len(bar)))


def _lengths(
    e: Tensor, a: Tensor, b: Tensor, length: LengthScores, sums: Sums
) -> tuple[Tensor, Tensor]:
    """(N, 4, Lmax+1) expected spans by kind and length, and (N,) expected excess."""
    n_windows, n_directions, n_bars = e.shape
    size = length.table.shape[1]
    by_length = length_rows(length, n_bars)  # (4, T)
    prefix = e.double().cumsum(2)  # (N, D, T)
    log_z = sums.log_z[:, None, None]
    whole = prefix[..., -1:] - log_z  # (N, D, 1)
    # what its start and its stop, boundaries 1..T-1, contribute to a span's log probability
    left, right = (x[:, None, 1:-1] for x in sums.total)  # (N, 1, T-1)
    opened = left + a[..., 1:] - prefix[..., :-1]  # (N, D, T-1)
    closed = right + b[..., :-1] + prefix[..., :-1] - log_z  # (N, D, T-1)
    prob = prefix.new_zeros(n_windows, 4, n_bars)  # by visible length
    prob[:, LEFT, :-1] = torch.exp(closed + by_length[LEFT, :-1]).sum(1)
    prob[:, RIGHT, :-1] = torch.exp(opened.flip(2) + whole + by_length[RIGHT, :-1]).sum(1)
    prob[:, BOTH, -1] = torch.exp(whole[..., 0] + by_length[BOTH, -1]).sum(1)
    near = min(size, n_bars) - 1
    if near:
        stop = functional.pad(closed[..., 1:], (0, near), value=-torch.inf).unfold(2, near, 1)
        pairs = opened[..., None] + stop + by_length[INNER, :near]  # (N, D, T-1, near)
        prob[:, INNER, :near] = pairs.exp_().sum((1, 2))
    counts = functional.pad(prob[:, :, :size], (0, max(size - n_bars, 0)))  # (N, 4, Lmax+1)
    counts[:, :, -1] += prob[:, :, size:].sum(2)
    beyond = 1 + torch.arange(max(n_bars - size, 0), dtype=torch.float64, device=e.device)
    excess = (prob[:, :, size:] @ beyond).sum(1)  # (N,)
    if n_bars - 1 > size:
        tail, tail_excess = _tail(opened.flatten(0, 1), closed.flatten(0, 1), length)
        counts[:, INNER, -1] += tail.view(n_windows, n_directions).sum(1)
        excess += tail_excess.view(n_windows, n_directions).sum(1)
    return counts, excess


def _tail(opened: Tensor, closed: Tensor, length: LengthScores) -> tuple[Tensor, Tensor]:
    """(N,) expected uncut spans longer than Lmax, and their expected excess over Lmax + 1."""
    size = length.table.shape[1]
    start = torch.arange(opened.shape[1] - size, dtype=torch.float64, device=opened.device)
    fall = start * length.log_ratio
    weight = opened[:, :-size] - fall  # (N, T-1-K)
    before = weight.logcumsumexp(1)  # all starts so far, for the stop K bars on
    mean_start = torch.exp((weight + torch.log1p(start)).logcumsumexp(1) - before) - 1
    prob = torch.exp(before + fall + closed[:, size:] + length.table[INNER, -1])  # (N, T-1-K)
    return prob.sum(1), (prob * (start - mean_start)).sum(1)
