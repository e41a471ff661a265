"""Is there signal at all? Proxies and the rows they must beat, on one leaderboard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from proxytools import splits
from proxytools.errors import GateError
from proxytools.evaluate import (
    CrossFit,
    Track,
    compare,
    compute,
    cross_fit,
    folds_of,
    held_out,
)
from proxytools.metrics.bar import pearson
from proxytools.proxies.reference import Constant, PositionPrior, Random
from proxytools.types import FeatureSet, Float, Int, Proxy, SpanDataset

GATE = 0.15  # what a proxy's interval must lie above to be fit for pre-training
ROUNDING = 1e-9  # a draw that moves nothing is as good as what was observed


@dataclass(frozen=True)
class Row:
    """One line of the leaderboard; every figure is held out. ``p_value`` is None without a null."""

    model: str
    pearson_r: float
    ci_low: float
    ci_high: float
    p_value: float | None
    average_precision: float | None
    separation: float | None
    span_f1_50: float | None
    gain: float
    gain_low: float
    gain_high: float
    seconds: float

    def passes(self, gate: float = GATE) -> bool:
        """Fit for pre-training: interval above the gate, and a gain over the position prior."""
        return self.ci_low > gate and self.gain_low > 0


def references(seed: int = 0) -> list[Proxy]:
    """Return the rows every method must beat."""
    return [Constant(), Random(seed), PositionPrior()]


def correlate(
    proxies: Sequence[Proxy],
    data: SpanDataset,
    *,
    n_folds: int = 5,
    seed: int = 0,
    embargo: str = "0",
    permutations: int = 199,
    track: Callable[[str], Track] = lambda name: iter,
) -> list[Row]:
    """Cross-fit proxies and the three references on the same folds; best correlation first.

    Parameters
    ----------
    proxies : sequence of Proxy
    data : SpanDataset
    permutations : int
        Draws of the null for ``p_value``; its least value is 1 / (permutations + 1).
    track : callable, optional
        Given the name of a proxy, wraps its folds as they are worked through, to show progress.

    Returns
    -------
    list of Row
        ``gain`` is the paired difference to the position prior, with its interval.
    """
    data = data.take(data.labelled)
    proxies = [*proxies, *references(seed)]
    features = compute(data, proxies)
    options: dict[str, Any] = {"n_folds": n_folds, "seed": seed, "embargo": embargo}
    prior = cross_fit(PositionPrior(), data, features=features, **options)
    rows = []
    for proxy in proxies:
        folded = track(proxy.name)
        fitted = cross_fit(proxy, data, features=features, track=folded, **options)
        own = features[proxy.feature_set]
        folds = folds_of(data, own, n_folds, seed, embargo)
        p_value = permutation_p(proxy, fitted, own, folds, permutations, seed=seed)
        rows.append(row(fitted, prior, p_value, seed=seed))
    return sorted(rows, key=lambda row: -row.pearson_r)


def row(fitted: CrossFit, prior: CrossFit, p_value: float | None = None, *, seed: int = 0) -> Row:
    """Return the line of one proxy, compared with the position prior on the same windows."""
    metrics, gain = fitted.metrics, compare(fitted, prior, seed=seed)
    named = {k: metrics[k] for k in Row.__dataclass_fields__ if k in metrics}
    return Row(
        model=fitted.soft.source,
        **named,
        p_value=p_value,
        gain=gain.difference,
        gain_low=gain.low,
        gain_high=gain.high,
        seconds=fitted.seconds,
    )


def check_gate(rows: Sequence[Row], gate: float = GATE) -> None:
    """Refuse a leaderboard on which no proxy is fit for pre-training.

    Raises
    ------
    GateError
        No interval lies above the gate together with a gain over the position prior.
    """
    if not any(row.passes(gate) for row in rows):
        best = rows[0]
        raise GateError(
            f"No proxy passes the gate: it needs an interval above {gate:g} and a paired gain over "
            f"the position prior above 0; the best, {best.model}, has r = {best.pearson_r:.3f} "
            f"[{best.ci_low:.3f}, {best.ci_high:.3f}] and a gain of {best.gain:.3f} "
            f"[{best.gain_low:.3f}, {best.gain_high:.3f}]."
        )


def permutation_p(
    proxy: Proxy,
    fitted: CrossFit,
    features: FeatureSet,
    folds: Sequence[splits.Fold],
    permutations: int,
    *,
    seed: int = 0,
) -> float:
    """P-value of Pearson r against marks dealt to other windows.

    The null moves whole masks between windows, groups in one piece, so it keeps how marks lie
    inside a window (the position prior stays) and breaks only their tie to the prices. A proxy
    with ``searches = True`` repeats its whole cross-fit, search included, on every draw; the
    others keep their held-out probabilities, which were fixed before the marks of their windows
    were looked at.
    """
    rng = np.random.default_rng(seed)
    groups = splits.groups(fitted.data.windows)
    orders = [_deal(groups, rng) for _ in range(permutations)]
    if getattr(proxy, "searches", False):
        null = [_refit_r(proxy, fitted.data, features, folds, order) for order in orders]
    else:
        null = _null_r(fitted.soft.prob, fitted.data.mask, orders)
    observed = pearson(fitted.soft.prob, fitted.data.mask)
    as_good = np.sum(np.asarray(null) >= observed - ROUNDING)
    return float((1 + as_good) / (1 + permutations))


def _deal(groups: Int, rng: np.random.Generator) -> Int:
    """(N,) which window's marks each window gets: groups change places, their insides do not."""
    shuffled = rng.permutation(groups.max() + 1)[groups]  # (N,)
    order = np.empty_like(groups)
    order[np.argsort(groups, kind="stable")] = np.argsort(shuffled, kind="stable")
    return order


def _refit_r(
    proxy: Proxy, data: SpanDataset, features: FeatureSet, folds: Sequence[splits.Fold], order: Int
) -> float:
    """Pearson r of a whole cross-fit on marks dealt to other windows."""
    dealt = replace(data, spans=data.spans.take(order))
    ((prob, _),) = held_out(clone(proxy).set_params(inner_folds=0), dealt, features, folds)
    return pearson(prob, dealt.mask)


def _null_r(prob: Float, mask: NDArray[np.uint8], orders: Sequence[Int]) -> list[float]:
    """Pearson r of every draw from one Gram matrix: moving masks changes only sum(p * y)."""
    if prob.min() == prob.max() or mask.min() == mask.max():
        return [0.0] * len(orders)
    p = prob - prob.mean(dtype=np.float64)
    y = mask - mask.mean()
    gram = p @ y.T / np.sqrt((p**2).sum() * (y**2).sum())  # (N, N)
    rows = np.arange(len(p))
    return [float(gram[rows, order].sum()) for order in orders]
