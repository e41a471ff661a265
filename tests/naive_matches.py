"""Matching spans by the definition: every pair, every set."""

import numpy as np


def iou(a, b):
    common = max(0, min(a[1], b[1]) - max(a[0], b[0]))
    return common / (a[1] - a[0] + b[1] - b[0] - common)


def match_of(prob, least):
    """(N, T, L) summed probability of all spans that match each candidate."""
    n_windows, n_bars, n_lengths = prob.shape
    all_spans = [(s, s + k + 1) for s in range(n_bars) for k in range(n_lengths) if s + k < n_bars]
    match = np.zeros_like(prob)
    for n in range(n_windows):
        for s, u in all_spans:
            others = [o for o in all_spans if iou((s, u), o) >= least - 1e-9]
            total = sum(prob[n, a, b - a - 1] for a, b in others)
            match[n, s, u - s - 1] = min(total, 1)
    return match


def best_total(match, threshold, begin=0):
    """Largest summed ``match - threshold`` of disjoint spans from a bar on."""
    n_bars, n_lengths = match.shape
    if begin == n_bars:
        return 0.0
    best = best_total(match, threshold, begin + 1)
    for k in range(min(n_lengths, n_bars - begin)):
        gain = match[begin, k] - threshold
        best = max(best, gain + best_total(match, threshold, begin + k + 1))
    return best
