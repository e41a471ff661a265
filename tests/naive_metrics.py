"""Slow, obvious twins of proxytools.metrics: sets of bars, fractions, exhaustive search."""

from fractions import Fraction

import numpy as np
from scipy.optimize import linear_sum_assignment


def iou(a, b):
    a, b = set(range(*a)), set(range(*b))
    return Fraction(len(a & b), len(a | b))


def largest_matching(pred, true, percent):
    """Most pairs at an IoU of percent / 100, trying every choice for every prediction."""
    if not pred:
        return 0
    best = largest_matching(pred[1:], true, percent)
    for k, mark in enumerate(true):
        if iou(pred[0], mark) >= Fraction(percent, 100):
            rest = true[:k] + true[k + 1 :]
            best = max(best, 1 + largest_matching(pred[1:], rest, percent))
    return best


def summed_iou(pred, true):
    """Largest summed IoU of a one-to-one pairing."""
    if not pred or not true:
        return 0.0
    table = np.array([[float(iou(p, t)) for t in true] for p in pred])
    rows, columns = linear_sum_assignment(table, maximize=True)
    return table[rows, columns].sum()


def average_precision(pred, scores, true):
    """Mean over IoU 0.50:0.05:0.95; pred, scores and true are one list a window."""
    n_true = sum(map(len, true))
    ranked = sorted(
        ((-s, w, p) for w in range(len(pred)) for s, p in zip(scores[w], pred[w], strict=True))
    )
    areas = []
    for percent in range(50, 100, 5):
        free = [list(marks) for marks in true]
        curve, hits = [], 0
        for rank, (score, w, p) in enumerate(ranked, start=1):
            near = [(iou(p, t), -t[0], t) for t in free[w]]
            if near and max(near)[0] >= Fraction(percent, 100):
                free[w].remove(max(near)[2])
                hits += 1
            if rank == len(ranked) or ranked[rank][0] != score:
                curve.append((hits / n_true, hits / rank))
        area, before = 0.0, 0.0
        for k, (recall, _) in enumerate(curve):
            area += (recall - before) * max(precision for _, precision in curve[k:])
            before = recall
        areas.append(area)
    return np.mean(areas)


def calibration_error(prob, mask):
    total = 0.0
    for k in range(15):
        inside = [
            (p, y)
            for p, y in zip(prob.ravel(), mask.ravel(), strict=True)
            if k <= p * 15 < k + 1 or (k == 14 and p == 1)
        ]
        if inside:
            p, y = np.mean(inside, axis=0)
            total += len(inside) / prob.size * abs(p - y)
    return total


def window_bar_f1(prob, mask, threshold):
    rows = []
    for p, y in zip(prob >= threshold, mask.astype(bool), strict=True):
        hits, alarms, misses = (p & y).sum(), (p & ~y).sum(), (~p & y).sum()
        if hits + alarms + misses == 0:
            continue
        rows.append(
            (
                hits / (hits + (alarms + misses) / 2),
                hits / (hits + alarms) if hits + alarms else 0.0,
                hits / (hits + misses) if hits + misses else 0.0,
            )
        )
    names = ("bar_f1", "bar_precision", "bar_recall")
    return dict(zip(names, np.mean(rows, axis=0) if rows else [None] * 3, strict=True))
