"""Evidence for a span, summed over every place where one could lie.

A span of ``L`` bars that starts at ``s`` has the likelihood ratio of drifting, wider bars against
driftless ones. With every start, length (3 to 21) and direction equally likely, the share of the
total that falls on placements covering a bar is the posterior probability that it lies in the
window's one span. A generalised likelihood ratio scan (Siegmund 1986; Arias-Castro, Donoho and
Huo 2005), averaged over placements rather than maximised.

A bar is measured against the two-sided exponential average of the bar range around it: its close
to close return in sigmas, ``z``, and the log of its range, ``x`` (near normal with a standard
deviation of 0.3: Alizadeh, Brandt and Diebold 2002).
"""

from __future__ import annotations

import numpy as np

from proxytools.features.registry import WHOLE, Feature
from proxytools.features.windowed import (
    compiled,
    copy,
    ratio,
    within,
)

SIGMAS_A_RANGE = 1.0 / 1.41  # of a bar of a few steps; a Brownian one's is 1 / 1.6
LOG_RANGE_MEAN, LOG_RANGE_DEVIATION = -0.03, 0.3
DRIFTS, WIDENINGS = (0.5, 1.0), (0.15, 0.2)  # sigmas a bar; log of the range's growth
SHORTEST, LONGEST = 3, 21
STEP_LIMIT = 6.0  # sigmas
BAR_LIMIT = 3.8  # nats: 21 bars of them, times all placements, stay within float32

FEATURES = (
    *(
        Feature(
            f"span_{what}_{drift:.1f}".replace(".", ""),
            meaning.format(drift=drift),
            unit,
            WHOLE,
            WHOLE,
        )
        for drift in DRIFTS
        for what, meaning, unit in (
            ("share", "share of the placements with a drift of {drift} sigma", "probability"),
            ("side", "difference of the up and the down share at {drift} sigma", "probability"),
        )
    ),
    Feature("span_share", "mean of the shares of all drifts", "probability", WHOLE, WHOLE),
    Feature("span_rank", "span_share over its largest in the window", "fraction", WHOLE, WHOLE),
)


@compiled
def _cover(factor, product, tail, out):  # type: ignore[no-untyped-def]
    """For each bar, add up the placements that include it; return the sum over all placements.

    A placement counts the product of its bars' factors. Only sums of positive terms: shares that
    differ by many orders of magnitude all keep their digits.
    """
    n = len(factor)
    shortest, longest = min(SHORTEST, n), len(product)
    copy(factor, product[0])
    for k in range(1, longest):  # product[k, s] belongs to the k + 1 bars from s
        before, now, last = product[k - 1], product[k], factor[k:]
        for s in range(n - k):
            now[s] = before[s] * last[s]
    tail[:] = 0.0
    out[:] = 0.0
    for k in range(longest - 1, -1, -1):  # tail[s]: placements from s that reach bar s + k
        now, covered = product[k], out[k:]
        if k >= shortest - 1:
            for s in range(n - k):
                tail[s] += now[s]
        for s in range(n - k):
            covered[s] += tail[s]
    return tail.sum()


@compiled
def _exp(x):  # type: ignore[no-untyped-def]
    """Exponential of ``|x|`` up to 4, to 4 digits, in arithmetic that can be vectorised."""
    part = x / np.float32(256.0)
    power = np.float32(1.0) + part + np.float32(0.5) * part * part
    for _ in range(8):
        power *= power
    return power


@compiled
def _factors(before, level, log_range, drift, growth, up, down):  # type: ignore[no-untyped-def]
    """Likelihood ratio of each bar, inside a rising and inside a falling span against outside."""
    inverse = np.exp(-2.0 * growth)  # of the variance inside, in the variance outside
    after = before[1:]
    for t in range(len(level)):
        sigmas = ratio(after[t] - before[t], level[t] * SIGMAS_A_RANGE)
        tilt = drift * inverse * within(sigmas, -STEP_LIMIT, STEP_LIMIT)
        wide = growth * (log_range[t] - LOG_RANGE_MEAN - 0.5 * growth) / LOG_RANGE_DEVIATION**2
        even = wide - 0.5 * drift * drift * inverse
        up[t] = _exp(np.float32(within(even + tilt, -BAR_LIMIT, BAR_LIMIT)))
        down[t] = _exp(np.float32(within(even - tilt, -BAR_LIMIT, BAR_LIMIT)))


@compiled
def fill(before, level, log_range, rows):  # type: ignore[no-untyped-def]
    """Compute all of them into rows (6, T)."""
    n = len(level)
    product = np.empty((min(LONGEST, n), n), np.float32)
    work = np.empty((5, n), np.float32)
    up, down, rising, falling, tail = work[0], work[1], work[2], work[3], work[4]
    mean_share, rank = rows[len(rows) - 2], rows[len(rows) - 1]
    mean_share[:] = 0.0
    for i in range(len(DRIFTS)):
        _factors(before, level, log_range, DRIFTS[i], WIDENINGS[i], rising, falling)
        total = _cover(rising, product, tail, up) + _cover(falling, product, tail, down)
        share, side = rows[2 * i], rows[2 * i + 1]
        for t in range(n):
            share[t] = (up[t] + down[t]) / total
            side[t] = abs(up[t] - down[t]) / total
            mean_share[t] += share[t] / len(DRIFTS)
    peak = mean_share.max()
    for t in range(n):
        rank[t] = mean_share[t] / peak
