"""Sums over all segmentations of windows, on any device: log weights of those up to each bar."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from deep import chain, chain_scaled
from deep.chain import BOTH, INNER, LEFT, RIGHT
from deep.lengths import LengthScores


class Sums(NamedTuple):
    """Log weights of partial segmentations; see `deep.chain.sums`. ``[0]`` left, ``[1]`` right."""

    total: Tensor  # (2, N, T+1) float64
    closing: Tensor  # (2, N, D, T+1) float64
    log_z: Tensor  # (N,) of all of them


@torch.no_grad()
def compiled_sums(
    e: Tensor, a: Tensor, b: Tensor, length: LengthScores, *, one: bool = False
) -> Sums:
    """Run the compiled recursion; CPU tensors (N, D, T)."""
    n_windows, n_directions, n_bars = e.shape
    total = torch.empty(2, n_windows, n_bars + 1, dtype=torch.float64)
    closing = torch.empty(2, n_windows, n_directions, n_bars + 1, dtype=torch.float64)
    fine = _scaled_sums(e, a, b, length, one, total, closing)  # (N,)
    if not fine.all():
        lost = (~fine).nonzero().squeeze(1)
        total[:, lost], closing[:, lost] = _log_sums(e[lost], a[lost], b[lost], length, one)
    return _summed(total, closing, one=one)


def _log_sums(
    e: Tensor, a: Tensor, b: Tensor, length: LengthScores, one: bool
) -> tuple[Tensor, Tensor]:
    """Sum in logarithms, which no score is too extreme for."""
    n_windows, n_directions, n_bars = e.shape
    total = np.empty((2, n_windows, n_bars + 1))
    closing = np.empty((2, n_windows, n_directions, n_bars + 1))
    table, ratio = length.table.double().numpy(), float(length.log_ratio)
    e_, a_, b_ = (x.double().numpy() for x in (e, a, b))
    chain.sums(e_, a_, b_, table, ratio, one, total, closing)
    return torch.from_numpy(total), torch.from_numpy(closing)


def _scaled_sums(
    e: Tensor,
    a: Tensor,
    b: Tensor,
    length: LengthScores,
    one: bool,
    total: Tensor,
    closing: Tensor,
) -> Tensor:
    """Fill ``total`` and ``closing``; (N,) where they are to be trusted."""
    rows = length_rows(length, e.shape[2]).exp_()  # (4, T)
    if not rows.min() > chain_scaled.LEAST:
        return torch.zeros(len(e), dtype=torch.bool)
    e_, a_, b_ = (x.double().exp().contiguous().numpy() for x in (e, a, b))
    ratio, size = float(length.log_ratio.exp()), length.table.shape[1]
    fine = np.empty((2, len(e)), np.bool_)
    out = (total.numpy(), closing.numpy(), fine)
    chain_scaled.sums(e_, a_, b_, rows.numpy(), ratio, size, one, *out)
    left, right = total.log1p_()  # what each bar adds, to be summed up
    left.cumsum_(1)
    right.copy_(right.flip(1).cumsum(1).flip(1))
    closing.log_()
    closing[0, :, :, 1:] += left[:, None, :-1]
    closing[1, :, :, :-1] += right[:, None, 1:]
    return torch.from_numpy(fine.all(0))


def _summed(total: Tensor, closing: Tensor, *, one: bool) -> Sums:
    log_z = closing[0].flatten(1).logsumexp(1) if one else total[0, :, -1]
    return Sums(total, closing, log_z)


@torch.no_grad()
def tensor_sums(
    e: Tensor, a: Tensor, b: Tensor, length: LengthScores, *, one: bool = False
) -> Sums:
    """Run the same recursion on any device, all windows and both ways at once."""
    n_windows, _, n_bars = e.shape
    read = (torch.cat([x, y.flip(2)]).double() for x, y in ((e, e), (a, b), (b, a)))
    total, closing = _recursion(e)(*read, reaches(length, n_bars), one=one)
    total, closing = (x.view(2, n_windows, *x.shape[1:]) for x in (total, closing))
    return _summed(*(torch.stack([x[0], x[1].flip(-1)]) for x in (total, closing)), one=one)


def reaches(length: LengthScores, n_bars: int) -> Tensor:
    """(2, T, T+1) float64 length score of a span from each start to each stop; -inf for none.

    ``[1]`` is of windows read from the right, where left and right change places.
    """
    rows = length_rows(length, n_bars)  # (4, T)
    start, stop = (torch.arange(n, device=rows.device) for n in (n_bars, n_bars + 1))
    bars = stop - start[:, None]  # (T, T+1)
    inner = rows[INNER][(bars - 1).clamp(0, n_bars - 1)].masked_fill(bars < 1, -torch.inf)
    reach = inner.repeat(2, 1, 1)
    reach[:, 0, 1:] = torch.stack([rows[LEFT], rows[RIGHT]])
    reach[:, :, -1] = torch.stack([rows[RIGHT], rows[LEFT]]).flip(1)
    reach[:, 0, -1] = rows[BOTH, -1]
    return reach


def _recursion(e: Tensor) -> Callable[..., tuple[Tensor, Tensor]]:
    """Choose a kernel for all bars where torch's CUDA brings Triton along, else many for each."""
    if not (e.is_cuda and find_spec("triton")):
        return bar_by_bar
    from deep.chain_triton import sums_of

    return sums_of


def bar_by_bar(
    e: Tensor, a: Tensor, b: Tensor, reach: Tensor, *, one: bool
) -> tuple[Tensor, Tensor]:
    """(M, T+1) ``total`` and (M, D, T+1) ``closing`` of windows read from the left.

    Each start is pushed to all stops still ahead, where the weights of all starts gather.

    Parameters
    ----------
    e, a, b : (M, D, T) float64
    reach : (2, T, T+1) float64
        Of the first and the second half of the windows, see `reaches`.
    one : bool
        See `deep.chain.sums`.
    """
    n_windows, _, n_bars = e.shape
    reach = reach.repeat_interleave(n_windows // 2, 0)[:, None]  # (M, 1, T, T+1)
    total = e.new_zeros(n_windows, n_bars + 1)
    closing = e.new_full((*e.shape[:2], n_bars + 1), -torch.inf)
    gathered = reach[:, :, 0].expand_as(closing).clone()  # (M, D, T+1) by stop
    prefix = e.cumsum(2)  # (M, D, T)
    for bar in range(n_bars):
        if bar > 0:
            start = total[:, bar, None] + a[..., bar] - prefix[..., bar - 1]  # (M, D)
            ahead = gathered[..., bar + 1 :]
            ahead.copy_(torch.logaddexp(ahead, start[..., None] + reach[:, :, bar, bar + 1 :]))
        closing[..., bar + 1] = prefix[..., bar] + gathered[..., bar + 1]
        if bar < n_bars - 1:
            closing[..., bar + 1] += b[..., bar]
        if not one:
            spans = closing[..., bar + 1].logsumexp(1)
            total[:, bar + 1] = torch.logaddexp(total[:, bar], spans)
    return total, closing


def length_rows(length: LengthScores, n_bars: int) -> Tensor:
    """(4, n_bars) length scores of visible lengths 1..n_bars, float64."""
    bars = torch.arange(1, n_bars + 1, device=length.table.device)
    size = length.table.shape[1]
    column, excess = bars.clamp(max=size) - 1, (bars - size).clamp(min=0)
    return length.table.double()[:, column] + excess * length.log_ratio.double()
