"""Any method by name, on windows to learn from and windows never seen: what is measured of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np

from benchmarks import peers, saccades
from benchmarks.bars import BARS, bars
from benchmarks.record import Row
from benchmarks.structured import StructuredBoosting
from deep.detector import SpanDetector
from deep.presets import PRESETS, preset
from deep.pretrain import NETWORKS
from proxytools import features as feature_sets
from proxytools import io, proxies, splits, synthetic
from proxytools.leaderboard import references
from proxytools.metrics.bar import bar_metrics, pearson
from proxytools.metrics.resample import f1_paired_interval, pearson_interval
from proxytools.metrics.span import span_metrics, window_counts
from proxytools.types import FeatureSet, Proxy, SpanDataset

MOST, N_TEST = 500, 500  # windows to learn from, at most, and to test on
DATA = ("planted medium", "planted hard", "planted easy", "saccades")
REFERENCES = tuple(proxy.name for proxy in references())
STRUCTURED = StructuredBoosting.name
DEEP = tuple(PRESETS)
PRETRAINED = tuple(f"{name}+{kind}" for name in DEEP for kind in NETWORKS)
SLOW = (*DEEP, *PRETRAINED, "unet", "label-studio-lstm")
MODELS = (*REFERENCES, *proxies.NAMES, STRUCTURED, *peers.NAMES, *DEEP, *PRETRAINED)
METRICS = ("pearson_r", "average_precision", "separation", "span_f1_50", "span_f1_70")


@dataclass(frozen=True, eq=False)
class Source:
    """Windows to learn from, in the order in which they are labelled, and windows to test on."""

    name: str
    seed: int
    train: SpanDataset
    test: SpanDataset
    ceiling: float | None  # Pearson r of the exact posterior on the windows tested


def source_of(name: str, seed: int) -> Source:
    """Draw a set; of saccades the seed says which person is held out.

    Raises
    ------
    InputError
        The saccades are not at hand.
    """
    if name != "saccades":
        planted = synthetic.planted(MOST + N_TEST, preset=name.split()[1], seed=seed)
        tested = np.arange(MOST, MOST + N_TEST)
        train, test = planted.data.take(range(MOST)), planted.data.take(tested)
        ceiling = pearson(synthetic.posterior(planted)[tested], test.mask)
        return Source(name, seed, train, test, ceiling)
    data = saccades.load()
    person = np.unique(data.windows.parent)[seed - 1]
    held_out = data.windows.parent == person
    learnt = np.random.default_rng(seed).permutation(np.flatnonzero(~held_out))
    return Source(name, seed, data.take(learnt), data.take(held_out), None)


def make(name: str, seed: int, threads: int = 0) -> Proxy:
    """Build any method by name."""
    by_name = {proxy.name: proxy for proxy in references(seed)}
    if name in by_name:
        return by_name[name]
    if name == STRUCTURED:
        return StructuredBoosting(seed=seed, threads=threads)
    if name in peers.NAMES:
        return peers.make(name, seed=seed, threads=threads)
    if name in (*DEEP, *PRETRAINED):
        base, _, kind = name.partition("+")
        settings = replace(preset(base), pretrain=kind or "none")
        # Forced: a teacher below the gate is measured as well.
        return SpanDetector(settings, name, seed=seed, threads=threads, force=True)
    return proxies.make(name, seed=seed, threads=threads)


class Computed(dict[str, FeatureSet]):
    """Feature sets of some windows, each computed when it is first asked for."""

    def __init__(self, data: SpanDataset) -> None:
        super().__init__()
        self.ohlc = data.windows.ohlc

    def __missing__(self, name: str) -> FeatureSet:
        """Compute one."""
        given = name == BARS
        self[name] = bars(self.ohlc) if given else feature_sets.compute(self.ohlc, name)
        return self[name]


def measure(
    source: Source,
    labels: int,
    proxy: Proxy,
    train: Mapping[str, FeatureSet],
    test: Mapping[str, FeatureSet],
) -> Row:
    """Fit on the first labels, score and detect on the windows never seen."""
    begin, first = perf_counter(), np.arange(labels)
    own, data = train[proxy.feature_set], source.train.take(first)
    if proxy.name in PRETRAINED:
        others = np.arange(labels, len(source.train))
        data = io.with_unlabelled(data, source.train.take(others))
    fitted = proxy.fit(own.take(np.arange(len(data))), data)
    seconds = perf_counter() - begin
    own, truth = test[proxy.feature_set], source.test
    prob, spans = fitted.predict(own), fitted.detect(own)
    units = splits.resampling_units(truth.windows, splits.groups(truth.windows))
    counts = window_counts(spans, truth.spans)
    # Less nothing at all, whose F1 is 0, the paired difference is F1 itself.
    _, f1_low, f1_high = f1_paired_interval(counts, np.zeros_like(counts), units)
    low, high = pearson_interval(prob, truth.mask, units)
    found = {**bar_metrics(prob, truth.mask), **span_metrics(spans, truth.spans)}
    r = found["pearson_r"]
    return {
        "data": source.name,
        "seed": source.seed,
        "labels": labels,
        "model": proxy.name,
        **{name: found[name] for name in METRICS},
        "r_interval": [low, high],
        "f1_interval": [f1_low, f1_high],
        "ceiling": source.ceiling,
        "of_ceiling": r / source.ceiling if source.ceiling else None,
        "seconds": seconds,
    }
