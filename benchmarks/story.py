"""Draws the reproduction: from what found nothing to what finds spans, one change at a time.

``python -m benchmarks.story`` reads ``benchmarks/results/reproduction.json`` and writes
``docs/story.png``, which heads the README.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from benchmarks.readme import RESULTS, ROOT

R, F1, FAINT, TEXT = "#1f6feb", "#d9730d", "#8b949e", "#24292f"
Row = dict[str, Any]


def draw(report: Row, path: Path) -> None:
    """Draw every step: r and span F1 on unseen windows, and what the step gave."""
    ladder = report["ladder"]
    figure, axes = plt.subplots(figsize=(7.4, 0.46 * len(ladder) + 1.6), dpi=160)
    for place, line in enumerate(ladder):
        r, f1 = line["pearson_r"], line["span_f1_50"]
        axes.plot([0, max(r, f1)], [place, place], color="#eaeef2", linewidth=6, zorder=1)
        axes.plot(r, place, "o", color=R, markersize=8, zorder=3)
        axes.plot(f1, place, "s", color=F1, markersize=7, zorder=3)
        if "r_gain" in line:
            axes.text(0.87, place, gain(line["r_gain"]), color=R, va="center", fontsize=9)
            axes.text(1.155, place, gain(line["f1_gain"]), color=F1, va="center", fontsize=9)
    _frame(axes, [line["step"] for line in ladder])
    head = {"xycoords": ("figure fraction", "axes fraction"), "annotation_clip": False}
    axes.annotate("Why nothing was found, and what finds it", (0, 1.13), fontsize=14, **head)
    axes.annotate(_subtitle(report), (0, 1.04), fontsize=9, color="#57606a", **head)
    figure.savefig(path, bbox_inches="tight", facecolor="white")
    plt.close(figure)


def gain(found: list[float]) -> str:
    """Return a difference and its 95 % interval.

    Examples
    --------
    >>> gain([0.0512, 0.041, 0.0601])
    '+0.051 (+0.041 to +0.060)'
    """
    middle, low, high = found
    return f"{middle:+.3f} ({low:+.3f} to {high:+.3f})"


def _frame(axes: Any, steps: list[str]) -> None:
    axes.set_yticks(
        range(len(steps)), [step if not i else f"+ {step}" for i, step in enumerate(steps)]
    )
    axes.set_ylim(len(steps) - 0.4, -0.9)
    axes.set_xlim(min(-0.02, axes.get_xlim()[0]), 0.8)
    axes.set_xticks([0, 0.2, 0.4, 0.6, 0.8])
    axes.axvline(0, color=FAINT, linewidth=0.8, zorder=0)
    axes.tick_params(length=0, colors=TEXT, labelsize=9)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.grid(axis="x", color="#eaeef2", zorder=0)
    axes.text(0.87, -0.75, "r: what the step gave", color=R, fontsize=9)
    axes.text(1.155, -0.75, "F1: what the step gave", color=F1, fontsize=9)
    axes.plot([], [], "o", color=R, label="Pearson r of bars")
    axes.plot([], [], "s", color=F1, label="F1 of spans at IoU 0.5")
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.06), ncols=2, frameon=False, fontsize=9)


def _subtitle(report: Row) -> str:
    seeds = len({row["seed"] for row in report["rows"]})
    formula = [row["classic, on the windows it was searched on"] for row in report["formula"]]
    reported = report["reported"]
    return (
        f"Planted medium windows, 168 to learn from, {seeds} seeds, 500 unseen test windows each; "
        "differences with 95 % intervals.\nThe predecessor reported separation "
        f"{reported['separation']:.3f}, F1 {reported['bar_f1']:.3f} and formula r "
        f"{reported['formula_r']:.3f}; its formula has r {sum(formula) / len(formula):+.3f} here."
    )


def main() -> None:
    """Draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=RESULTS / "reproduction.json")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "story.png")
    given = parser.parse_args()
    draw(json.loads(given.results.read_text()), given.out)


if __name__ == "__main__":
    main()
