"""Intervals by bootstrap over groups of windows, never over bars.

Bars of one window, and windows of one group, resemble each other: resampling them apart would
promise far more than the data hold. Whole units are drawn with replacement instead, and as the
metrics are functions of sums, each resample costs one row of a matrix product.

With few units a plain percentile interval is too narrow. The quantiles are therefore moved out as
Student's t is wider than the normal: the expanded percentile interval (Hesterberg 2015, "What
teachers should know about the bootstrap", The American Statistician 69).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from proxytools.errors import InputError
from proxytools.metrics.bar import checked, pearson
from proxytools.types import Float, Int

Sums = NDArray[np.float64]

WEIGHTS_AT_ONCE = 4_000_000
CONSTANT = 1e-12  # a variance, of values in [0, 1], below what rounding leaves of none


def pearson_interval(
    prob: Float,
    mask: NDArray[np.generic],
    units: Int,
    *,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Bootstrap interval of `proxytools.metrics.bar.pearson`.

    Parameters
    ----------
    prob : (N, T) float
        In [0, 1].
    mask : (N, T) 0/1
    units : (N,) int
        The unit each window is resampled with (`proxytools.splits.resampling_units`).
    level : float
        Coverage wanted, in (0, 1).
    draws : int
        Resamples.
    seed : int

    Returns
    -------
    low, high : float

    Raises
    ------
    InputError
        Fewer than two units, or what `pearson` refuses.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> mask = rng.random((40, 50)) < 0.1
    >>> prob = 0.3 * mask + 0.7 * rng.random((40, 50))
    >>> low, high = pearson_interval(prob, mask, np.arange(40))
    >>> low < pearson(prob, mask) < high
    True
    """
    sums = _pearson_sums(prob, mask, units)
    return _interval(_resample(sums, _correlation, draws, seed), len(sums), level)


def paired_interval(
    prob_a: Float,
    prob_b: Float,
    mask: NDArray[np.generic],
    units: Int,
    *,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Pearson r of ``prob_a`` minus that of ``prob_b`` and its interval, on the same resamples.

    Parameters and errors are those of `pearson_interval`.

    Returns
    -------
    difference, low, high : float

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> mask = rng.random((40, 50)) < 0.1
    >>> good, poor = 0.3 * mask + 0.7 * rng.random((2, 40, 50)) * [[[1]], [[0.2]]]
    >>> difference, low, high = paired_interval(good, poor, mask, np.arange(40))
    >>> low < difference < high < 0
    True
    """
    sums = np.stack([_pearson_sums(prob, mask, units) for prob in (prob_a, prob_b)])  # (2, U, 5)

    def difference(total: Sums) -> Sums:
        return _correlation(total[0]) - _correlation(total[1])

    low, high = _interval(_resample(sums, difference, draws, seed), sums.shape[1], level)
    return pearson(prob_a, mask) - pearson(prob_b, mask), low, high


def f1_paired_interval(
    counts_a: Int,
    counts_b: Int,
    units: Int,
    *,
    level: float = 0.95,
    draws: int = 2000,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Pooled span F1 of ``counts_a`` minus that of ``counts_b`` and its interval.

    Parameters
    ----------
    counts_a, counts_b : (N, 3) int
        True positives, false positives and misses (`proxytools.metrics.span.window_counts`) of
        two methods on the same windows. F1 counts as 0 where all three are.
    units, level, draws, seed
        As in `pearson_interval`.

    Returns
    -------
    difference, low, high : float

    Examples
    --------
    >>> a, b = np.array([[[1, 0, 0], [1, 1, 0]], [[1, 0, 0], [0, 1, 1]]])
    >>> [round(value, 3) for value in f1_paired_interval(a, b, np.arange(2))]
    [0.3, 0.0, 0.667]
    """
    counts_a, counts_b = np.asarray(counts_a), np.asarray(counts_b)
    if counts_a.shape != counts_b.shape or counts_a.shape[1:] != (3,):
        raise InputError(
            "span counts", got=f"shapes {counts_a.shape}, {counts_b.shape}", expected="(N, 3) twice"
        )
    sums = np.stack([_by_unit(counts, units) for counts in (counts_a, counts_b)])  # (2, U, 3)

    def difference(total: Sums) -> Sums:
        return _f1(total[0]) - _f1(total[1])

    low, high = _interval(_resample(sums, difference, draws, seed), sums.shape[1], level)
    return float(difference(sums.sum(axis=1, keepdims=True))[0]), low, high


def _pearson_sums(prob: Float, mask: NDArray[np.generic], units: Int) -> Sums:
    """(U, 5) bars, sum p, sum p^2, sum y, sum p*y of each unit; p moved and scaled to [0, 1]."""
    p, y = checked(prob, mask)
    p = ((p - p.min()) / (np.ptp(p) or 1.0)).reshape(np.shape(prob))  # (N, T)
    y = y.reshape(p.shape)
    bars = np.full(len(p), p.shape[1])
    columns = (bars, p.sum(axis=1), (p * p).sum(axis=1), y.sum(axis=1), (p * y).sum(axis=1))
    return _by_unit(np.stack(columns, axis=1), units)


def _by_unit(per_window: NDArray[np.number], units: Int) -> Sums:
    """(N, K) sums of each window added up over units: (U, K)."""
    units = np.asarray(units)
    if units.shape != per_window.shape[:1]:
        raise InputError(
            "units",
            got=f"shape {units.shape}",
            expected=f"one for each of {len(per_window)} windows",
        )
    names, code = np.unique(units, return_inverse=True)
    if len(names) < 2:
        raise InputError(
            "bootstrap",
            got="windows of one unit",
            expected="at least two units to resample",
            fix="Use resampling_units, or bring more windows",
        )
    sums = np.zeros((len(names), per_window.shape[1]))
    np.add.at(sums, code, per_window)
    return sums


def _resample(sums: Sums, metric: Callable[[Sums], Sums], draws: int, seed: int) -> Sums:
    """(draws,) metric of as many resamples of the units; ``sums`` is (..., U, K)."""
    rng = np.random.default_rng(seed)
    n_units = sums.shape[-2]
    values = []
    block = max(1, WEIGHTS_AT_ONCE // n_units)
    for done in range(0, draws, block):
        size = min(block, draws - done)
        drawn = rng.integers(n_units, size=(size, n_units)) + n_units * np.arange(size)[:, None]
        weight = np.bincount(drawn.ravel(), minlength=size * n_units).reshape(size, n_units)
        values.append(metric(weight.astype(np.float64) @ sums))
    return np.concatenate(values)


def _interval(values: Sums, n_units: int, level: float) -> tuple[float, float]:
    """Take the expanded percentile interval of resampled values."""
    wide = np.sqrt(n_units / (n_units - 1)) * stdtrit(n_units - 1, (1 + level) / 2)
    low, high = np.quantile(values, [ndtr(-wide), ndtr(wide)])
    return float(low), float(high)


def _correlation(total: Sums) -> Sums:
    """Pearson r of each row of `_pearson_sums`, 0 where either is constant."""
    n, p, pp, y, py = total.T
    p_var, y_var = pp / n - (p / n) ** 2, y / n - (y / n) ** 2
    varies = (p_var > CONSTANT) & (y_var > CONSTANT)
    scale = np.sqrt(np.where(varies, p_var * y_var, 1.0))
    return np.where(varies, (py / n - p * y / n**2) / scale, 0.0)


def _f1(total: Sums) -> Sums:
    hits, false_alarms, misses = total.T
    whole = 2 * hits + false_alarms + misses
    f1: Sums = 2 * hits / np.where(whole > 0, whole, 1.0)
    return f1
