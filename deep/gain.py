"""What pre-training gave: the same detector, seed and windows with it and without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
from sklearn.base import clone

from deep.detector import SpanDetector
from deep.pretrain import AHEAD
from deep.training import Epoch
from proxytools import evaluate
from proxytools.evaluate import CrossFit
from proxytools.metrics.resample import f1_paired_interval
from proxytools.metrics.span import window_counts

COMPARED = ("pearson_r", "span_f1_50")
LEAST_F1 = 0.20  # below it marks are better mended than preceded by soft labels

Figures = dict[str, float | None]


def untaught(detector: SpanDetector) -> SpanDetector:
    """Return the same detector without pre-training."""
    plain: SpanDetector = clone(detector)
    plain.set_params(settings=replace(detector.settings, pretrain="none"))
    return plain


def report(with_it: Figures, without: Figures) -> dict[str, Figures]:
    """Put the figures of both beside each other, and their differences.

    Examples
    --------
    >>> a, b = {"pearson_r": 0.75, "span_f1_50": None}, {"pearson_r": 0.5, "span_f1_50": 0.25}
    >>> report(a, b)["pretraining_gain"]
    {'pearson_r': 0.25, 'span_f1_50': None}
    """
    differences = {
        name: None if a is None or b is None else a - b
        for name, a, b in ((name, with_it.get(name), without.get(name)) for name in COMPARED)
    }
    plain = {name: without.get(name) for name in COMPARED}
    return {"without_pretraining": plain, "pretraining_gain": differences}


def intervals(with_it: CrossFit, without: CrossFit, seed: int) -> Figures:
    """95 % intervals of the gains, resampled by group, both on the same draws."""
    r = evaluate.compare(with_it, without, seed=seed)
    marks = with_it.data.spans
    a, b = (window_counts(fitted.spans, marks) for fitted in (with_it, without))
    _, f1_low, f1_high = f1_paired_interval(a, b, with_it.units, seed=seed)
    return {
        "pearson_r_low": r.low,
        "pearson_r_high": r.high,
        "span_f1_50_low": f1_low,
        "span_f1_50_high": f1_high,
    }


def passes(history: Sequence[Epoch]) -> pd.DataFrame:
    """Return the loss of every pass of pre-training."""
    rows = [(past.run, past.epoch, past.loss) for past in history if past.run.endswith(AHEAD)]
    return pd.DataFrame(rows, columns=["run", "epoch", "loss"])


def warnings(kind: str, without: Figures) -> list[str]:
    """Return what to mind before soft labels are relied on, given the figures without them."""
    f1 = without["span_f1_50"] or 0.0
    if kind != "proxies" or f1 >= LEAST_F1:
        return []
    return [
        f"Without pre-training the span F1 is {f1:.3f}, still under {LEAST_F1:.2f}: mend that "
        "first, with more marks or by what deep diagnose says."
    ]
