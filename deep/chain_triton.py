"""The chain's recursion on a GPU: one program reads one window, all of them in one launch.

Bar after bar in tensor operations (`deep.sums.bar_by_bar`) a window of 105 bars is a thousand
kernels, each launched when the last is over. Here a program keeps what has gathered at every stop
in its registers. O(T * T) a window.
"""

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

STOPS_A_WARP = 64


@triton.jit
def _sums(  # type: ignore[no-untyped-def]  # Triton reads annotations as its own
    e,
    a,
    b,
    reach,
    total,
    closing,
    n_bars,
    ONE: tl.constexpr,
    D: tl.constexpr,
    STOPS: tl.constexpr,
):
    """Fill total (M, T+1) and closing (M, D, T+1); grid (M,), see `deep.sums.bar_by_bar`."""
    window, n_windows = tl.program_id(0), tl.num_programs(0)
    direction, stop = tl.arange(0, D), tl.arange(0, STOPS)
    bars = (window * D + direction) * n_bars
    edges = (window * D + direction) * (n_bars + 1)
    reach += (window * 2 // n_windows) * n_bars * (n_bars + 1)
    total += window * (n_bars + 1)

    before = tl.zeros((), tl.float64)
    prefix = tl.zeros((D,), tl.float64)
    tl.store(total, before)
    tl.store(closing + edges, prefix - float("inf"))
    within = stop <= n_bars
    # At each stop the sum of weights ``gathered * exp(high)``.
    high = prefix[:, None] + tl.load(reach + stop, within, other=0.0)[None, :]  # (D, STOPS)
    gathered = tl.full((D, STOPS), 1.0, tl.float64)
    for bar in range(n_bars):
        if bar > 0:
            start = before + tl.load(a + bars + bar) - prefix  # (D,)
            ahead = tl.load(reach + bar * (n_bars + 1) + stop, within, other=0.0)  # (STOPS,)
            weight = start[:, None] + ahead[None, :]
            less = tl.exp(-tl.abs(weight - high))
            gathered = tl.where(weight > high, gathered * less + 1.0, gathered + less)
            high = tl.maximum(high, weight)
        prefix += tl.load(e + bars + bar)
        here = (stop == bar + 1)[None, :]
        spans = prefix + tl.sum(tl.where(here, high, 0.0), 1)  # (D,)
        spans += tl.log(tl.sum(tl.where(here, gathered, 0.0), 1))
        if bar < n_bars - 1:
            spans += tl.load(b + bars + bar)
        tl.store(closing + edges + bar + 1, spans)
        if not ONE:
            top = tl.maximum(before, tl.max(spans, 0))
            before = top + tl.log(tl.exp(before - top) + tl.sum(tl.exp(spans - top), 0))
        tl.store(total + bar + 1, before)


def sums_of(e: Tensor, a: Tensor, b: Tensor, reach: Tensor, *, one: bool) -> tuple[Tensor, Tensor]:
    """Compute what `deep.sums.bar_by_bar` does; the number of directions a power of two."""
    n_windows, n_directions, n_bars = e.shape
    total = e.new_empty(n_windows, n_bars + 1)
    closing = e.new_empty(n_windows, n_directions, n_bars + 1)
    stops = triton.next_power_of_2(n_bars + 1)
    _sums[(n_windows,)](
        *(x.contiguous() for x in (e, a, b, reach)),
        *(total, closing, n_bars),
        ONE=one,
        D=n_directions,
        STOPS=stops,
        num_warps=min(8, max(1, n_directions * stops // STOPS_A_WARP)),
    )
    return total, closing
