"""The exact posterior of planted data: what no method can beat.

The generator allows a finite set of explanations for a window: every layout of spans with every
direction and type. Each has a prior and, given the sub-steps and the true ``sigma_t``, a likelihood
ratio against "no span at all"; a bar's posterior is the share of the explanations that cover it.
Methods see bars, not sub-steps, and do not know the parameters, so none can reach it.
"""

from __future__ import annotations

import numba
import numpy as np
from numpy.typing import NDArray

from proxytools.synthetic.generate import SUB_STEPS, Planted
from proxytools.synthetic.prior import HAZARD, SHORTEST, log_prior

Array = NDArray[np.float64]


def posterior(planted: Planted) -> Array:
    """Exact probability that a bar lies in a span, given the sub-steps and the true ``sigma_t``.

    Parameters
    ----------
    planted : Planted

    Returns
    -------
    (N, T) float64
        In [0, 1].

    Examples
    --------
    >>> from proxytools.synthetic import planted, posterior
    >>> sample = planted(2, preset="easy", seed=3)
    >>> prob, mask = posterior(sample), sample.data.mask == 1
    >>> bool(prob[mask].mean() > 0.8 > 0.1 > prob[~mask].mean())
    True
    """
    n_bars = planted.data.n_bars
    prior = log_prior(planted.layout, n_bars)  # (T, Lmax+1)
    several = planted.layout == "several"
    stay = np.zeros(n_bars)  # (T,) log probability that a free bar starts no span
    if several:
        stay[: n_bars - SHORTEST + 1] = np.log1p(-HAZARD)
    with np.errstate(divide="ignore"):
        log_empty, log_full = np.log(planted.empty), np.log1p(-planted.empty)
    return _posterior(_log_ratio(planted), prior, stay, several, log_empty, log_full)


def ceiling(planted: Planted) -> float:
    """Pearson correlation, pooled over all bars, of the exact posterior and the mask.

    Examples
    --------
    >>> from proxytools.synthetic import ceiling, planted
    >>> 0.75 < ceiling(planted(200, preset="medium", seed=1)) < 0.9
    True
    """
    prob, mask = posterior(planted), planted.data.mask
    return float(np.corrcoef(prob.ravel(), mask.ravel())[0, 1])


def _log_ratio(planted: Planted) -> Array:
    """(K, N, T) log likelihood ratio, in a span over outside, for each type and direction."""
    scaled = planted.steps / (planted.sigma / SUB_STEPS**0.5)[..., None]  # (N, T, 8)
    total, square = scaled.sum(axis=2), (scaled**2).sum(axis=2)  # (N, T)
    ratios = []
    for kind in planted.types:
        for direction in (-1, 1):
            mean = direction * kind.m / SUB_STEPS**0.5
            deviation = square - 2 * mean * total + SUB_STEPS * mean**2
            inside = -SUB_STEPS * np.log(kind.v) - deviation / (2 * kind.v**2)
            ratios.append(inside + square / 2)
    return np.stack(ratios)


@numba.njit(cache=True, nogil=True)
def _posterior(
    ratio: Array, prior: Array, stay: Array, several: bool, log_empty: float, log_full: float
) -> Array:
    n_windows, n_bars = ratio.shape[1:]
    prob = np.empty((n_windows, n_bars))
    for w in range(n_windows):
        weight = _span_weights(ratio[:, w], prior)  # (T, Lmax+1)
        if several:
            before, after = _forward(weight, stay), _backward(weight, stay)  # (T+1,)
            evidence = float(before[n_bars])
        else:
            before = after = np.zeros(n_bars + 1)  # one span: nothing around it but noise
            evidence = _log_sum(weight.ravel())
        evidence += log_full
        shift = log_full - np.logaddexp(evidence, log_empty)
        prob[w] = _cover(weight, before, after, shift)
    return prob


@numba.njit(cache=True, nogil=True)
def _span_weights(ratio: Array, prior: Array) -> Array:
    """(T, Lmax+1) log of prior times likelihood ratio of each span, any type and direction."""
    n_kinds, n_bars = ratio.shape
    path = np.zeros((n_kinds, n_bars + 1))
    for t in range(n_bars):
        path[:, t + 1] = path[:, t] + ratio[:, t]
    weight = np.full(prior.shape, -np.inf)
    for start in range(n_bars):
        for length in range(1, min(prior.shape[1], n_bars - start + 1)):
            if prior[start, length] > -np.inf:
                gain = path[:, start + length] - path[:, start]  # (K,)
                weight[start, length] = prior[start, length] + _log_sum(gain) - np.log(n_kinds)
    return weight


@numba.njit(cache=True, nogil=True)
def _forward(weight: Array, stay: Array) -> Array:
    """(T+1,) log total of all layouts of the bars before each bar."""
    n_bars, n_lengths = weight.shape
    before = np.full(n_bars + 1, -np.inf)
    before[0] = 0.0
    for t in range(n_bars):
        before[t + 1] = np.logaddexp(before[t + 1], before[t] + stay[t])
        for length in range(1, min(n_lengths, n_bars - t + 1)):
            total = before[t] + weight[t, length]
            before[t + length] = np.logaddexp(before[t + length], total)
    return before


@numba.njit(cache=True, nogil=True)
def _backward(weight: Array, stay: Array) -> Array:
    """(T+1,) log total of all layouts of the bars from each bar on."""
    n_bars, n_lengths = weight.shape
    after = np.zeros(n_bars + 1)
    for t in range(n_bars - 1, -1, -1):
        after[t] = after[t + 1] + stay[t]
        for length in range(1, min(n_lengths, n_bars - t + 1)):
            after[t] = np.logaddexp(after[t], weight[t, length] + after[t + length])
    return after


@numba.njit(cache=True, nogil=True)
def _cover(weight: Array, before: Array, after: Array, shift: float) -> Array:
    """(T,) probability of each bar: the sum over the spans that cover it."""
    n_bars, n_lengths = weight.shape
    prob = np.zeros(n_bars)
    for start in range(n_bars):
        # Longest first: a running sum over the lengths is what each further bar of them gains.
        mass = 0.0
        for length in range(min(n_lengths - 1, n_bars - start), 0, -1):
            if weight[start, length] > -np.inf:
                total = before[start] + weight[start, length] + after[start + length]
                mass += np.exp(total + shift)
            prob[start + length - 1] += mass
    return np.minimum(prob, 1.0)


@numba.njit(cache=True, nogil=True)
def _log_sum(values: Array) -> float:
    top = values.max()
    return float(top + np.log(np.exp(values - top).sum()))
