"""Draws learning curves: r and span F1 against the number of labels, under the ceiling.

``python -m benchmarks.curves`` reads ``benchmarks/results/labels.json`` and writes
``docs/labels.png``.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from benchmarks.curve_tables import said
from benchmarks.labels import DATA, LABELS, METRICS
from benchmarks.readme import RESULTS, ROOT

TEXT, FAINT = "#24292f", "#8b949e"
# What stands for its like: other trees and other references lie on the same lines.
LINES = {
    "segmental": ("#1f6feb", "o", "-"),
    "single": ("#54aeff", "o", "--"),
    "lightgbm-segmental": ("#0a6c3a", "s", "-"),
    "lightgbm": ("#2da44e", "s", "--"),
    "logistic": ("#9a6700", "D", "--"),
    "formula": ("#d9730d", "D", ":"),
    "unet": ("#8250df", "^", "-"),
    "label-studio-lstm": ("#bf3989", "v", "-"),
    "ruptures": ("#cf222e", "x", "-"),
    "position-prior": (FAINT, ".", ":"),
}
PANELS = {
    "pearson_r": ("r_interval", "Pearson r of bars"),
    "span_f1_50": ("f1_interval", "F1 of spans at IoU 0.5"),
}
Row = dict[str, Any]


def draw(report: Row, path: Path) -> None:
    """Draw a column for each data set: r above, span F1 below."""
    sets = [name for name in DATA if any(line["data"] == name for line in report["summary"])]
    size = 1.2 + 3.4 * len(sets), 6.6
    figure, grid = plt.subplots(
        len(PANELS), len(sets), figsize=size, dpi=160, sharex=True, squeeze=False
    )
    for axes_row, (metric, (interval, title)) in zip(grid, PANELS.items(), strict=True):
        for axes, data in zip(axes_row, sets, strict=True):
            own = [line for line in report["summary"] if line["data"] == data]
            _curves(axes, own, metric, interval)
            _frame(axes, data if metric == METRICS[0] else "")
        axes_row[0].set_ylabel(title, color=TEXT)
    for axes in grid[-1]:
        axes.set_xlabel("labelled windows", color=TEXT)
    handles = {h.get_label(): h for axes in grid.flat for h in axes.get_legend_handles_labels()[0]}
    place = {"loc": "center left", "bbox_to_anchor": (1, 0.5), "frameon": False}
    figure.legend(handles.values(), handles, **place)
    figure.suptitle("\n".join(said(report)), x=0.01, ha="left", fontsize=9, color="#57606a")
    figure.tight_layout()
    figure.savefig(path, bbox_inches="tight", facecolor="white")
    plt.close(figure)


def _curves(axes: Any, lines: list[Row], metric: str, interval: str) -> None:
    for name, (color, marker, style) in LINES.items():
        own = sorted((x for x in lines if x["model"] == name), key=lambda line: line["labels"])
        if not own:
            continue
        x, y = [line["labels"] for line in own], [line[metric] or 0.0 for line in own]
        low, high = zip(*(line[interval] for line in own), strict=True)
        axes.plot(x, y, style, color=color, marker=marker, markersize=4, label=name, linewidth=1.4)
        axes.fill_between(
            x, np.clip(low, 0, 1), np.clip(high, 0, 1), color=color, alpha=0.12, linewidth=0
        )
    ceilings = [line["ceiling"] for line in lines if line["ceiling"] is not None]
    if metric == METRICS[0] and ceilings:
        ceiling = sum(ceilings) / len(ceilings)
        axes.axhline(ceiling, color=TEXT, linewidth=1, linestyle=(0, (4, 3)), label="ceiling")


def _frame(axes: Any, title: str) -> None:
    axes.set_xscale("log")
    axes.set_xticks(LABELS, [str(n) for n in LABELS])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_title(title, fontsize=10, color=TEXT)
    axes.tick_params(length=0, colors=TEXT, labelsize=8)
    axes.grid(color="#eaeef2", zorder=0)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)


def main() -> None:
    """Draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS / "labels.json")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "labels.png")
    given = parser.parse_args()
    draw(json.loads(given.results.read_text()), given.out)


if __name__ == "__main__":
    main()
