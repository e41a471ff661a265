"""Features: one number per bar, computed once for all windows.

Named sets are in `SETS`; `table` describes every feature; `feature` adds one's own;
`check_feature` proves what a feature states about itself.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from proxytools.errors import InputError
from proxytools.features import causal, classic, directionless, drift, jade, whole
from proxytools.features.check import check_all, check_feature
from proxytools.features.registry import (
    WHOLE,
    Feature,
    add_module,
    compute_into,
    describe,
    feature,
    remove,
    table,
)
from proxytools.types import FeatureSet

__all__ = [
    "SETS",
    "WHOLE",
    "Feature",
    "check_all",
    "check_feature",
    "compute",
    "describe",
    "feature",
    "remove",
    "table",
]

_CLASSIC = add_module(classic)
_CAUSAL = add_module(causal)
_DIRECTIONLESS = add_module(directionless)
_WHOLE = add_module(whole)
_JADE = add_module(jade)
_DRIFT = add_module(drift)
_FULL = _CAUSAL + _DIRECTIONLESS + _WHOLE


def _mirrored(name: str) -> bool:
    """Whether turning a window upside down keeps the feature, or changes its sign alone."""
    entry = describe(name)
    return entry.direction_free or entry.signed


SETS: dict[str, tuple[str, ...]] = {
    "classic": _CLASSIC[:4],
    "directionless": _DIRECTIONLESS,
    "causal": _CAUSAL,
    "full": _FULL,
    "directed": tuple(name for name in _FULL if _mirrored(name)) + _DRIFT,
    "jade": _JADE,
}
"""The predecessor's four; the three terms of the directionless formula; all scale-free features
that never look ahead; these with the ones for windows seen whole; those among them that tell a
window from its mirror image by a sign alone, with more of that kind; and the twelve that the
predecessor's detector read."""


def compute(ohlc: ArrayLike, names: str | Sequence[str] = "full") -> FeatureSet:
    """Compute a named set, or the features of the given names, for all windows.

    No feature reads a bar outside its window, and none reads the bar's place in it.

    Parameters
    ----------
    ohlc : (N, T, 4) array_like of float
        Open, high, low, close; finite.
    names : str or sequence of str
        A key of `SETS`, or names of features, which become the columns in that order.

    Returns
    -------
    FeatureSet
        Values (N, T, F) float32, finite.

    Raises
    ------
    InputError
        A name is unknown or given twice, or the shape is not (N, T, 4).

    Examples
    --------
    >>> flat = np.full((2, 30, 4), 15_000.0)
    >>> features = compute(flat, "classic")
    >>> features.values.shape, features.names
    ((2, 30, 4), ('momentum_3', 'direction_streak', 'cum_return_5', 'volatility'))
    >>> features.lookback_bars, features.lookahead_bars
    (19, 0)
    """
    windows = np.ascontiguousarray(ohlc, np.float64)  # (N, T, 4)
    if windows.ndim != 3 or windows.shape[2] != 4 or windows.shape[1] == 0:
        raise InputError("ohlc", got=f"shape {windows.shape}", expected="(N, T, 4) with T > 0")
    chosen = _names(names)
    n, n_bars, _ = windows.shape
    rows = [describe(name) for name in chosen]
    values = np.empty((n, n_bars, len(chosen)), np.float32)  # (N, T, F)
    compute_into(values, windows, chosen)
    return FeatureSet(
        values,
        chosen,
        lookback_bars=_reach([row.lookback for row in rows], n_bars),
        lookahead_bars=_reach([row.lookahead for row in rows], n_bars),
    )


def _names(names: str | Sequence[str]) -> tuple[str, ...]:
    if isinstance(names, str):
        if names not in SETS:
            near = difflib.get_close_matches(names, SETS, 1)
            fix = f"Did you mean {near[0]!r}" if near else "Name single features in a list"
            raise InputError(
                "features", got=repr(names), expected=f"one of {', '.join(SETS)}", fix=fix
            )
        return SETS[names]
    chosen = tuple(names)
    if not chosen or len(set(chosen)) < len(chosen):
        raise InputError("features", got=repr(chosen), expected="one or more different names")
    return chosen


def _reach(bars: list[int | None], n_bars: int) -> int:
    """Most bars on one side, never more than the window has."""
    return max(n_bars - 1 if reach is WHOLE else min(reach, n_bars - 1) for reach in bars)
