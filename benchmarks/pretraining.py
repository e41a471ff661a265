"""Does pre-training help where marks are few? 20 labelled windows, 5,000 that nobody looked at.

``python -m benchmarks.pretraining`` trains the default detector on planted medium windows without
pre-training and with each kind of it, tests on 400 others, and writes
``benchmarks/results/pretraining.json`` after every cell: an interrupted run goes on where it
stopped. Differences are paired by seed (the same marks, test windows and random streams), their
95 % intervals are Student's t over the seeds. The marks of the 5,000 are never read.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import product
from pathlib import Path
from time import perf_counter

import numpy as np

from benchmarks.record import RESULTS, Cells, Row, interval
from deep.detector import SpanDetector
from deep.presets import preset
from proxytools import features, io, synthetic
from proxytools.metrics.bar import bar_metrics
from proxytools.metrics.span import span_metrics

SEEDS = (1, 2, 3, 4, 5)
KINDS = ("none", "proxies", "masked", "contrastive")
LABELLED, UNLABELLED, TESTED = 20, 5000, 400
OTHER = 100  # added to the seed of the unlabelled windows
METRICS = ("pearson_r", "average_precision", "span_f1_50", "span_f1_70")
KEY = ("pretrain", "seed")


def measure(kind: str, seed: int, threads: int) -> Row:
    """Train one detector and test it."""
    planted = synthetic.planted(LABELLED + TESTED, preset="medium", seed=seed).data
    data, test = planted.take(range(LABELLED)), planted.take(range(LABELLED, LABELLED + TESTED))
    others = synthetic.planted(UNLABELLED, preset="medium", seed=OTHER + seed).data
    data = io.with_unlabelled(data, others)
    # Where spans stand in a window is read off the marks, whatever comes before them.
    settings = replace(preset("segmental"), pretrain=kind, place=False)
    # Forced, so that a teacher below the gate is measured as well; the row says that it was.
    detector = SpanDetector(settings, seed=seed, threads=threads, force=True)
    begin = perf_counter()
    detector.fit(features.compute(data.windows.ohlc, settings.features), data)
    seconds = perf_counter() - begin
    own = features.compute(test.windows.ohlc, settings.features)
    found = {
        **bar_metrics(detector.predict(own), test.mask),
        **span_metrics(detector.detect(own), test.spans),
    }
    return {
        "pretrain": kind,
        "seed": seed,
        **{name: found[name] for name in METRICS},
        "train_seconds": seconds,
        "warnings": detector.warnings_,
    }


def summary(rows: list[Row]) -> list[Row]:
    """Means over seeds, and what each kind gave beside none, with its interval."""
    cells = {(row["pretrain"], row["seed"]): row for row in rows}
    lines = []
    for kind in KINDS:
        own = [cells[kind, seed] for seed in SEEDS if (kind, seed) in cells]
        line: Row = {"pretrain": kind, "seeds": len(own)}
        line |= {name: float(np.mean([row[name] for row in own])) for name in METRICS if own}
        pairs = [(row, cells["none", row["seed"]]) for row in own if ("none", row["seed"]) in cells]
        if kind != "none" and len(pairs) > 1:
            line["gain"] = {
                name: interval([a[name] - b[name] for a, b in pairs]) for name in METRICS
            }
        lines.append(line)
    return lines


def main() -> None:
    """Measure what is missing, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--again", action="store_true", help="Measure all cells anew.")
    parser.add_argument("--out", type=Path, default=RESULTS / "pretraining.json")
    given = parser.parse_args()
    beside = {
        "windows": {"labelled": LABELLED, "unlabelled": UNLABELLED, "tested": TESTED},
        "pretrain_epochs": preset("segmental").pretrain_epochs,
    }
    plan = list(product(KINDS, SEEDS))
    found = Cells(
        given.out,
        KEY,
        lambda rows: beside | {"summary": summary(rows)},
        again=plan if given.again else (),
    )
    for cell in found.missing(plan):
        found.add(measure(*cell, given.threads))
    print(*summary(found.rows), sep="\n")


if __name__ == "__main__":
    main()
