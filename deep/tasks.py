"""What each head learns from and its loss, one value a window.

A task holds the targets of all training windows on the model's device. Windows it has nothing to
say about (no span to point at) are masked: they weigh nothing in its mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from deep.lengths import LengthScores
from deep.observed import Observed
from deep.segmental import SpanChain
from proxytools.types import Float, Spans

HORIZON = 20  # bars at which a countdown is clipped
POINTERS_DELTA, COUNTDOWN_DELTA = 0.08, 1.0  # of the Huber losses


class Task(Protocol):
    """Targets of one head."""

    @property
    def counts(self) -> Tensor:
        """(N,) 1 where a window's loss counts, 0 where it is masked."""
        ...

    def loss(self, outputs: dict[str, Any], windows: Tensor) -> Tensor:
        """(n,) loss of each of the chosen windows; ``outputs`` are the model's of them."""
        ...


def chain(scores: Tensor, length: LengthScores, number: Tensor | None = None) -> SpanChain:
    """Distribution over spans from scores (N, T, 3 D), three for each direction."""
    n_windows, n_bars, width = scores.shape
    e, a, b = scores.reshape(n_windows, n_bars, width // 3, 3).permute(3, 0, 2, 1)  # (N, D, T) each
    return SpanChain(e, a, b, length, number)


class Likelihood:
    """Negative exact log-likelihood of the spans, in nats.

    Parameters
    ----------
    levels : sequence of Spans
        Segmentations of the same windows, equally likely: the marks alone, or
        `deep.soft.level_spans`.
    """

    def __init__(self, levels: list[Spans], n_bars: int, device: torch.device) -> None:
        self.observed = Observed.of(levels, n_bars).to(device)
        self.counts = torch.ones(levels[0].n_windows, device=device)

    def loss(self, outputs: dict[str, Any], windows: Tensor) -> Tensor:
        """Loss of the scores under ``span``, by those under ``length`` and ``number``."""
        found = chain(outputs["span"], outputs["length"], outputs["number"])
        return -found.log_likelihood(self.observed.take(windows))


class WeightedBars:
    """Binary cross-entropy of bars, mean over a window; those in spans may weigh more.

    With ``focal`` above 0 a bar weighs ``(1 - p) ** focal`` times as much, ``p`` being the
    probability given to what it is (Lin et al. 2017).

    Parameters
    ----------
    target : (N, T) float32
        In [0, 1].
    """

    def __init__(
        self, target: Float, positive_weight: float, focal: float, device: torch.device
    ) -> None:
        self.target = torch.from_numpy(target).to(device)  # (N, T)
        self.positive_weight = torch.tensor(positive_weight, device=device)
        self.focal = focal
        self.counts = torch.ones(len(target), device=device)

    def loss(self, outputs: dict[str, Any], windows: Tensor) -> Tensor:
        """Loss of the logits under ``span`` (n, T, 1)."""
        logit, target = outputs["span"][..., 0], self.target[windows]  # (n, T)
        loss = functional.binary_cross_entropy_with_logits(
            logit, target, pos_weight=self.positive_weight, reduction="none"
        )
        if self.focal:
            prob = torch.sigmoid(logit)
            loss = loss * (target * (1 - prob) + (1 - target) * prob) ** self.focal
        return loss.mean(1)


@dataclass(frozen=True, eq=False)
class Types:
    """Cross-entropy of a window's class: that of its longest span, or of having none.

    Parameters
    ----------
    code : (N,) int64
    """

    code: Tensor
    counts: Tensor

    @classmethod
    def of(cls, spans: Spans, none: int, device: torch.device) -> Self:
        """Take the longest span of each window; ``none`` is the class of windows without."""
        longest = _longest(spans)
        code = np.where(longest >= 0, np.append(spans.label, 0)[longest], none)
        return cls(torch.from_numpy(code).to(device), torch.ones(len(code), device=device))

    def loss(self, outputs: dict[str, Any], windows: Tensor) -> Tensor:
        """Loss of the logits under ``type`` (n, C)."""
        return functional.cross_entropy(outputs["type"], self.code[windows], reduction="none")


@dataclass(frozen=True, eq=False)
class Pointers:
    """Huber loss of the longest span's centre and length, as shares of the window.

    Parameters
    ----------
    target : (N, 2) float32
        ``(start + last) / 2 / T`` and ``(last - start) / T``, ``last`` being the last bar inside.
    """

    target: Tensor
    counts: Tensor

    @classmethod
    def of(cls, spans: Spans, n_bars: int, device: torch.device) -> Self:
        """Mask windows without a span."""
        longest = _longest(spans)
        start, last = (np.append(x, 0)[longest] for x in (spans.start, spans.stop - 1))
        target = np.stack([(start + last) / 2, last - start], 1) / n_bars
        return cls(torch.from_numpy(target).float().to(device), _seen(spans, device))

    def loss(self, outputs: dict[str, Any], windows: Tensor) -> Tensor:
        """Loss of the shares under ``pointers`` (n, 2)."""
        return functional.huber_loss(
            outputs["pointers"], self.target[windows], delta=POINTERS_DELTA, reduction="none"
        ).mean(1)


@dataclass(frozen=True, eq=False)
class Countdown:
    """Huber loss of the bars that remain until a span starts.

    Parameters
    ----------
    target : (N, T) float32
        See `countdown`.
    """

    target: Tensor
    counts: Tensor

    @classmethod
    def of(cls, spans: Spans, n_bars: int, kind: str, device: torch.device) -> Self:
        """Mask windows without a span."""
        target = torch.from_numpy(countdown(spans, n_bars)).to(device)
        if kind == "normalised":
            target = (target + HORIZON) / (2 * HORIZON)
        return cls(target, _seen(spans, device))

    def loss(self, outputs: dict[str, Any], windows: Tensor) -> Tensor:
        """Loss of the numbers under ``countdown`` (n, T)."""
        return functional.huber_loss(
            outputs["countdown"], self.target[windows], delta=COUNTDOWN_DELTA, reduction="none"
        ).mean(1)


def countdown(spans: Spans, n_bars: int) -> NDArray[np.float32]:
    """(N, T) bars until the next span starts, within 20 bars; after the last start, since that.

    All 0 in windows without a span.

    Examples
    --------
    >>> countdown(Spans.of([[(2, 4), (5, 6)], []]), n_bars=7)[0]
    array([ 2.,  1.,  0.,  2.,  1.,  0., -1.], dtype=float32)
    """
    bars = np.arange(n_bars)
    target = np.zeros((spans.n_windows, n_bars), np.float32)
    for window in np.unique(spans.window):
        starts = spans.start[spans.window == window]  # sorted
        following = starts[np.minimum(np.searchsorted(starts, bars), len(starts) - 1)]
        target[window] = np.clip(following - bars, -HORIZON, HORIZON)
    return target


def _longest(spans: Spans) -> NDArray[np.int64]:
    """(N,) index of each window's longest span, the first of equals; -1 for none."""
    longest = np.full(spans.n_windows, -1)
    order = np.lexsort((-spans.start, spans.length))  # written last: the longest, earliest
    longest[spans.window[order]] = order
    return longest


def _seen(spans: Spans, device: torch.device) -> Tensor:
    return torch.from_numpy((spans.count > 0).astype(np.float32)).to(device)
