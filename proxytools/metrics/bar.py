"""How well per-bar probabilities agree with the marks, pooled over all bars."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from proxytools.errors import InputError
from proxytools.types import Bool, Float

CALIBRATION_BINS = 15


def pearson(prob: Float, mask: NDArray[np.generic]) -> float:
    """Pearson correlation of probability and mark over all bars.

    Parameters
    ----------
    prob : (N, T) float
        Probability of lying in a span.
    mask : (N, T) 0/1
        Whether the bar lies in a marked span.

    Returns
    -------
    float
        In [-1, 1]; 0 where either is constant, since a constant tells nothing.

    Raises
    ------
    InputError
        Shapes that differ, no bars, a probability that is no number in [0, 1], a mark not 0 or 1.

    Examples
    --------
    >>> pearson(np.array([[0.1, 0.9, 0.8, 0.2]]), np.array([[0, 1, 1, 0]])).__round__(3)
    0.99
    >>> pearson(np.array([[0.5, 0.5]]), np.array([[0, 1]]))
    0.0
    """
    return _pearson(*checked(prob, mask))


def bar_metrics(prob: Float, mask: NDArray[np.generic]) -> dict[str, float | None]:
    """Bar metrics, pooled over all bars of all windows.

    Parameters
    ----------
    prob : (N, T) float
        Probability of lying in a span, in [0, 1].
    mask : (N, T) 0/1
        Whether the bar lies in a marked span.

    Returns
    -------
    dict
        ``pearson_r`` in [-1, 1], 0 for a constant; ``average_precision`` (sum of precision times
        gain in recall, no interpolation); ``roc_auc``, ties counting half; ``separation``, mean
        probability inside minus outside spans; ``brier``, mean squared error;
        ``calibration_error``, the expected one over 15 bins of equal width (Naeini, Cooper and
        Hauskrecht 2015). What one class alone leaves undefined is None: ``roc_auc`` and
        ``separation``, and ``average_precision`` where no bar is marked.

    Raises
    ------
    InputError
        As `pearson`.

    Examples
    --------
    >>> scores = bar_metrics(np.array([[0.1, 0.8, 0.9, 0.2]]), np.array([[0, 1, 1, 0]]))
    >>> {name: round(value, 3) for name, value in scores.items()}
    {'pearson_r': 0.99, 'average_precision': 1.0, 'roc_auc': 1.0, 'separation': 0.7,
     'brier': 0.025, 'calibration_error': 0.15}
    """
    p, y = checked(prob, mask)
    inside, outside = np.sort(p[y]), np.sort(p[~y])
    below = np.searchsorted(outside, inside, "left")  # outside bars under each inside bar
    not_above = np.searchsorted(outside, inside, "right")
    both = len(inside) > 0 and len(outside) > 0
    return {
        "pearson_r": _pearson(p, y),
        "average_precision": _average_precision(inside, len(outside) - below),
        "roc_auc": float((below + not_above).mean() / (2 * len(outside))) if both else None,
        "separation": float(inside.mean() - outside.mean()) if both else None,
        "brier": float(np.mean((p - y) ** 2)),
        "calibration_error": _calibration_error(p, y),
    }


def checked(prob: Float, mask: NDArray[np.generic]) -> tuple[NDArray[np.float64], Bool]:
    """Flat probabilities and marks, or an `InputError`."""
    prob, mask = np.asarray(prob), np.asarray(mask)
    if prob.shape != mask.shape or prob.size == 0:
        raise InputError(
            "probabilities and mask",
            got=f"shapes {prob.shape} and {mask.shape}",
            expected="one shape (N, T) with at least one bar",
        )
    p = prob.astype(np.float64).ravel()
    legal = (p >= 0) & (p <= 1)  # false for nan
    if not legal.all():
        raise InputError(
            f"probability {_place(legal, prob.shape)}",
            got=str(p[legal.argmin()]),
            expected="a number in [0, 1]",
        )
    y = mask.ravel().astype(bool)
    legal = mask.ravel() == y
    if not legal.all():
        raise InputError(
            f"mask {_place(legal, prob.shape)}",
            got=str(mask.ravel()[legal.argmin()]),
            expected="0 or 1",
        )
    return p, y


def _place(legal: Bool, shape: tuple[int, ...]) -> str:
    """Window and bar of the first false entry."""
    return "at " + ", ".join(str(i) for i in np.unravel_index(int(legal.argmin()), shape))


def _pearson(p: NDArray[np.float64], y: Bool) -> float:
    if p.min() == p.max() or y.min() == y.max():
        return 0.0
    # The scale keeps squares of denormal probabilities from vanishing.
    u, v = (p - p.mean()) / np.ptp(p), y - y.mean()
    return float(np.clip(u @ v / np.sqrt((u @ u) * (v @ v)), -1, 1))


def _average_precision(inside: NDArray[np.float64], false_alarms: NDArray[np.intp]) -> float | None:
    """Mean, over marked bars, of the precision when the threshold stands at that bar."""
    if len(inside) == 0:
        return None
    hits = len(inside) - np.searchsorted(inside, inside, "left")
    return float(np.mean(hits / (hits + false_alarms)))


def _calibration_error(p: NDArray[np.float64], y: Bool) -> float:
    bins = np.minimum((p * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    excess = np.bincount(bins, p - y, CALIBRATION_BINS)  # summed probability minus marks
    return float(np.abs(excess).sum() / len(p))
