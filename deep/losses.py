"""What each head learns from, its loss, and what its checkpoints are chosen by.

An objective holds the targets of all training windows on the model's device. The number that
chooses the checkpoint is the one that is reported.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from deep.lengths import LengthPrior, LengthScores, start_bias, uncut
from deep.marginals import Counts
from deep.model import SpanModel
from deep.segmental import SpanChain
from proxytools.metrics.bar import bar_metrics
from proxytools.types import Float, Int, Spans

LEVELS = 8  # at which soft targets are cut into spans


class Objective(Protocol):
    """A loss over chosen windows, and what to choose checkpoints by (larger is better)."""

    metric: str

    def loss(self, model: SpanModel, scores: Tensor, windows: Tensor) -> Tensor:
        """Mean over the chosen windows (n,); ``scores`` (n, T, K) are the model's of them."""
        ...

    def held_out(self, model: SpanModel, scores: Tensor, windows: Tensor) -> float:
        """Return the metric on windows that the model did not learn from."""
        ...


def chain(scores: Tensor, length: LengthScores) -> SpanChain:
    """Distribution over spans from scores (N, T, 3)."""
    e, a, b = scores.unbind(2)  # (N, T) each
    return SpanChain(e, a, b, length)


class Likelihood:
    """Exact log-likelihood of the spans; held out, the same, in nats a window.

    Parameters
    ----------
    levels : sequence of Spans
        Segmentations of the same windows, equally likely: the marks alone, or `level_spans`.
    """

    metric = "log_likelihood"

    def __init__(self, levels: list[Spans], n_bars: int, l_max: int, device: torch.device) -> None:
        counts = [Counts.of(spans, n_bars, l_max) for spans in levels]
        self.counts = Counts(
            *(torch.stack(column).mean(0) for column in zip(*counts, strict=True))
        ).to(device)

    def loss(self, model: SpanModel, scores: Tensor, windows: Tensor) -> Tensor:
        """Negative log-likelihood, mean over windows."""
        found = chain(scores, model.length()).log_likelihood(self.counts.take(windows))
        return -found.mean()

    def held_out(self, model: SpanModel, scores: Tensor, windows: Tensor) -> float:
        """Log-likelihood, mean over windows."""
        return -float(self.loss(model, scores, windows))


class WeightedBars:
    """Binary cross-entropy of bars, those in spans weighing more, edges softened.

    Held out it is judged by average precision over bars, which no weight moves.
    """

    metric = "average_precision"

    def __init__(
        self, target: Float, positive_weight: float, soft_edge: int, device: torch.device
    ) -> None:
        self.hard = target >= 0.5  # (N, T)
        self.target = torch.from_numpy(soften(target, soft_edge)).to(device)  # (N, T)
        self.positive_weight = torch.tensor(positive_weight, device=device)

    def loss(self, model: SpanModel, scores: Tensor, windows: Tensor) -> Tensor:
        """Weighted cross-entropy, mean over bars."""
        return functional.binary_cross_entropy_with_logits(
            scores[..., 0], self.target[windows], pos_weight=self.positive_weight
        )

    def held_out(self, model: SpanModel, scores: Tensor, windows: Tensor) -> float:
        """Average precision over bars; 0 where no bar lies in a span."""
        prob = torch.sigmoid(scores[..., 0]).cpu().numpy()
        found = bar_metrics(prob, self.hard[windows.cpu().numpy()])["average_precision"]
        return found or 0.0


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
    chosen = [spans.take(windows) for spans in levels]
    lengths = np.concatenate([spans.length[uncut(spans, n_bars)] for spans in chosen])
    places = [np.arange(len(windows)) + k * len(windows) for k in range(len(chosen))]
    joined = Spans.concatenate(chosen, places, len(windows) * len(chosen))
    return LengthPrior.of(lengths, l_max), start_bias(joined, n_bars)
