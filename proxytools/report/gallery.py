"""The windows of the gallery as compact data, and how they sort."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proxytools.metrics.span import window_counts
from proxytools.report import measures
from proxytools.report.blocks import tagless
from proxytools.report.scored import Scored
from proxytools.types import SpanDataset, Spans

STEPS = 2**16 - 1  # of a price inside its window's range, and of a probability


def payload(scored: Sequence[Scored]) -> dict[str, Any]:
    """Everything the gallery draws: 10 bytes a bar for one run, 2 more for each other.

    Prices are stored as steps from the lowest to the highest price of their window, probabilities
    as steps from 0 to 1, both little-endian; the rest is a list a window.
    """
    data = scored[0].fitted.data
    probs = np.stack([own.fitted.soft.prob for own in scored])  # (R, N, T)
    ohlc = data.windows.ohlc
    low, high = ohlc.min(axis=(1, 2)), ohlc.max(axis=(1, 2))
    scale = np.where(high > low, high - low, 1.0)
    return {
        "windows": len(data),
        "bars": data.n_bars,
        "ids": data.windows.ids.tolist(),
        "about": _about(data),
        "classes": list(data.classes),
        "low": low.tolist(),
        "scale": scale.tolist(),
        "prices": packed((ohlc - low[:, None, None]) / scale[:, None, None]),
        "marks": _intervals(data.spans, data.spans.label),
        "disagreement": _rounded(measures.disagreement(probs)) if len(scored) > 1 else None,
        "runs": [_run(own) for own in scored],
    }


def packed(values: NDArray[np.floating]) -> str:
    """Base64 of numbers in [0, 1] as 16-bit steps.

    Examples
    --------
    >>> packed(np.array([0.0, 1.0]))
    'AAD//w=='
    """
    return base64.b64encode(np.rint(np.asarray(values) * STEPS).astype("<u2").tobytes()).decode()


def _run(own: Scored) -> dict[str, Any]:
    fitted = own.fitted
    counts = window_counts(fitted.spans, fitted.data.spans)  # (N, 3)
    return {
        "label": own.label,
        "name": tagless(own.label),
        "color": own.color,
        "dash": own.dash,
        "folds": own.folds,
        "prob": packed(fitted.soft.prob),
        "found": _intervals(fitted.spans, np.round(fitted.spans.score, 4)),
        "counts": counts.tolist(),
        "confidence": _rounded(fitted.soft.prob.max(axis=1)),
        "error": _rounded(measures.window_errors(fitted.soft.prob, fitted.data.mask)),
    }


def _intervals(spans: Spans, values: NDArray[Any]) -> list[list[list[Any]]]:
    """Start, stop and one value of each span, a list a window."""
    per_window: list[list[list[Any]]] = [[] for _ in range(spans.n_windows)]
    columns = (spans.window, spans.start, spans.stop, values)
    for window, start, stop, value in zip(*(c.tolist() for c in columns), strict=True):
        per_window[window].append([start, stop, value])
    return per_window


def _about(data: SpanDataset) -> list[str]:
    """Where each window comes from, as far as it is known."""
    windows = data.windows
    parts: list[list[str]] = [[] for _ in range(len(data))]
    if windows.series is not None:
        for part, name in zip(parts, windows.series.tolist(), strict=True):
            part += [name] if name else []
    if windows.time is not None:
        for part, time in zip(parts, np.datetime_as_string(windows.time[:, 0], "s"), strict=True):
            part.append(str(time).replace("T", " ") + " UTC")
    return [", ".join(part) for part in parts]


def _rounded(values: NDArray[np.floating]) -> list[float]:
    return [round(float(value), 5) for value in values]
