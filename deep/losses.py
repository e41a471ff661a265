"""All tasks of a detector together: losses, their balance, and what checkpoints are chosen by.

The number that chooses the checkpoint is the one that is reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deep.model import SpanModel
from deep.settings import Settings
from deep.soft import soften
from deep.tasks import Countdown, Likelihood, Pointers, Task, Types, WeightedBars, chain
from proxytools.decode import Decoder
from proxytools.metrics.span_ap import average_precision
from proxytools.types import Spans

CANDIDATES = Decoder(high=0.3, low=0.2)
"""Reads off the spans whose average precision judges the mask head, before it has a decoder."""


@dataclass(frozen=True, eq=False)
class Objective:
    """The losses of all tasks over chosen windows.

    Parameters
    ----------
    tasks : dict of Task
        "span" and those beside it.
    weights : dict of float
        Of each task.
    spans : Spans
        The marks of all windows, or the likeliest of soft targets.
    settings : Settings
    """

    tasks: dict[str, Task]
    weights: dict[str, float]
    spans: Spans
    settings: Settings

    @classmethod
    def of(
        cls,
        settings: Settings,
        levels: list[Spans],
        target: NDArray[np.float32],
        *,
        none: int,
        device: torch.device,
    ) -> Objective:
        """Build the targets of every task.

        Parameters
        ----------
        levels : list of Spans
            The marks alone, or the equally likely segmentations of a soft target.
        target : (N, T)
            The mask, or the soft target.
        none : int
            Class of windows without a span.
        """
        n_bars, spans = target.shape[1], levels[len(levels) // 2]
        tasks: dict[str, Task] = {}
        if settings.head == "segmental":
            tasks["span"] = Likelihood(levels, n_bars, device)
        else:
            soft = soften(target, settings.soft_edge)
            tasks["span"] = WeightedBars(soft, settings.positive_weight, settings.focal, device)
        if settings.type:
            tasks["type"] = Types.of(spans, none, device)
        if settings.pointers:
            tasks["pointers"] = Pointers.of(spans, n_bars, device)
        if settings.countdown:
            tasks["countdown"] = Countdown.of(spans, n_bars, settings.countdown_target, device)
        return cls(tasks, settings.tasks, spans, settings)

    def losses(
        self, outputs: dict[str, Any], windows: Tensor, batch: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Loss of each task, unweighted: a mean over the windows that count.

        Parameters
        ----------
        outputs : dict
            The model's of ``windows`` (n,).
        batch : (m,) int64 Tensor, optional
            The windows that are averaged over, where ``windows`` are only one process's part of
            them; the parts' losses then add up to that of the batch.
        """
        whole = windows if batch is None else batch
        return {
            name: (task.loss(outputs, windows) * task.counts[windows]).sum()
            / task.counts[whole].sum().clamp(min=1)
            for name, task in self.tasks.items()
        }

    def total(self, model: SpanModel, losses: dict[str, Tensor]) -> Tensor:
        """Return what is minimised: the weighted sum of the losses.

        With learnt weights each loss is divided by twice the square of its task's learnt
        uncertainty, whose logarithm is added (Kendall, Gal, Cipolla 2018).
        """
        weighted = torch.stack([self.weights[name] * loss for name, loss in losses.items()])
        if model.log_sigma is not None:
            weighted = weighted / (2 * (2 * model.log_sigma).exp()) + model.log_sigma
        return weighted.sum()

    def prob(self, outputs: dict[str, Any]) -> Tensor:
        """(n, T) probability that a bar lies in a span, as `deep.reading` gives it without places.

        The exact posterior of the segmental head; of the mask head, that of the logit whose odds
        are divided by the weight of in-span bars.
        """
        if self.settings.head == "segmental":
            return chain(outputs["span"], outputs["length"], outputs["number"]).posterior()
        return torch.sigmoid(outputs["span"][..., 0] - np.log(self.settings.positive_weight))

    def held_out(
        self, outputs: dict[str, Any], losses: dict[str, Tensor], windows: Tensor
    ) -> float:
        """Return the metric of the settings on windows not learnt from; larger is better.

        ``losses`` are those of the outputs.
        """
        if self.settings.choose_by == "loss":
            return -float(torch.stack(list(losses.values())).sum())
        if self.settings.head == "segmental":
            return -float(losses["span"])
        found = CANDIDATES.spans(self.prob(outputs).numpy(force=True))
        return average_precision(found, self.spans.take(windows.cpu().numpy())) or 0.0
