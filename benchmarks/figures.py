"""Draws the figures of docs/concepts.md from planted data: what they show is computed, not drawn.

``python -m benchmarks.figures`` writes ``docs/figures/*.png``. A file keeps what was drawn in its
own metadata, so that a test can compute it again and compare.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier

from proxytools import evaluate, io, leaderboard, plots, splits, synthetic
from proxytools.label import central, job
from proxytools.metrics.bar import pearson
from proxytools.proxies import make, store
from proxytools.proxies.bars import BarProxy
from proxytools.types import Windows

OUT = Path(__file__).parent.parent / "docs" / "figures"
TEXT, FAINT, BLUE, ORANGE = "#7d8590", "#8b949e66", "#2f81f7", "#d9730d"  # on light and on dark
Drawn = dict[str, Any]  # rounded numbers by name: what a figure shows


@cache
def sample() -> synthetic.Planted:
    """Planted windows, 60 of the medium kind."""
    return synthetic.planted(60, preset="medium", seed=11)


@cache
def fitted() -> evaluate.CrossFit:
    """Held-out probabilities of a logistic regression."""
    return evaluate.cross_fit(make("logistic", threads=1), sample().data, n_folds=5)


@cache
def model() -> store.Model:
    """Return the same, fitted on all windows."""
    proxy, data = make("logistic", threads=1), sample().data
    own = evaluate.compute(data, [proxy])[proxy.feature_set]
    return store.Model.of(proxy.fit(own, data), data, own)


def _place() -> int:
    """Return the window to show: the first whose span is of middling length."""
    spans = sample().data.spans
    return int(spans.window[np.argmax(spans.stop - spans.start >= 8)])


def window() -> Drawn:
    """One window and its span."""
    data = sample().data.take([_place()])
    return {"ohlc": _rounded(data.windows.ohlc[0]), "mask": data.mask[0].tolist()}


def draw_window(axes: Any, drawn: Drawn) -> None:
    """Candles; the span shaded, the mask below."""
    price, below = axes
    plots.candles(price, np.array(drawn["ohlc"]))
    below.step(range(len(drawn["mask"])), drawn["mask"], where="mid", color=ORANGE)
    below.set(ylabel="mask", yticks=[0, 1], xlabel="bar")
    price.set_ylabel("price")
    price.ticklabel_format(useOffset=False)
    for axis in axes:
        _shade(axis, drawn["mask"])


def split() -> Drawn:
    """Windows of one series, three and three overlapping, and what one fold does with them."""
    start = (np.arange(10)[:, None] * 115 + [0, 20, 40]).ravel()
    minutes = start[:, None] + np.arange(60)
    time = np.datetime64("2024-01-02T09:00") + minutes.astype("timedelta64[m]")
    flat = np.ones((len(start), 60, 4))
    windows = Windows(flat, start.astype(str), time=time.astype("datetime64[ns]"))
    fold = splits.folds(windows, 3, embargo="40min")[1]
    kind = np.full(len(start), "dropped", object)
    kind[fold.train], kind[fold.test] = "train", "test"
    return {"start": start.tolist(), "kind": kind.tolist()}


def draw_split(axes: Any, drawn: Drawn) -> None:
    """Draw a line a window, on the clock."""
    (axis,) = axes
    colors = {"train": BLUE, "test": ORANGE, "dropped": FAINT}
    names = {"train": "training", "test": "test", "dropped": "in neither: overlap or embargo"}
    for kind, color in colors.items():
        places = [i for i, own in enumerate(drawn["kind"]) if own == kind]
        starts = np.array(drawn["start"])[places]
        axis.hlines(places, starts, starts + 60, color=color, lw=3, label=names[kind])
    axis.set(xlabel="minutes", ylabel="window", yticks=[])
    _legend(axis)


def held_out() -> Drawn:
    """Correlations on the windows that were learnt from, and on windows held out."""
    data, trees = sample().data, RandomForestClassifier(12, random_state=0)
    full = evaluate.compute(data, [model().proxy])["full"]
    logistic = model().proxy.predict(full)
    forest = BarProxy(trees, "forest", "directionless", inner_folds=2)
    own = evaluate.compute(data, [forest])[forest.feature_set]
    learnt = {"logistic": logistic, "forest": clone(forest).fit(own, data).predict(own)}
    unseen = {"logistic": fitted(), "forest": evaluate.cross_fit(forest, data, n_folds=3)}
    seen = {name: pearson(prob, data.mask) for name, prob in learnt.items()}
    return {name: _rounded([seen[name], unseen[name].metrics["pearson_r"]]) for name in seen}


def draw_held_out(axes: Any, drawn: Drawn) -> None:
    """Two bars a model."""
    (axis,) = axes
    for place, both in enumerate(drawn.values()):
        for shift, value, color in zip((-0.18, 0.18), both, (FAINT, BLUE), strict=True):
            axis.barh(place + shift, value, 0.32, color=color)
            axis.text(value + 0.01, place + shift, f"{value:.2f}", color=TEXT, va="center")
    axis.set_yticks(range(len(drawn)), drawn)
    axis.set(xlim=(0, 1.12), xlabel="Pearson r (grey: windows it learnt from; blue: held out)")


def ceiling() -> Drawn:
    """Held-out probability in one window, and the exact posterior."""
    exact = synthetic.posterior(sample())
    place = _place()
    return {
        "mask": sample().data.mask[place].tolist(),
        "proxy": _rounded(fitted().soft.prob[place]),
        "exact": _rounded(exact[place]),
        "r": round(fitted().metrics["pearson_r"], 3),
        "ceiling": round(synthetic.ceiling(sample()), 3),
    }


def draw_ceiling(axes: Any, drawn: Drawn) -> None:
    """Two lines."""
    (axis,) = axes
    exact = f"exact posterior (r {drawn['ceiling']:.2f} over all windows)"
    axis.plot(drawn["exact"], color=TEXT, ls="--", label=exact)
    axis.plot(drawn["proxy"], color=BLUE, label=f"logistic, held out (r {drawn['r']:.2f})")
    _shade(axis, drawn["mask"])
    axis.set(xlabel="bar", ylabel="probability", ylim=(0, 1.02))
    _legend(axis)


def gate() -> Drawn:
    """Put three proxies on a leaderboard."""
    names = ("logistic", "formula", "formula-classic")
    proxies = [make(name, features="directionless", threads=1) for name in names]
    rows = leaderboard.correlate(proxies, sample().data, permutations=1)
    shown = {row.model: _rounded([row.pearson_r, row.ci_low, row.ci_high]) for row in rows}
    passed = [row.model for row in rows if row.passes()]
    return {"rows": shown, "passed": passed, "gate": leaderboard.GATE}


def draw_gate(axes: Any, drawn: Drawn) -> None:
    """Intervals against the gate."""
    (axis,) = axes
    for place, (name, (r, low, high)) in enumerate(reversed(drawn["rows"].items())):
        color = BLUE if name in drawn["passed"] else TEXT
        axis.plot([low, high], [place, place], color=color, lw=2)
        axis.plot(r, place, "o", color=color)
    axis.axvline(drawn["gate"], color=ORANGE, ls="--", lw=1)
    axis.set_yticks(range(len(drawn["rows"])), list(reversed(drawn["rows"])))
    axis.set_xlabel("Pearson r, held out, 95 % (dashed: the gate; blue: passes it)")


def soft_labels() -> Drawn:
    """Bars nobody marked, and what a proxy says of them."""
    bars = synthetic.planted(1, preset="medium", seed=5, n_bars=300, layout="several").data
    piece = io.Piece("planted", 0, None, bars.windows.ohlc[0], first=True, last=True)
    prob = [job.score(model(), batch) for batch in central.batches([piece], model().n_bars)]
    close = bars.windows.ohlc[0, :, 3]
    return {
        "close": _rounded(close),
        "prob": _rounded(np.concatenate(prob)),
        "mask": bars.mask[0].tolist(),
    }


def draw_soft_labels(axes: Any, drawn: Drawn) -> None:
    """Draw closing prices; the probability below."""
    above, below = axes
    above.plot(drawn["close"], color=TEXT, lw=1)
    above.set_ylabel("close")
    below.plot(drawn["prob"], color=BLUE)
    below.set(ylabel="soft label", xlabel="bar", ylim=(0, 1.02))
    for axis in axes:
        _shade(axis, drawn["mask"])


def segmental() -> Drawn:
    """Evidence bar by bar, and what becomes of it when spans are weighed as a whole."""
    import torch

    from deep.lengths import LengthPrior
    from deep.segmental import SegmentalHead

    rng = np.random.default_rng(8)
    mask = np.zeros(105, int)
    mask[46:55] = 1
    evidence = rng.normal(1.2 * mask, 1.0) * 1.2 - 0.72  # log ratio of N(1.2, 1) to N(0, 1)
    share = mask.mean()
    head = SegmentalHead(1, LengthPrior.of([4, 6, 7, 7, 8, 9, 12], l_max=30), np.log(1 / 98))
    with torch.no_grad():
        head.scores.weight[:] = torch.tensor([[1.0], [0.0], [0.0]])
        chain = head(torch.tensor(evidence, dtype=torch.float32)[None, :, None])
        posterior, spans = chain.posterior()[0].numpy(), chain.decode()
    alone = 1 / (1 + np.exp(-evidence) * (1 - share) / share)
    return {
        "mask": mask.tolist(),
        "alone": _rounded(alone),
        "posterior": _rounded(posterior),
        "decoded": [[int(a), int(b)] for a, b in zip(spans.start, spans.stop, strict=True)],
    }


def draw_segmental(axes: Any, drawn: Drawn) -> None:
    """Above each bar alone, below the chain."""
    above, below = axes
    above.plot(drawn["alone"], color=TEXT)
    above.set_ylabel("bars alone")
    below.plot(drawn["posterior"], color=BLUE)
    below.set(ylabel="chain", xlabel="bar")
    for start, stop in drawn["decoded"]:
        below.hlines(1.08, start - 0.5, stop - 0.5, color=BLUE, lw=4)
    for axis in axes:
        _shade(axis, drawn["mask"])
        axis.set_ylim(0, 1.15)


FIGURES: dict[str, tuple[Callable[[], Drawn], Callable[[Any, Drawn], None], list[float]]] = {
    "window": (window, draw_window, [3, 1]),
    "split": (split, draw_split, [1]),
    "held-out": (held_out, draw_held_out, [0.6]),
    "ceiling": (ceiling, draw_ceiling, [0.8]),
    "gate": (gate, draw_gate, [0.7]),
    "soft-labels": (soft_labels, draw_soft_labels, [0.8, 0.8]),
    "segmental": (segmental, draw_segmental, [0.8, 0.8]),
}
"""What each shows, how, and the heights of its parts."""


def write(name: str, folder: Path = OUT) -> None:
    """Draw one figure, and keep in the file what was drawn."""
    show, draw, heights = FIGURES[name]
    drawn = show()
    with _styled():
        figure = Figure(figsize=(7.2, 2.7 * sum(heights) ** 0.6), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights, squeeze=False)
        draw(axes[:, 0], drawn)
        kept = {"Drawn": json.dumps(drawn, separators=(",", ":"))}
        figure.savefig(folder / f"{name}.png", dpi=120, transparent=True, metadata=kept)


@contextmanager
def _styled() -> Iterator[None]:
    """Colours that can be read on light and on dark."""
    import matplotlib as mpl

    names = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    look = dict.fromkeys(names, TEXT)
    with mpl.rc_context({**look, "axes.spines.top": False, "axes.spines.right": False}):
        yield


def _legend(axis: Any) -> None:
    axis.legend(frameon=False, fontsize=8, loc="upper left", labelcolor=TEXT)


def _shade(axis: Any, mask: list[int]) -> None:
    edges = np.flatnonzero(np.diff([0, *mask, 0])).reshape(-1, 2)
    for start, stop in edges:
        axis.axvspan(start - 0.5, stop - 0.5, color=plots.MARK, alpha=0.35, lw=0, zorder=0)


def _rounded(values: Any) -> Any:
    return np.asarray(values, float).round(3).tolist()


def main() -> None:
    """Draw all of them."""
    OUT.mkdir(exist_ok=True)
    for name in FIGURES:
        write(name)


if __name__ == "__main__":
    main()
