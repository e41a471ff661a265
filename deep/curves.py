"""The curves of a training, drawn from its tables; a line is an inner fold."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from deep.tables import TASKS, Tables
from proxytools.plots import INSIDE, OUTSIDE, PROB

TASK_COLORS = {"span": PROB, "countdown": INSIDE, "type": "#5b8c3a", "ptr": "#8a5fb0"}
TASK_NAMES = {"span": "spans", "countdown": "countdown", "type": "type", "ptr": "pointers"}
BAR_COLORS = {"f1": PROB, "precision": "#5b8c3a", "recall": INSIDE}
LINE: dict[str, Any] = {"lw": 1.3, "alpha": 0.8}
FAINT: dict[str, Any] = {"lw": 1.1, "alpha": 0.7, "ls": ":"}


def draw(tables: Tables, metric: str, path: Path) -> None:
    """Write a PNG: losses, what was held out, probabilities, shares of the tasks, gradients.

    Parameters
    ----------
    tables : dict of DataFrame
        See `deep.tables`.
    metric : str
        Name of the held-out metric, `deep.settings.Settings.metric`.
    """
    figure = Figure(figsize=(15, 8.4), layout="constrained")
    FigureCanvasAgg(figure)
    (losses, held_out, bars), (probabilities, shares, gradients) = figure.subplots(2, 3)
    _losses(losses, tables)
    _held_out(held_out, tables["epoch_metrics"], metric.replace("_", " "))
    _bars(bars, tables["epoch_metrics"])
    _probabilities(probabilities, tables["probability_stats"])
    _shares(shares, tables["task_shares"])
    _gradients(gradients, tables["gradient_stats"])
    for axis in figure.axes:
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.set_xlabel("pass")
        axis.grid(alpha=0.2)
        axis.spines[["top", "right"]].set_visible(False)
        axis.margins(y=0.08)
        handles, labels = axis.get_legend_handles_labels()
        if labels:
            below: dict[str, Any] = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.13)}
            axis.legend(handles, labels, ncols=len(labels), frameon=False, fontsize=8, **below)
    figure.savefig(path, dpi=110)


def _losses(axis: Any, tables: Tables) -> None:
    table, learnt = tables["loss_components"], _learnt(tables)
    for phase, style in (("train", FAINT), ("val", LINE)):
        for run in _runs(table[table["phase"] == phase]):
            for task in learnt:
                axis.plot(run["epoch"], run[f"loss_{task}"], color=TASK_COLORS[task], **style)
    base = tables["epoch_metrics"].groupby("run")["base_span_loss"].first().mean()
    axis.axhline(base, color=TASK_COLORS["span"], lw=1, ls="--", alpha=0.6)
    for task in learnt:
        axis.plot([], [], color=TASK_COLORS[task], label=TASK_NAMES[task])
    axis.plot([], [], color=OUTSIDE, ls="--", lw=1, label="spans, all bars alike")
    axis.set_yscale("log")
    axis.set(title="Loss by task, unweighted\n(solid: held out, dotted: learnt from)")


def _held_out(axis: Any, table: pd.DataFrame, metric: str) -> None:
    for k, run in enumerate(_runs(table)):
        axis.plot(run["epoch"], run["held_out"], color=PROB, **LINE)
        kept = run[run["best"]].tail(1)
        label = "pass that is kept" if k == 0 else None
        axis.plot(kept["epoch"], kept["held_out"], "o", color=INSIDE, ms=5, label=label)
    axis.set(title=f"Held out: {metric}\n(larger is better)")


def _bars(axis: Any, table: pd.DataFrame) -> None:
    for k, run in enumerate(_runs(table)):
        for name, color in BAR_COLORS.items():
            label = name.replace("f1", "F1") if k == 0 else None
            axis.plot(run["epoch"], run[f"span_{name}"], color=color, label=label, **LINE)
    axis.set(title="Held out: bars above a probability of 0.5\n(mean over windows)")


def _probabilities(axis: Any, table: pd.DataFrame) -> None:
    for k, run in enumerate(_runs(table[table["phase"] == "val"])):
        for side, color, name in (("in", INSIDE, "in spans"), ("out", OUTSIDE, "outside")):
            middle, spread = run[f"{side}_span_mean"], run[f"{side}_span_std"]
            label = name if k == 0 else None
            axis.plot(run["epoch"], middle, color=color, label=label, **LINE)
            edges = (middle - spread).clip(0), (middle + spread).clip(upper=1)
            axis.fill_between(run["epoch"], *edges, color=color, alpha=0.07, lw=0)
    axis.set(title="Held out: probability of bars\n(mean, and one standard deviation around it)")


def _shares(axis: Any, table: pd.DataFrame) -> None:
    learnt = [task for task in TASKS if table[f"loss_share_{task}"].notna().any()]
    for run in _runs(table):
        for task in learnt:
            color = TASK_COLORS[task]
            axis.plot(run["epoch"], run[f"loss_share_{task}"], color=color, **LINE)
            pulled = run.dropna(subset=f"gradient_share_{task}")  # not looked at in every pass
            share = pulled[f"gradient_share_{task}"]
            axis.plot(pulled["epoch"], share, color=color, marker=".", **FAINT)
    for task in learnt:
        axis.plot([], [], color=TASK_COLORS[task], label=TASK_NAMES[task])
    axis.set(title="Share of each task\n(solid: of the loss, dotted: of the encoder's gradient)")
    if len(learnt) == 1:
        axis.text(0.5, 0.5, "the only task", ha="center", transform=axis.transAxes, color=OUTSIDE)
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    axis.set_ylim(0, 1.05)


def _gradients(axis: Any, table: pd.DataFrame) -> None:
    layers = [name for name in table.columns[3:] if name.startswith("encoder")]
    for k, run in enumerate(_runs(table)):
        label = "all weights" if k == 0 else None
        axis.plot(run["epoch"], run["total_grad_norm"], color="black", label=label, **LINE)
        for name, style in zip(layers, cycle(("-", "--", "-."))):
            label = name if k == 0 else None
            axis.plot(run["epoch"], run[name], color=PROB, ls=style, label=label, **LINE)
    axis.set_yscale("log")
    axis.set(title="Norm of the gradient, before clipping\n(mean over the batches of a pass)")


def _learnt(tables: Tables) -> list[str]:
    """Tasks that have a loss, spans last and so on top."""
    table = tables["loss_components"]
    found = [task for task in TASKS if table[f"loss_{task}"].notna().any()]
    return sorted(found, key=lambda task: task == "span")


def _runs(table: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Inner folds, or whatever was trained where there are none."""
    folds = table["run"].str.startswith("fold")
    for _, run in (table[folds] if folds.any() else table).groupby("run", sort=False):
        yield run
