"""Figures of a run, drawn without a display and without global state."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from proxytools.evaluate import CrossFit
from proxytools.leaderboard import Row
from proxytools.types import Float, Int, Spans

INSIDE, OUTSIDE, MARK, PROB = "#c4571a", "#8a939c", "#f2c14e", "#1f5fa8"


def _figure(width: float, height: float, rows: int, columns: int, **options: Any) -> Any:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def validation(fitted: CrossFit, path: Path) -> None:
    """Held-out proxy against marks, and its histograms inside and outside spans."""
    prob, mask = fitted.soft.prob.ravel(), fitted.data.mask.ravel().astype(bool)  # (N * T,)
    figure, axes = _figure(10, 4, 1, 2)
    left, right = axes[0]
    order = np.argsort(prob, kind="stable")
    bins = np.array_split(order, min(20, max(1, len(order))))
    left.plot([0, 1], [0, 1], color=OUTSIDE, lw=1, ls="--", label="perfectly calibrated")
    left.plot(
        [prob[b].mean() for b in bins],
        [mask[b].mean() for b in bins],
        "o-",
        color=PROB,
        ms=4,
        label="twentieths of all bars",
    )
    r, low, high = fitted.metrics["pearson_r"], *fitted.interval
    left.set(
        xlabel="held-out probability",
        ylabel="share of bars marked",
        title=f"{fitted.soft.source} against marks: r = {r:.3f} [{low:.3f}, {high:.3f}]",
    )
    left.legend(frameon=False)
    edges = np.linspace(0, max(float(prob.max()), 1e-6), 41)
    for inside, color, name in ((False, OUTSIDE, "outside spans"), (True, INSIDE, "in spans")):
        chosen = prob[mask == inside]
        label = f"{name}, mean {chosen.mean():.3f}" if len(chosen) else f"{name}, none"
        weights = np.full(len(chosen), 1 / max(1, len(chosen)))
        right.hist(chosen, edges, weights=weights, color=color, alpha=0.65, label=label)
    right.set(xlabel="held-out probability", ylabel="share of bars", title="Separation")
    right.legend(frameon=False)
    figure.savefig(path, dpi=130)


def gallery(fitted: CrossFit, path: Path, *, n_windows: int = 6, seed: int = 0) -> None:
    """Windows drawn at random: candles, marked spans, held-out probability and detections."""
    n_windows = min(n_windows, len(fitted.data))
    rng = np.random.default_rng(seed)
    chosen = np.sort(rng.choice(len(fitted.data), n_windows, replace=False))
    windows(fitted, chosen, path, titles=[str(name) for name in fitted.data.windows.ids[chosen]])


def windows(fitted: CrossFit, chosen: Int, path: Path, *, titles: Sequence[str]) -> None:
    """Draw the chosen windows, each under its title."""
    data = fitted.data
    figure, axes = _figure(
        12, 2.6 * len(chosen), 2 * len(chosen), 1, sharex=True, height_ratios=[3, 1] * len(chosen)
    )
    for row, window in enumerate(chosen):
        price, below = axes[2 * row, 0], axes[2 * row + 1, 0]
        candles(price, data.windows.ohlc[window])
        price.set_title(titles[row], loc="left", fontsize=9, parse_math=False)
        price.tick_params(labelbottom=False)
        for axis in (price, below):
            shade(axis, data.spans.take([window]))
        below.plot(fitted.soft.prob[window], color=PROB, lw=1.2)
        below.set(ylim=(0, 1.2), yticks=[0, 1], ylabel="prob")
        found = fitted.spans.take([window])
        below.hlines(np.full(len(found), 1.1), found.start - 0.5, found.stop - 0.5, INSIDE, lw=4)
    axes[-1, 0].set_xlabel(
        f"bar (shaded: marked; line: held-out probability of {fitted.soft.source}; thick: detected)"
    )
    figure.savefig(path, dpi=100)


def candles(axis: Any, ohlc: Float) -> None:
    """Draw one window (T, 4) as candlesticks, a bar a unit."""
    x = np.arange(len(ohlc))
    opened, high, low, close = ohlc.T
    rising = close >= opened
    colors = np.where(rising, "#2f7d5b", "#b0413e")
    axis.add_collection(
        LineCollection(
            [[(i, a), (i, b)] for i, a, b in zip(x, low, high, strict=True)], colors=colors, lw=0.8
        )
    )
    bodies = [
        Rectangle((i - 0.35, min(a, b)), 0.7, abs(b - a))
        for i, a, b in zip(x, opened, close, strict=True)
    ]
    axis.add_collection(PatchCollection(bodies, facecolor=colors, edgecolor=colors, lw=0.6))
    axis.set_xlim(-1, len(ohlc))
    axis.autoscale_view(scalex=False)


def shade(axis: Any, spans: Spans) -> None:
    """Shade the marked spans of one window."""
    for start, stop in zip(spans.start, spans.stop, strict=True):
        axis.axvspan(start - 0.5, stop - 0.5, color=MARK, alpha=0.4, lw=0, zorder=0)


def leaderboard(rows: Sequence[Row], path: Path, *, gate: float = 0.15) -> None:
    """Correlations with their intervals, best on top, and the gate."""
    figure, axes = _figure(8, 0.45 * len(rows) + 1.2, 1, 1)
    axis = axes[0, 0]
    for place, row in enumerate(reversed(rows)):
        color = PROB if row.passes(gate) else OUTSIDE
        axis.plot([row.ci_low, row.ci_high], [place, place], color=color, lw=2)
        axis.plot(row.pearson_r, place, "o", color=color)
    axis.axvline(gate, color=INSIDE, lw=1, ls="--")
    axis.text(gate, len(rows) - 0.45, f" gate {gate:g}", color=INSIDE, fontsize=8)
    axis.set_yticks(range(len(rows)), [row.model for row in reversed(rows)])
    axis.set_xlabel("Pearson r with the marks, held out, 95 % interval over groups")
    axis.grid(axis="x", alpha=0.25)
    figure.savefig(path, dpi=130)
