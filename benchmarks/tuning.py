"""How the defaults of the detector are chosen: by cross-validation inside training windows.

``python -m benchmarks.tuning`` changes one setting of a plain ``segmental`` and cross-fits on the
168 windows that `benchmarks.detector` learns from (of saccades, on two persons), never on those it
is tested on. A cell is one change, one set and one seed of the folds; its figure is what inner
folds held out said. How many members pay is told by outer folds inside the same windows, because
inner ones train one each. Differences are paired by cell, their 95 % intervals are Student's t over
cells. It writes ``benchmarks/results/tuning.json`` after every cell: an interrupted run goes on
where it stopped.
"""

from __future__ import annotations

import argparse
import copy
import json
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.detector import DATA, data_sets
from benchmarks.labels import interval
from benchmarks.quality import RESULTS, machine
from deep.detector import SpanDetector
from deep.model import Ensemble
from deep.presets import preset
from deep.settings import Settings
from proxytools import features
from proxytools.evaluate import cross_fit
from proxytools.types import SpanDataset

FOLD_SEEDS = (0, 1)
OUTER_FOLDS = 3
RIDGE = 112.0  # two thirds of 168 windows: 1 beside the mean loss of an inner fold
# Windows as they are take half the time.
BASE = replace(preset("segmental"), backwards=False, linear=RIDGE)
CHANGES: dict[str, dict[str, Any]] = {
    "none": {},
    "backwards": {"backwards": True},
    "no place": {"place": False},
    "hidden 8": {"hidden": 8},
    "hidden 32": {"hidden": 32},
    "ridge 3": {"linear": 3 * RIDGE},
    "no ridge model": {"linear": 0.0},
    "learning rate 0.001": {"learning_rate": 1e-3},
    "dropout 0.5": {"dropout": 0.5},
    "no BiLSTM": {"hidden": 0},
}
ALONE, TOGETHER = "one member, outer folds", "three members, outer folds"
METRICS = ("pearson_r", "span_f1_50", "span_f1_70")
Row = dict[str, Any]
Key = tuple[str, str, int, int]


def measure(settings: Settings, fold_seed: int, train: SpanDataset) -> Row:
    """Cross-fit inside the windows of a set."""
    detector = SpanDetector(settings, seed=fold_seed, threads=1)
    detector.fit(features.compute(train.windows.ohlc, settings.features), train)
    return {name: detector.held_out_[name] for name in METRICS}


def members(fold_seed: int, train: SpanDataset) -> dict[str, Row]:
    """Cross-fit three members inside the windows of a set; read the first alone, and all three."""
    detector = SpanDetector(replace(BASE, members=3), seed=fold_seed, threads=1)
    whole = cross_fit(detector, train, n_folds=OUTER_FOLDS, seed=fold_seed, also=_first)
    assert whole.also is not None
    read = {ALONE: whole.also.metrics, TOGETHER: whole.metrics}
    return {name: {metric: found[metric] for metric in METRICS} for name, found in read.items()}


def _first(detector: SpanDetector) -> SpanDetector:
    """Return a fitted detector of its first member alone."""
    first, whole = copy.copy(detector), detector.ensemble_
    first.ensemble_ = Ensemble([whole.members[0]], whole.linear, whole.place).eval()
    return first


def summary(rows: list[Row]) -> list[Row]:
    """Each change's mean gain over none, or over one member, by data and metric."""
    cells = {key(row): row for row in rows}
    lines = []
    for change, data in dict.fromkeys((row["change"], row["data"]) for row in rows):
        own = [row for row in rows if (row["change"], row["data"]) == (change, data)]
        line: Row = {"change": change, "data": data, "cells": len(own)}
        line |= {name: float(np.mean([row[name] for row in own])) for name in METRICS}
        base = ALONE if change == TOGETHER else "none"
        pairs = [(row, cells.get((base, *key(row)[1:]))) for row in own]
        if change not in ("none", ALONE) and len(pairs) > 1 and all(plain for _, plain in pairs):
            line["gain"] = {
                name: interval([row[name] - plain[name] for row, plain in pairs if plain])
                for name in METRICS
            }
        lines.append(line)
    return lines


def key(row: Row) -> Key:
    """Return what a cell is of."""
    return row["change"], row["data"], row["set"], row["fold_seed"]


def main() -> None:
    """Measure what is missing, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    every = [*CHANGES, TOGETHER]
    parser.add_argument("--changes", nargs="+", default=every, choices=every)
    parser.add_argument("--data", nargs="+", default=DATA, choices=DATA)
    parser.add_argument("--out", type=Path, default=RESULTS / "tuning.json")
    given = parser.parse_args()
    rows: list[Row] = json.loads(given.out.read_text())["rows"] if given.out.exists() else []
    known = {key(row) for row in rows}
    sets = list(data_sets(given.data))
    for fold_seed, change, (name, seed, train, _) in product(FOLD_SEEDS, given.changes, sets):
        if (change, name, seed, fold_seed) in known:
            continue
        if change == TOGETHER and name == "saccades":
            continue  # two persons: without one of them there are no inner folds
        if change == TOGETHER:
            found = members(fold_seed, train)
        else:
            found = {change: measure(replace(BASE, **CHANGES[change]), fold_seed, train)}
        at = {"data": name, "set": seed, "fold_seed": fold_seed}
        rows += [{"change": made, **at, **metrics} for made, metrics in found.items()]
        print(*rows[-len(found) :], sep="\n", flush=True)
        report = {"machine": machine(), "summary": summary(rows), "rows": rows}
        given.out.write_text(json.dumps(report, indent=1) + "\n")
    for line in summary(rows):
        print(line)


if __name__ == "__main__":
    main()
