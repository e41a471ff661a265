"""Soft targets: masks with softened edges, and probabilities cut into spans."""

from __future__ import annotations

import numpy as np

from deep.lengths import LengthPrior, start_bias, uncut
from proxytools.types import Float, Int, Spans

LEVELS = 8  # at which soft targets are cut into spans


def soften(target: Float, width: int) -> Float:
    """Let a mask rise and fall over ``2 * width + 1`` bars; whole windows keep their edges.

    Examples
    --------
    >>> soften(np.array([[0, 0, 1, 1, 1, 0]]), 1).round(2)
    array([[0.  , 0.33, 0.67, 1.  , 0.67, 0.33]], dtype=float32)
    """
    padded = np.pad(np.asarray(target, np.float32), ((0, 0), (width, width)), mode="edge")
    runs = np.lib.stride_tricks.sliding_window_view(padded, 2 * width + 1, axis=1)
    soft: Float = runs.mean(2, dtype=np.float32)  # (N, T)
    return soft


def level_spans(target: Float, n_levels: int = LEVELS) -> list[Spans]:
    """Cut soft targets (N, T) into equally likely segmentations whose mean mask they are.

    A target is the mean of its level sets, ``y = integral of [y > u] over u``; the levels are the
    middles of ``n_levels`` equal steps, of which a mask needs only one.

    Examples
    --------
    >>> low, high = level_spans(np.array([[0.0, 0.4, 0.9]]), 2)
    >>> low.start, high.start
    (array([1]), array([2]))
    """
    if np.all((target == 0) | (target == 1)):
        n_levels = 1
    levels = (np.arange(n_levels) + 0.5) / n_levels
    return [_runs(target > level) for level in levels]


def _runs(inside: Float) -> Spans:
    edges = np.diff(np.pad(inside, ((0, 0), (1, 1))).astype(np.int8), axis=1)  # (N, T+1)
    window, start = np.nonzero(edges == 1)
    return Spans(window, start, np.nonzero(edges == -1)[1], len(inside))


def prior_of(
    levels: list[Spans], windows: Int, n_bars: int, l_max: int
) -> tuple[LengthPrior, float]:
    """Length prior and start bias from the spans of the chosen windows."""
    spans = all_levels(levels, windows)
    lengths = spans.length[uncut(spans, n_bars)]
    return LengthPrior.of(lengths, l_max), start_bias(spans, n_bars)


def all_levels(levels: list[Spans], windows: Int) -> Spans:
    """Spans of the chosen windows, as many windows as there are levels for each of them."""
    chosen = [spans.take(windows) for spans in levels]
    places = [np.arange(len(windows)) + k * len(windows) for k in range(len(chosen))]
    return Spans.concatenate(chosen, places, len(windows) * len(chosen))
