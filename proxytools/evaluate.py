"""Honest evaluation: held-out soft labels, the leaderboard, paired comparisons.

Whatever is reported here is measured on windows whose group took no part in fitting, selecting,
thresholding or stopping: a proxy is cloned and fitted anew on each fold's training windows, and
what it chooses it chooses inside them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from proxytools import features as feature_sets
from proxytools import splits
from proxytools.errors import InputError
from proxytools.metrics.bar import bar_metrics
from proxytools.metrics.resample import paired_interval, pearson_interval
from proxytools.metrics.span import span_metrics, window_bar_f1
from proxytools.types import FeatureSet, Int, Proxy, SoftLabels, SpanDataset, Spans

Features = Mapping[str, FeatureSet]
Track = Callable[[Sequence[splits.Fold]], Iterable[splits.Fold]]


@dataclass(frozen=True, eq=False)
class CrossFit:
    """What a proxy says of windows it never saw.

    Attributes
    ----------
    data : SpanDataset
        The labelled windows, in their order.
    soft : SoftLabels
        Held-out probabilities of those windows.
    spans : Spans
        Held-out detections.
    units : (N,) int64
        What a bootstrap resamples.
    seconds : float
        Wall time of all fits and predictions.
    also : CrossFit, optional
        The same fits, read in another way.
    """

    data: SpanDataset
    soft: SoftLabels
    spans: Spans
    units: Int
    seconds: float
    also: CrossFit | None = None

    @property
    def metrics(self) -> dict[str, Any]:
        """Bar and span metrics of the held-out windows, and the interval of Pearson r."""
        low, high = self.interval
        prob, mask = self.soft.prob, self.data.mask
        return {
            **bar_metrics(prob, mask),
            "ci_low": low,
            "ci_high": high,
            **window_bar_f1(prob, mask),
            **span_metrics(self.spans, self.data.spans),
        }

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of Pearson r, from a bootstrap over groups."""
        return pearson_interval(self.soft.prob, self.data.mask, self.units)


def cross_fit(
    proxy: Proxy,
    data: SpanDataset,
    *,
    n_folds: int = 5,
    seed: int = 0,
    embargo: str = "0",
    features: Features | None = None,
    track: Track = iter,
    also: Callable[[Any], Proxy] | None = None,
) -> CrossFit:
    """Fit a proxy on each fold's training windows and score the windows held out.

    Parameters
    ----------
    proxy : Proxy
        Cloned for every fold; left as it is.
    data : SpanDataset
        Its unlabelled windows are put aside, unless the proxy learns from them
        (``uses_unlabelled``): then a fold's training windows are joined by those that are clear
        of its test windows (`proxytools.splits.clear_of`).
    n_folds : int
        Grouped folds; fewer where there are fewer groups.
    embargo : str
        Time after a test window in which no training window may lie, as ``"2h"``.
    features : mapping, optional
        Feature sets of ``data`` computed before, by name.
    track : callable, optional
        Wraps the folds as they are worked through, to show progress.
    also : callable, optional
        Makes another proxy of each fitted one, which is held to the same windows.

    Examples
    --------
    >>> from proxytools import synthetic
    >>> from proxytools.proxies import make
    >>> data = synthetic.planted(40, preset="easy", seed=0).data
    >>> fitted = cross_fit(make("formula"), data, n_folds=2)
    >>> bool(fitted.soft.held_out.all()), fitted.soft.prob.shape
    (True, (40, 105))
    """
    features = features or compute(data, [proxy])
    if not getattr(proxy, "uses_unlabelled", False):
        features = {proxy.feature_set: features[proxy.feature_set].take(data.labelled)}
        data = data.take(data.labelled)
    own, seen = features[proxy.feature_set], np.flatnonzero(data.labelled)
    folds = folds_of(data, own, n_folds, seed, embargo)
    started = time.perf_counter()
    read = held_out(proxy, data, own, track(folds), also)
    seconds = time.perf_counter() - started
    data = data.take(seen)
    # What reads a window as a whole looks ahead to its end, whatever its features do.
    ahead = own.lookahead_bars if getattr(proxy, "per_bar", True) else data.n_bars - 1
    held_out_ = np.ones(len(data), bool)
    units = splits.resampling_units(data.windows, splits.groups(data.windows))
    fitted, *others = (
        CrossFit(
            data,
            SoftLabels(prob[seen], proxy.name, held_out_, data.windows.ids, ahead),
            spans.take(seen),
            units,
            seconds,
        )
        for prob, spans in read
    )
    return replace(fitted, also=others[0]) if others else fitted


def held_out(
    proxy: Proxy,
    data: SpanDataset,
    features: FeatureSet,
    folds: Iterable[splits.Fold],
    also: Callable[[Any], Proxy] | None = None,
) -> list[tuple[NDArray[np.float32], Spans]]:
    """(N, T) probabilities and spans of the windows tested, each from a proxy that never saw them.

    Those of the proxy, then of what ``also`` makes of it. Windows that no fold tests have neither.
    """
    n = 1 if also is None else 2
    probs = np.zeros((n, len(data), data.n_bars), np.float32)  # (n, N, T)
    parts: list[list[Spans]] = [[] for _ in probs]
    places = []
    for fold in folds:
        fitted = clone(proxy).fit(features.take(fold.train), data.take(fold.train))
        unseen = features.take(fold.test)
        places.append(fold.test)
        readers = [fitted] if also is None else [fitted, also(fitted)]
        for prob, part, reader in zip(probs, parts, readers, strict=True):
            prob[fold.test] = reader.predict(unseen)
            part.append(reader.detect(unseen))
    spans = (Spans.concatenate(part, places, len(data)) for part in parts)
    return list(zip(probs, spans, strict=True))


def compute(data: SpanDataset, proxies: Iterable[Proxy]) -> dict[str, FeatureSet]:
    """Compute every feature set that some of the proxies read, each once."""
    names = dict.fromkeys(proxy.feature_set for proxy in proxies)
    return {name: feature_sets.compute(data.windows.ohlc, name) for name in names}


def folds_of(
    data: SpanDataset, features: FeatureSet, n_folds: int, seed: int, embargo: str
) -> list[splits.Fold]:
    """Split labelled windows into grouped folds, purged by the reach of their features.

    Unlabelled windows are tested in none, and learnt from where they are clear of those tested.
    """
    seen, others = np.flatnonzero(data.labelled), np.flatnonzero(~data.labelled)
    if not len(seen):
        raise InputError(
            "data", got="no labelled window", expected="labelled windows", fix="Mark some first"
        )
    reach: dict[str, Any] = {"lookback_bars": features.lookback_bars, "embargo": embargo}
    folds = []
    for fold in splits.folds(data.take(seen), n_folds, seed=seed, **reach):
        train, test = seen[fold.train], seen[fold.test]
        if len(others):
            windows = data.windows
            clear = splits.clear_of(windows.take(others), windows.take(test), **reach)
            train = np.sort(np.concatenate([train, others[clear]]))
        folds.append(splits.Fold(train, test))
    return folds


@dataclass(frozen=True)
class Comparison:
    """Paired difference of two proxies' Pearson r, with its 95 % interval."""

    difference: float
    low: float
    high: float


def compare(a: CrossFit, b: CrossFit, *, draws: int = 2000, seed: int = 0) -> Comparison:
    """How much better ``a`` correlates with the marks than ``b``, on the same windows.

    Both are resampled together, by group, so what is hard for both cancels. Made to be asserted
    on: ``assert compare(lightgbm, formula).low > 0``.

    Raises
    ------
    InputError
        The two were not held out on the same windows with the same marks.
    """
    mask = a.data.mask
    same_bars = np.array_equal(a.data.windows.ohlc, b.data.windows.ohlc)
    if not (same_bars and np.array_equal(mask, b.data.mask)):
        raise InputError(
            f"compare({a.soft.source}, {b.soft.source})",
            got="different windows or marks",
            expected="two cross-fits of one data set",
        )
    return Comparison(
        *paired_interval(a.soft.prob, b.soft.prob, mask, a.units, draws=draws, seed=seed)
    )
