"""Given segmentations, and their scores: the other half of the log-likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from deep.chain import BOTH, INNER, LEFT, RIGHT
from deep.lengths import LengthScores
from proxytools.errors import InputError
from proxytools.types import Int, Spans


class Observed(NamedTuple):
    """The spans of each window, in as many columns as the most that any window has.

    Examples
    --------
    >>> observed = Observed.of([Spans.of([[(0, 2), (2, 3)], []])], n_bars=4)
    >>> observed.start, observed.stop, observed.weight
    (tensor([[0, 2],
            [0, 0]]), tensor([[2, 3],
            [1, 1]]), tensor([[1., 1.],
            [0., 0.]]))
    """

    start: Tensor  # (N, S) int64
    stop: Tensor  # (N, S) int64
    weight: Tensor  # (N, S) share of the segmentations that hold the span; 0 for none
    number: Tensor  # (N, 3) share of those with no span, one and several

    @classmethod
    def of(cls, levels: Sequence[Spans], n_bars: int) -> Self:
        """Take segmentations of the same windows, equally likely.

        Raises
        ------
        InputError
            A span outside of its window, empty, or overlapping the one before it.
        """
        for spans in levels:
            _check(spans, n_bars)
        n_windows = levels[0].n_windows
        window, start, stop = (
            np.concatenate([getattr(spans, name) for spans in levels])
            for name in ("window", "start", "stop")
        )
        order = np.argsort(window, kind="stable")
        window = window[order]
        column = np.arange(len(window)) - np.searchsorted(window, window)
        shape = n_windows, int(column.max(initial=-1)) + 1
        starts, stops = np.zeros(shape, np.int64), np.ones(shape, np.int64)
        weight = np.zeros(shape, np.float32)
        starts[window, column], stops[window, column] = start[order], stop[order]
        weight[window, column] = 1 / len(levels)
        several = np.stack([np.minimum(spans.count, 2) for spans in levels])  # (levels, N)
        number = np.stack([several == k for k in range(3)], -1).mean(0, dtype=np.float32)  # (N, 3)
        return cls(*map(torch.from_numpy, (starts, stops, weight, number)))

    def take(self, windows: Tensor) -> Observed:
        """Return the chosen windows, in that order."""
        return Observed(*(column[windows] for column in self))

    def to(self, device: torch.device | str) -> Observed:
        """Return the same on another device."""
        return Observed(*(column.to(device) for column in self))

    def score(self, e: Tensor, a: Tensor, b: Tensor, length: LengthScores) -> Tensor:
        """(N,) float64 score of the segmentations, mean over levels; differentiable.

        Parameters
        ----------
        e, a, b : (N, D, T)
            Scores by direction; a span's weight is the sum over its directions.
        length : LengthScores
        """
        n_bars = e.shape[2]
        cut_left, cut_right = self.start == 0, self.stop == n_bars  # (N, S)
        prefix = functional.pad(e.double().cumsum(2), (1, 0))  # (N, D, T+1)
        inside = _at(prefix, self.stop) - _at(prefix, self.start)  # (N, D, S)
        first = _at(a.double(), self.start).masked_fill(cut_left[:, None], 0)
        last = _at(b.double(), self.stop - 1).masked_fill(cut_right[:, None], 0)
        bars = self.stop - self.start
        size = length.table.shape[1]
        column, excess = bars.clamp(max=size) - 1, (bars - size).clamp(min=0)
        lengths = length.table.double()[_row(cut_left, cut_right), column]
        lengths = lengths + excess * length.log_ratio.double()  # (N, S)
        return (self.weight * ((inside + first + last).logsumexp(1) + lengths)).sum(1)


def _at(values: Tensor, place: Tensor) -> Tensor:
    """(N, D, S) values (N, D, T) at places (N, S)."""
    return values.gather(2, place[:, None].expand(-1, values.shape[1], -1))


def _row(cut_left: Tensor, cut_right: Tensor) -> Tensor:
    """Row of the length table for each way in which a window cuts."""
    inner = torch.where(cut_right, RIGHT, INNER)
    return torch.where(cut_left, torch.where(cut_right, BOTH, LEFT), inner)


def cut(spans: Spans, n_bars: int) -> Int:
    """(S,) how each span may be cut by its window: a row of the length table."""
    left, right = spans.start == 0, spans.stop == n_bars
    return np.select([left & right, left, right], [BOTH, LEFT, RIGHT], INNER)


def _check(spans: Spans, n_bars: int) -> None:
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
