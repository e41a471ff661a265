"""How much each method makes of 20, 50, 100, 168 and 500 labels, and whether more would help.

``python -m benchmarks.labels`` fits every method on the first labels of a set, tests it on windows
never seen (500 planted ones, or the third person's saccades), and writes
``benchmarks/results/labels.json`` after every cell: an interrupted run goes on where it stopped.
A detector named ``segmental+masked`` is pre-trained; the windows not labelled yet are its
unlabelled ones. ``--models``, ``--labels``, ``--data`` and ``--seeds`` choose cells. A row's
interval is a bootstrap over its test windows; a mean's is Student's t over seeds, or over persons,
and of fewer than three the mean of their rows'. ``--quick`` takes two or three minutes and exits
with 1 where the methods do not stand in the order they should. ``python -m benchmarks.curves``
draws the learning curves.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise, product
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from scipy.stats import t as student

from benchmarks import peers, saccades
from benchmarks.quality import RESULTS, machine
from benchmarks.structured import StructuredBoosting
from deep.detector import SpanDetector
from deep.presets import PRESETS, preset
from deep.pretrain import NETWORKS
from proxytools import features as feature_sets
from proxytools import io, proxies, splits, synthetic
from proxytools.errors import InputError
from proxytools.leaderboard import references
from proxytools.metrics.bar import bar_metrics, pearson
from proxytools.metrics.resample import f1_paired_interval, pearson_interval
from proxytools.metrics.span import span_metrics, window_counts
from proxytools.types import FeatureSet, Proxy, SpanDataset

N_TEST = 500
LABELS = (20, 50, 100, 168, 500)
MOST = max(LABELS)
DATA = ("planted medium", "planted hard", "planted easy", "saccades")
REFERENCES = tuple(proxy.name for proxy in references())
STRUCTURED = StructuredBoosting.name
DEEP = tuple(PRESETS)
PRETRAINED = tuple(f"{name}+{kind}" for name in DEEP for kind in NETWORKS)
SLOW = (*DEEP, *PRETRAINED, "unet", "label-studio-lstm")
MODELS = (*REFERENCES, *proxies.NAMES, STRUCTURED, *peers.NAMES, *DEEP, *PRETRAINED)
SEEDS, SLOW_SEEDS, PERSONS = 5, 3, 3
LEAST_SEEDS = 3  # Student's t of two says nothing
FULL: dict[str, Any] = {"models": MODELS, "labels": LABELS, "data": DATA, "seeds": SEEDS}
QUICK: dict[str, Any] = {
    "models": (*REFERENCES, "formula", "logistic", "lightgbm", "xgboost"),
    "labels": (50, 168),
    "data": DATA[:1],
    "seeds": 1,
}
CHANCE = 0.05  # more than noise correlates by on the quick run's windows
METRICS = ("pearson_r", "average_precision", "separation", "span_f1_50", "span_f1_70")
KEY = ("data", "seed", "labels", "model")
Row = dict[str, Any]


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
        bars = name == peers.BARS
        self[name] = peers.bars(self.ohlc) if bars else feature_sets.compute(self.ohlc, name)
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


def cells(
    models: tuple[str, ...],
    labels: tuple[int, ...],
    data: tuple[str, ...],
    seeds: int,
    known: set[tuple[Any, ...]],
    threads: int,
) -> Iterator[Row]:
    """Measure every cell that is not known yet."""
    for name in data:
        for seed in range(1, (PERSONS if name == "saccades" else seeds) + 1):
            able = [model for model in models if seed <= SLOW_SEEDS or model not in SLOW]
            todo = [x for x in product(labels, able) if (name, seed, *x) not in known]
            if not todo:
                continue
            try:
                source = source_of(name, seed)
            except InputError as error:
                print(f"{name} left out: {error}")
                break
            train, test = Computed(source.train), Computed(source.test)
            for n, model in todo:
                if n <= len(source.train):
                    yield measure(source, n, make(model, seed, threads), train, test)


def summary(rows: list[Row]) -> list[Row]:
    """Mean over seeds of each metric, with intervals of r and of span F1."""
    lines = []
    for key in dict.fromkeys((row["data"], row["labels"], row["model"]) for row in rows):
        own = [row for row in rows if (row["data"], row["labels"], row["model"]) == key]
        line: Row = dict(zip(("data", "labels", "model"), key, strict=True))
        line |= {"seeds": len(own)}
        for name in (*METRICS, "ceiling", "of_ceiling", "seconds"):
            known = [row[name] for row in own if row[name] is not None]
            line[name] = float(np.mean(known)) if known else None
        for name, metric in (("r_interval", "pearson_r"), ("f1_interval", "span_f1_50")):
            values = [row[metric] or 0.0 for row in own]
            few = np.mean([row[name] for row in own], axis=0).tolist()
            line[name] = list(interval(values)[1:]) if len(own) >= LEAST_SEEDS else few
        lines.append(line)
    return lines


def interval(values: list[float], level: float = 0.95) -> tuple[float, float, float]:
    """Mean, and Student's t interval of it.

    Examples
    --------
    >>> [round(value, 3) for value in interval([0.1, 0.2, 0.3])]
    [0.2, -0.048, 0.448]
    """
    mean, n = float(np.mean(values)), len(values)
    half = student.ppf((1 + level) / 2, n - 1) * np.std(values, ddof=1) / np.sqrt(n)
    return mean, float(mean - half), float(mean + half)


def gains(rows: list[Row]) -> list[Row]:
    """Say what going from one number of labels to the next gave in r, paired by seed."""
    lines = []
    r = {tuple(row[name] for name in KEY): row["pearson_r"] for row in rows}
    for data, model in dict.fromkeys((row["data"], row["model"]) for row in rows):
        for few, many in pairwise(LABELS):
            seeds = [key[1] for key in r if (key[0], key[2], key[3]) == (data, few, model)]
            both = [seed for seed in seeds if (data, seed, many, model) in r]
            if len(both) >= LEAST_SEEDS:
                found = [r[data, seed, many, model] - r[data, seed, few, model] for seed in both]
                line = {"data": data, "model": model, "from": few, "to": many}
                lines.append({**line, "r_gain": list(interval(found))})
    return lines


def disorder(lines: list[Row]) -> list[str]:
    """Name what stands where it should not: references, formula, boosted trees, in that order."""
    wrong = []
    for key in dict.fromkeys((line["data"], line["labels"]) for line in lines):
        own = {
            line["model"]: line["pearson_r"]
            for line in lines
            if (line["data"], line["labels"]) == key
        }
        best = max(own[name] for name in REFERENCES)
        boosted = [own[name] for name in ("lightgbm", "xgboost") if name in own]
        if not best < own["formula"] < min(boosted):
            wrong.append(f"{key}: references {best:.3f}, formula {own['formula']:.3f}, {boosted}")
        if abs(own["random"]) > CHANCE:
            wrong.append(f"{key}: noise has r = {own['random']:.3f}")
    return wrong


def shown(line: Row) -> str:
    """Return one cell as a line of text."""
    r, (low, high), f1 = line["pearson_r"], line["r_interval"], line["span_f1_50"]
    share = "" if line["of_ceiling"] is None else f"  {line['of_ceiling']:4.0%} of the ceiling"
    found = f"r {r:.3f} ({low:.3f} to {high:.3f})  F1 {'    -' if f1 is None else f'{f1:.3f}'}"
    return f"{line['data']:15}{line['labels']:4} {line['model']:30}{found}{share}"


def named(known: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    """Read names separated by commas."""

    def read(text: str) -> tuple[str, ...]:
        names = tuple(text.split(","))
        if unknown := set(names) - set(known):
            raise argparse.ArgumentTypeError(f"{sorted(unknown)}: known are {', '.join(known)}")
        return names

    return read


def main() -> None:
    """Measure what is missing, write after every cell, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=named(MODELS))
    parser.add_argument("--labels", type=lambda text: tuple(map(int, text.split(","))))
    parser.add_argument("--data", type=named(DATA))
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    plan = dict(QUICK if given.quick else FULL)
    plan |= {name: value for name in plan if (value := vars(given)[name])}
    out = given.out or (None if given.quick else RESULTS / "labels.json")
    rows = json.loads(out.read_text())["rows"] if out and out.exists() else []
    known = {tuple(row[name] for name in KEY) for row in rows}
    for row in cells(**plan, known=known, threads=given.threads):
        rows.append(row)
        print(f"seed {row['seed']}  {shown(row)}", flush=True)
        if out:
            report = {"machine": machine(), "summary": summary(rows), "gains": gains(rows)}
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_text(json.dumps({**report, "rows": rows}, indent=1) + "\n")
    lines = summary(rows)
    print(*map(shown, sorted(lines, key=_place)), sep="\n")
    if given.quick and (wrong := disorder(lines)):
        print("Out of order:", *wrong, sep="\n  ")
        sys.exit(1)


def _place(line: Row) -> tuple[int, int, float]:
    return DATA.index(line["data"]), line["labels"], -line["pearson_r"]


if __name__ == "__main__":
    main()
