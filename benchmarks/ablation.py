"""What each part and each augmentation gives, and what a random split of children would claim.

``python -m benchmarks.ablation`` trains a plain ``segmental`` (no augmentation) and the
BiLSTM of ``single`` on 168 planted medium windows, then with one thing changed at a time, tests on
500 others, and writes ``benchmarks/results/ablation.json`` after every cell: an interrupted run
goes on where it stopped. Differences are paired
on the test windows of each seed.

The claim: children of 64 bars at a stride of 5 are split at random, so that siblings stand on both
sides, and by parent; the same proxy is fitted and judged both ways, and on children of windows that
took no part.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.ensemble import ExtraTreesClassifier

from benchmarks.record import RESULTS, Cells, Row, paired, said
from deep.augment import children
from deep.detector import SpanDetector
from deep.presets import preset
from deep.settings import Settings
from proxytools import features, synthetic
from proxytools.metrics.bar import pearson
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
    "single": replace(preset("single"), **PLAIN, linear=0.0, epochs=40, learning_rate=1e-3),
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
KEY = ("model", "change", "seed")


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


def summary(rows: list[Row], folder: Path, earlier: list[Row]) -> list[Row]:
    """Mean over seeds, and the paired difference from none over the seeds that both have.

    Of changes whose predictions are no longer in ``folder`` it is what ``earlier`` lines say.
    """
    known = {(line["model"], line["change"]): line for line in earlier}
    lines = []
    for model, change in dict.fromkeys((row["model"], row["change"]) for row in rows):
        own = [row for row in rows if (row["model"], row["change"]) == (model, change)]
        seeds = [row["seed"] for row in own]
        means = {k: float(np.mean([row[k] for row in own])) for k in ("pearson_r", "span_f1_50")}
        line: Row = {"model": model, "change": change, "seeds": len(seeds)}
        line |= {"windows": own[0]["windows"], **means}
        if change != "none":
            line |= _gains(folder, model, change, seeds) or known.get((model, change), {})
        lines.append(line)
    return lines


def _gains(folder: Path, model: str, change: str, seeds: list[int]) -> Row:
    """Paired differences from none, where all predictions are at hand."""
    paths = [[_file(folder, model, name, seed) for seed in seeds] for name in (change, "none")]
    if not all(path.exists() for own in paths for path in own):
        return {}
    ours, theirs = (list(map(said, own)) for own in paths)
    r, f1 = paired(ours, theirs, [drawn(seed)[1].mask for seed in seeds])
    return {"r_gain": r, "f1_gain": f1}


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
    parser.add_argument("--again", action="store_true", help="Measure the chosen cells anew.")
    parser.add_argument("--runs", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--out", type=Path, default=RESULTS / "ablation.json")
    given = parser.parse_args()
    given.runs.mkdir(parents=True, exist_ok=True)
    plan = list(cells(given.models, given.changes))

    def report(rows: list[Row]) -> Row:
        lines = summary(rows, given.runs, found.earlier.get("summary", []))
        return {"claims": claimed, "summary": lines}

    found = Cells(
        given.out,
        KEY,
        report,
        again=plan if given.again else (),
    )
    claimed = found.earlier.get("claims") or [row for seed in SEEDS for row in claims(seed)]
    for cell in found.missing(plan):
        found.add(measure(*cell, given.runs))
    found.write()
    print(*claimed, *report(found.rows)["summary"], sep="\n")


if __name__ == "__main__":
    main()
