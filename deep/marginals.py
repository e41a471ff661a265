"""What the log-likelihood's gradient is made of: observed counts less expected counts.

The chain is an exponential family: a segmentation's score is the inner product of the scores with
how often it uses each of them (`Counts`), and the gradient of the log partition function is the
expectation of those counts under the posterior.
"""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from deep.chain import BOTH, INNER, LEFT, RIGHT, sums
from deep.lengths import LengthScores
from proxytools.errors import InputError
from proxytools.types import Int, Spans


class Counts(NamedTuple):
    """How often a window's segmentation uses each score; expected counts are probabilities.

    Examples
    --------
    >>> counts = Counts.of(Spans.of([[(0, 2), (2, 3)]]), n_bars=4, l_max=5)
    >>> counts.bar, counts.first, counts.last
    (tensor([[1., 1., 1., 0.]]), tensor([[0., 0., 1., 0.]]), tensor([[0., 1., 1., 0.]]))
    """

    bar: Tensor  # (N, T) in a span
    first: Tensor  # (N, T) a span starts, seen to: bar 0 is never
    last: Tensor  # (N, T) a span ends, seen to: bar T-1 is never
    length: Tensor  # (N, 4, Lmax+1) spans by how they are cut and by visible length
    excess: Tensor  # (N,) bars beyond Lmax+1 in longer spans

    @classmethod
    def of(cls, spans: Spans, n_bars: int, l_max: int) -> Self:
        """Count what given segmentations use: float32 on the CPU.

        Raises
        ------
        InputError
            A span outside of its window, empty, or overlapping the one before it.
        """
        window, start, stop = spans.window, spans.start, spans.stop
        meets = (window[1:] == window[:-1]) & (start[1:] < stop[:-1])
        bad = (start < 0) | (stop > n_bars) | (stop <= start)
        bad[1:] |= meets
        if bad.any():
            k = int(bad.argmax())
            raise InputError(
                f"window {window[k]}, span {k}",
                got=f"[{start[k]}, {stop[k]})",
                expected=f"a span within [0, {n_bars}) that overlaps no other",
            )
        bar = spans.mask(n_bars).astype(np.float32)  # (N, T)
        first, last = np.zeros_like(bar), np.zeros_like(bar)
        length = np.zeros((spans.n_windows, 4, l_max + 1), np.float32)
        excess = np.zeros(spans.n_windows, np.float32)
        seen = start > 0
        first[window[seen], start[seen]] = 1
        seen = stop < n_bars
        last[window[seen], stop[seen] - 1] = 1
        column = np.minimum(spans.length, l_max + 1) - 1
        np.add.at(length, (window, cut(spans, n_bars), column), 1)
        np.add.at(excess, window, np.maximum(spans.length - (l_max + 1), 0))
        return cls(*map(torch.from_numpy, (bar, first, last, length, excess)))

    def take(self, windows: Tensor) -> Counts:
        """Return the counts of the chosen windows, in that order."""
        return Counts(*(column[windows] for column in self))

    def to(self, device: torch.device | str) -> Counts:
        """Return the counts on another device."""
        return Counts(*(column.to(device) for column in self))


def cut(spans: Spans, n_bars: int) -> Int:
    """(S,) how each span may be cut by its window: a row of the length table."""
    left, right = spans.start == 0, spans.stop == n_bars
    return np.select([left & right, left, right], [BOTH, LEFT, RIGHT], INNER)


class Sums(NamedTuple):
    """Log weights of partial segmentations; see `deep.chain.sums`. ``[0]`` left, ``[1]`` right."""

    total: Tensor  # (2, N, T+1) float64
    closing: Tensor  # (2, N, T+1) float64

    @property
    def log_z(self) -> Tensor:
        """(N,) the log partition function."""
        return self.total[0, :, -1]


def compiled_sums(e: Tensor, a: Tensor, b: Tensor, length: LengthScores) -> Sums:
    """Run the compiled recursion; CPU tensors, read in place."""
    shape = (2, e.shape[0], e.shape[1] + 1)
    total, closing = np.empty(shape), np.empty(shape)
    e_, a_, b_ = (x.detach().contiguous().numpy() for x in (e, a, b))
    table = length.table.detach().double().numpy()
    sums(e_, a_, b_, table, float(length.log_ratio.detach()), total, closing)
    return Sums(torch.from_numpy(total), torch.from_numpy(closing))


@torch.no_grad()
def tensor_sums(e: Tensor, a: Tensor, b: Tensor, length: LengthScores) -> Sums:
    """Run the same recursion in tensor operations, all windows at once, on any device."""
    n_windows, n_bars = e.shape
    size = length.table.shape[1]
    by_length = length_rows(length, n_bars)  # (4, T)
    rows = [LEFT, RIGHT], [RIGHT, LEFT]  # read from the right, left and right change places
    near, far = (by_length[r].repeat_interleave(n_windows, 0) for r in rows)  # (2N, T)
    e, a, b = (torch.cat([x, y.flip(1)]).double() for x, y in ((e, e), (a, b), (b, a)))  # (2N, T)
    prefix = e.cumsum(1)
    inner = length.table[INNER].double()
    reach = inner[:-1].flip(0)  # (Lmax,) longest first, as starts stand before a stop
    opened = e.new_full((2 * n_windows, size + n_bars), -torch.inf)  # start s at size + s
    total = e.new_zeros(2 * n_windows, n_bars + 1)
    closing = torch.full_like(total, -torch.inf)
    tail = closing[:, 0]
    for stop in range(1, n_bars):
        starts = opened[:, stop + 1 : stop + size]  # (2N, Lmax) of bars stop-Lmax..stop-1
        tail = torch.logaddexp(tail + length.log_ratio, opened[:, stop] + inner[-1])
        edge = torch.logaddexp(tail, near[:, stop - 1])
        spans = torch.logaddexp(torch.logsumexp(starts + reach, 1), edge)
        closing[:, stop] = prefix[:, stop - 1] + b[:, stop - 1] + spans
        total[:, stop] = torch.logaddexp(total[:, stop - 1], closing[:, stop])
        opened[:, size + stop] = total[:, stop] + a[:, stop] - prefix[:, stop - 1]
    last = opened[:, size + 1 :] + far[:, : n_bars - 1].flip(1)  # (2N, T-1)
    whole = by_length[BOTH, -1].expand(2 * n_windows, 1)
    closing[:, -1] = prefix[:, -1] + torch.logsumexp(torch.cat([last, whole], 1), 1)
    total[:, -1] = torch.logaddexp(total[:, -2], closing[:, -1])
    total, closing = (x.view(2, n_windows, n_bars + 1) for x in (total, closing))
    return Sums(*(torch.stack([x[0], x[1].flip(1)]) for x in (total, closing)))


def length_rows(length: LengthScores, n_bars: int) -> Tensor:
    """(4, n_bars) length scores of visible lengths 1..n_bars, float64."""
    bars = torch.arange(1, n_bars + 1, device=length.table.device)
    size = length.table.shape[1]
    column, excess = bars.clamp(max=size) - 1, (bars - size).clamp(min=0)
    return length.table.double()[:, column] + excess * length.log_ratio.double()


def outside(sums: Sums) -> Tensor:
    """(N, T) probability that a bar lies in no span."""
    return torch.exp(sums.total[0, :, :-1] + sums.total[1, :, 1:] - sums.log_z[:, None])


def starts(sums: Sums) -> Tensor:
    """(N, T) probability that a visible span starts at a bar, bar 0 included."""
    return torch.exp(sums.total[0, :, :-1] + sums.closing[1, :, :-1] - sums.log_z[:, None])


def stops(sums: Sums) -> Tensor:
    """(N, T) probability that a visible span ends with a bar, bar T-1 included."""
    return torch.exp(sums.closing[0, :, 1:] + sums.total[1, :, 1:] - sums.log_z[:, None])


@torch.no_grad()
def expected(e: Tensor, a: Tensor, b: Tensor, length: LengthScores, sums: Sums) -> Counts:
    """Expect counts under the posterior, float64: the gradient of the log partition function."""
    first, last = starts(sums), stops(sums)
    first[:, 0], last[:, -1] = 0, 0
    lengths, excess = _lengths(e, a, b, length, sums)
    return Counts(1 - outside(sums), first, last, lengths, excess)


def _lengths(
    e: Tensor, a: Tensor, b: Tensor, length: LengthScores, sums: Sums
) -> tuple[Tensor, Tensor]:
    """(N, 4, Lmax+1) expected spans by kind and length, and (N,) expected excess."""
    n_windows, n_bars = e.shape
    size = length.table.shape[1]
    by_length = length_rows(length, n_bars)  # (4, T)
    prefix = e.double().cumsum(1)  # (N, T)
    whole = prefix[:, -1:] - sums.log_z[:, None]  # (N, 1)
    # what its start and its stop, boundaries 1..T-1, contribute to a span's log probability
    opened = sums.total[0, :, 1:-1] + a[:, 1:] - prefix[:, :-1]  # (N, T-1)
    closed = sums.total[1, :, 1:-1] + b[:, :-1] + prefix[:, :-1] - sums.log_z[:, None]  # (N, T-1)
    prob = prefix.new_zeros(n_windows, 4, n_bars)  # by visible length
    prob[:, LEFT, :-1] = torch.exp(closed + by_length[LEFT, :-1])
    prob[:, RIGHT, :-1] = torch.exp(opened.flip(1) + whole + by_length[RIGHT, :-1])
    prob[:, BOTH, -1] = torch.exp(whole[:, 0] + by_length[BOTH, -1])
    near = min(size, n_bars) - 1
    if near:
        stop = functional.pad(closed[:, 1:], (0, near), value=-torch.inf).unfold(1, near, 1)
        pairs = opened[:, :, None] + stop + by_length[INNER, :near]  # (N, T-1, near)
        prob[:, INNER, :near] = pairs.exp_().sum(1)
    counts = functional.pad(prob[:, :, :size], (0, max(size - n_bars, 0)))  # (N, 4, Lmax+1)
    counts[:, :, -1] += prob[:, :, size:].sum(2)
    beyond = 1 + torch.arange(max(n_bars - size, 0), dtype=torch.float64, device=e.device)
    excess = (prob[:, :, size:] @ beyond).sum(1)  # (N,)
    if n_bars - 1 > size:
        tail, tail_excess = _tail(opened, closed, length)
        counts[:, INNER, -1] += tail
        excess += tail_excess
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
