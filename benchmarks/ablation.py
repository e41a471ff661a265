"""What each part and each augmentation gives, and what a random split of children would claim.

``python -m benchmarks.ablation`` trains a plain ``segmental`` (no augmentation) and the
BiLSTM of ``single`` on 168 planted medium windows, then with one thing changed at a time, tests on
500 others, and writes ``benchmarks/results/ablation.json`` after every cell: an interrupted run
goes on where it stopped; ``--models`` leaves the others' rows as they are. Differences are paired
on the test windows of all seeds together.

The claim: children of 64 bars at a stride of 5 are split at random, so that siblings stand on both
sides, and by parent; the same proxy is fitted and judged both ways, and on children of windows that
took no part.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier

from benchmarks.quality import RESULTS, machine
from deep.augment import children
from deep.detector import SpanDetector
from deep.presets import preset
from deep.settings import Settings
from proxytools import features, synthetic
from proxytools.metrics.bar import pearson
from proxytools.metrics.resample import f1_paired_interval, paired_interval
from proxytools.metrics.span import window_counts
from proxytools.proxies import make
from proxytools.proxies.bars import BarProxy
from proxytools.types import FeatureSet, Proxy, SpanDataset

SEEDS = (1, 2, 3)
N_TRAIN, N_TEST = 168, 500
CHILD_BARS, STRIDE = 64, 5
PLAIN: dict[str, Any] = {"backwards": False, "mirror": False, "jitter": 0.0, "slide": 0}
BASES = {
    "segmental": replace(preset("segmental"), **PLAIN),
    # Alone: a ridge model beside it would hide what the BiLSTM gains.
    "single": replace(preset("single"), **PLAIN, linear=0.0, epochs=40),
}
AUGMENTATIONS: dict[str, dict[str, Any]] = {
    "backwards": {"backwards": True},
    "upside down": {"mirror": True},
    "jitter, 1 % of the range": {"jitter": 0.01},
    "children of 64 bars, stride 5": {"slide": STRIDE, "child_bars": CHILD_BARS},
}
PARTS: dict[str, dict[str, Any]] = {
    "one direction": {"directions": 1},
    "no number of spans": {"number": False},
    "no place of starts": {"place": False},
    "no ridge model": {"linear": 0.0},
    "no BiLSTM": {"hidden": 0},
    "heads read the BiLSTM alone": {"skip": False, "linear": 0.0},
    "features full": {"features": "full", "directions": 1},
    "features causal": {"features": "causal", "directions": 1},
    "features directionless": {"features": "directionless", "directions": 1},
    "three members": {"members": 3},
}
CHANGES: dict[str, dict[str, dict[str, Any]]] = {
    # With two directions, upside down changes nothing.
    "segmental": {
        "none": {},
        **{name: change for name, change in AUGMENTATIONS.items() if name != "upside down"},
        **PARTS,
    },
    "single": {"none": {}, **AUGMENTATIONS},
}
Row = dict[str, Any]


def drawn(seed: int) -> tuple[SpanDataset, SpanDataset]:
    """Return windows to learn from and windows to test on."""
    data = synthetic.planted(N_TRAIN + N_TEST, preset="medium", seed=seed).data
    return data.take(range(N_TRAIN)), data.take(range(N_TRAIN, len(data)))


def measure(model: str, change: str, seed: int, folder: Path) -> Row:
    """Train and test one detector; its predictions stay in ``folder``, to be paired."""
    settings = replace(BASES[model], **CHANGES[model][change])
    train, test = drawn(seed)
    detector = SpanDetector(settings, seed=seed, threads=1)
    detector.fit(features.compute(train.windows.ohlc, settings.features), train)
    own = features.compute(test.windows.ohlc, settings.features)
    prob, counts = detector.predict(own), window_counts(detector.detect(own), test.spans)
    np.savez(_file(folder, model, change, seed), prob=prob, counts=counts)
    hit, false, missed = counts.sum(0)
    return {
        "model": model,
        "change": change,
        "seed": seed,
        "windows": multiplier(settings),
        "pearson_r": pearson(prob, test.mask),
        "span_f1_50": float(2 * hit / (2 * hit + false + missed)),
    }


def _file(folder: Path, model: str, change: str, seed: int) -> Path:
    return folder / f"{model}-{change}-{seed}.npz"


def multiplier(settings: Settings) -> int:
    """Windows that are learnt from for each one marked."""
    copies = 2 ** (settings.backwards + settings.mirror + (settings.jitter > 0))
    data = synthetic.planted(1, preset="medium", seed=0).data
    return copies * (len(children(data, settings.child_bars, STRIDE)) if settings.slide else 1)


def summary(rows: list[Row], folder: Path) -> list[Row]:
    """Mean over seeds, and the paired difference from none over the seeds that both have."""
    lines = []
    for model, change in dict.fromkeys((row["model"], row["change"]) for row in rows):
        own = [row for row in rows if (row["model"], row["change"]) == (model, change)]
        seeds = [row["seed"] for row in own]
        means = {k: float(np.mean([row[k] for row in own])) for k in ("pearson_r", "span_f1_50")}
        line: Row = {"model": model, "change": change, "seeds": len(seeds)}
        line |= {"windows": own[0]["windows"], **means}
        both = [seed for seed in seeds if _file(folder, model, "none", seed).exists()]
        if change != "none" and both:
            line |= _paired(folder, model, change, both)
        lines.append(line)
    return lines


def _paired(folder: Path, model: str, change: str, seeds: list[int]) -> Row:
    seen = [
        [np.load(_file(folder, model, name, seed)) for seed in seeds] for name in (change, "none")
    ]
    mask = np.concatenate([drawn(seed)[1].mask for seed in seeds])
    probs = [np.concatenate([part["prob"] for part in parts]) for parts in seen]
    counts = [np.concatenate([part["counts"] for part in parts]) for parts in seen]
    units = np.arange(len(mask))
    return {
        "r_gain": paired_interval(*probs, mask, units),
        "f1_gain": f1_paired_interval(*counts, units),
    }


def claims(seed: int) -> list[Row]:
    """Judge proxies on children split at random, by parent, and of windows that took no part."""
    train, test = drawn(seed)
    own, other = (
        children(data, CHILD_BARS, STRIDE) for data in (train, test.take(range(len(train))))
    )
    rng = np.random.default_rng(seed)
    at_random = rng.permutation(len(own)) < len(own) // 5
    by_parent = np.isin(own.windows.parent, rng.permutation(train.windows.ids)[: len(train) // 5])
    trees = ExtraTreesClassifier(50, random_state=seed)  # grown to the end: they can learn by heart
    grown = BarProxy(trees, "fully grown trees", "causal", inner_folds=0)
    rows = []
    for proxy in (grown, make("lightgbm", seed=seed)):
        row: Row = {"model": proxy.name, "seed": seed}
        for name, held in (("random", at_random), ("by parent", by_parent)):
            learnt = own.take(~held)
            fitted = proxy.fit(_features(proxy, learnt), learnt)
            row[name] = _r(fitted, own.take(held))
            row[f"{name}, in truth"] = _r(fitted, other)
        rows.append(row)
    return rows


def _features(proxy: Proxy, data: SpanDataset) -> FeatureSet:
    return features.compute(data.windows.ohlc, proxy.feature_set)


def _r(proxy: Proxy, data: SpanDataset) -> float:
    return pearson(proxy.predict(_features(proxy, data)), data.mask)


def _cell(row: Row) -> tuple[str, str, int]:
    return row["model"], row["change"], row["seed"]


def cells(models: list[str], changes: list[str]) -> Iterator[tuple[str, str, int]]:
    """Yield what is measured, one seed after the other."""
    for seed in SEEDS:
        for model in models:
            yield from ((model, change, seed) for change in CHANGES[model] if change in changes)


def main() -> None:
    """Measure what is missing, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=list(CHANGES))
    parser.add_argument("--changes", nargs="+", default=["none", *AUGMENTATIONS, *PARTS])
    parser.add_argument("--runs", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--out", type=Path, default=RESULTS / "ablation.json")
    given = parser.parse_args()
    given.runs.mkdir(parents=True, exist_ok=True)
    kept = json.loads(given.out.read_text()) if given.out.exists() else {"rows": [], "summary": []}
    others, lines = (
        [row for row in kept[name] if row["model"] not in given.models]
        for name in ("rows", "summary")
    )
    rows: list[Row] = [row for row in kept["rows"] if _file(given.runs, *_cell(row)).exists()]
    rows = [row for row in rows if row not in others]
    known = {_cell(row) for row in rows}
    claimed = kept.get("claims") or [row for seed in SEEDS for row in claims(seed)]
    for model, change, seed in cells(given.models, given.changes):
        if (model, change, seed) not in known:
            rows.append(measure(model, change, seed, given.runs))
            print(rows[-1], flush=True)
        report = {
            "machine": machine(),
            "claims": claimed,
            "summary": [*summary(rows, given.runs), *lines],
            "rows": [*rows, *others],
        }
        given.out.write_text(json.dumps(report, indent=1) + "\n")
    for line in [*claimed, *summary(rows, given.runs)]:
        print(line)


if __name__ == "__main__":
    main()
