"""What is recorded of a training while it runs: an observer, whose rows become the tables.

Losses of the phase ``train`` are those that were minimised, dropout included. Everything else is of
the averaged weights, which are what is kept, without dropout: ``val`` on all windows held out,
``train`` on a sample of at most 16 of those learnt from. Probabilities are those a user gets: the
exact posterior of the segmental head, the calibrated ones of the mask head.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deep.gradients import LayerNorms, pulls
from deep.losses import Objective
from deep.model import SpanModel
from deep.segmental import SegmentalHead
from deep.tables import COLUMNS, STATISTICS, TASKS, Rows
from deep.train import Observer
from deep.training import Epoch, Training
from proxytools.metrics.span import window_bar_f1
from proxytools.types import Bool, Float

SAMPLE = 16  # windows learnt from on which probabilities and gradients are looked at
PULLS_EVERY = 10  # passes from one look at the tasks' gradients to the next: it costs most
CONSTANT_LOGITS = (-8.0, 8.0, 161)  # among which the best constant of a mask is looked for


class Recorder(Observer):
    """Records every training it looks on at.

    Parameters
    ----------
    names : sequence of str
        Of the features.

    Attributes
    ----------
    rows : dict of list of dict
        By table, see `deep.tables`.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.rows: Rows = {name: [] for name in COLUMNS}
        self.base_loss = np.nan
        self.held_out: tuple[dict[str, Any], dict[str, Tensor]] | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return all rows so far, and what the training that runs is compared with."""
        return {"rows": self.rows, "base_loss": self.base_loss}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.rows = {name: list(state["rows"][name]) for name in COLUMNS}
        self.base_loss = float(state["base_loss"])

    def start(
        self,
        run: str,
        training: Training,
        objective: Objective,
        values: Tensor,
        learnt: Tensor,
        held: Tensor | None,
    ) -> None:
        """Choose the sample, and record what stays the same in all passes."""
        self.norms = LayerNorms(training.model)
        every = torch.linspace(0, len(learnt) - 1, min(SAMPLE, len(learnt))).round().long()
        windows = {"train": learnt[every.to(learnt.device)]}
        if held is not None:
            windows["val"] = held
        self.watched = Watched(objective, windows, values[windows["train"]])
        if training.history:  # it goes on; see `load_state_dict`
            return
        judge = windows.get("val", windows["train"])
        self.base_loss = _base_loss(training.averaged, objective, values[judge], judge)
        for phase, chosen in {**windows, "train": learnt}.items():
            bars = values[chosen].flatten(0, 1).numpy(force=True)  # (n * T, F)
            for name, column in zip(self.names, bars.T, strict=True):
                at = {"run": run, "epoch": 1, "phase": phase, "feature_name": name}
                self.rows["feature_stats"].append(at | _summary(column))

    def batch(self, model: SpanModel) -> None:
        """Add the gradients up."""
        self.norms.add()

    def judged(self, outputs: dict[str, Any], losses: dict[str, Tensor]) -> None:
        """Keep what the held-out windows gave until the pass is summed up."""
        self.held_out = outputs, losses

    @torch.no_grad()
    def epoch(self, done: Epoch, training: Training) -> None:
        """Record a pass."""
        watched, model = self.watched, training.averaged
        norms: dict[str, float] = {}
        if done.epoch % PULLS_EVERY == 1:
            norms = pulls(model, watched.objective, watched.values, watched.windows["train"])
        outputs = model(watched.values)
        sigma, weight = _balance(model, watched.objective)
        at = {"run": done.run, "epoch": done.epoch}
        self._add("uncertainty_params", at, _by_task("sigma", sigma), _by_task("weight", weight))
        self._add("gradient_stats", at, self.norms.taken())
        self._add(
            "task_shares",
            at,
            _by_task("loss_share", _shares(done.losses, weight)),
            _by_task("gradient_share", _shares(norms, weight)),
        )
        self._losses(at, "train", done.losses, done.loss)
        self._probabilities(at, "train", outputs)
        metrics: dict[str, Any] = {"train_loss": done.loss, "base_span_loss": self.base_loss}
        if self.held_out is not None:
            outputs, held = self.held_out
            total = watched.objective.total(model, held)
            *losses, whole = torch.stack([*held.values(), total]).tolist()
            self._losses(at, "val", dict(zip(held, losses, strict=True)), whole)
            prob = self._probabilities(at, "val", outputs)
            metrics |= {"val_loss": whole, **_bar_f1(prob, watched.inside["val"])}
            self.held_out = None
        self._add("epoch_metrics", at, metrics, {"held_out": done.held_out, "best": done.best})

    def _add(self, table: str, *parts: dict[str, Any]) -> None:
        self.rows[table].append({name: value for part in parts for name, value in part.items()})

    def _losses(
        self, at: dict[str, Any], phase: str, losses: dict[str, float], total: float
    ) -> None:
        by_task = _by_task("loss", losses)
        self._add("loss_components", at, {"phase": phase, **by_task, "total_loss": total})

    def _probabilities(self, at: dict[str, Any], phase: str, outputs: dict[str, Any]) -> Float:
        prob: Float = self.watched.objective.prob(outputs).numpy(force=True)  # (n, T)
        inside = self.watched.inside[phase]
        both = {"in_span": _summary(prob[inside]), "out_span": _summary(prob[~inside])}
        row = {f"{side}_{name}": x for side, stats in both.items() for name, x in stats.items()}
        separation = row["in_span_mean"] - row["out_span_mean"]
        self._add("probability_stats", at, {"phase": phase, **row, "separation": separation})
        return prob


@dataclass(eq=False)
class Watched:
    """What one training is looked at by.

    Parameters
    ----------
    windows : dict of (n,) int64 Tensor
        By phase: the sample of those learnt from, and those held out, if any.
    values : (n, T, F) Tensor
        Features of the sample.
    """

    objective: Objective
    windows: dict[str, Tensor]
    values: Tensor

    def __post_init__(self) -> None:
        n_bars, spans = self.values.shape[1], self.objective.spans
        self.inside: dict[str, Bool] = {
            phase: spans.take(chosen.numpy(force=True)).mask(n_bars).astype(bool)  # (n, T)
            for phase, chosen in self.windows.items()
        }


@torch.no_grad()
def _base_loss(model: SpanModel, objective: Objective, values: Tensor, windows: Tensor) -> float:
    """Loss of the spans where every bar is scored alike: it knows how often, and not where.

    For the segmental head the chain it starts as, for the mask the best constant.
    """
    task = objective.tasks["span"]
    if isinstance(model.head, SegmentalHead):
        with model.head.scores.register_forward_hook(_alike):
            return float(task.loss(model(values), windows).mean())
    logits = torch.linspace(*CONSTANT_LOGITS, device=windows.device)
    losses = [task.loss({"span": x.expand(*values.shape[:2], 1)}, windows).mean() for x in logits]
    return float(torch.stack(losses).min())


def _alike(scores: nn.Module, _: Any, given: Tensor) -> Tensor:
    return cast(nn.Linear, scores).bias.expand_as(given)


def _balance(model: SpanModel, objective: Objective) -> tuple[dict[str, float], dict[str, float]]:
    """Learnt uncertainty of each task, where there is one, and the weight that comes of it."""
    if model.log_sigma is None:
        return {}, dict(objective.weights)
    sigma = dict(zip(objective.tasks, model.log_sigma.exp().tolist(), strict=True))
    return sigma, {name: objective.weights[name] / (2 * x**2) for name, x in sigma.items()}


def _by_task(what: str, values: dict[str, float]) -> dict[str, float | None]:
    return {f"{what}_{short}": values.get(task) for short, task in TASKS.items()}


def _shares(values: dict[str, float], weights: dict[str, float]) -> dict[str, float]:
    parts = {name: weights[name] * value for name, value in values.items()}
    whole = sum(parts.values())
    return {name: part / whole for name, part in parts.items()} if whole > 0 else {}


def _summary(x: NDArray[np.float32]) -> dict[str, float]:
    if not len(x):
        return dict.fromkeys(STATISTICS, np.nan)
    wide = x.astype(np.float64)
    figures = wide.mean(), wide.std(), wide.min(), wide.max(), np.median(wide)
    return dict(zip(STATISTICS, map(float, figures), strict=True))


def _bar_f1(prob: Float, inside: Bool) -> dict[str, float | None]:
    """Bars of a window at a threshold of 0.5, averaged over windows, as the predecessor did."""
    if not np.isfinite(prob).all():  # diverged; the verdict will say so
        return {}
    found = window_bar_f1(prob, inside)
    return {f"span_{name}": found[f"bar_{name}"] for name in ("f1", "precision", "recall")}
