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
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.detector import DATA, data_sets
from benchmarks.record import RESULTS, Cell, Cells, Row, interval
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
KEY = ("change", "data", "set", "fold_seed")


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
    cells = {tuple(row[name] for name in KEY): row for row in rows}
    lines = []
    for change, data in dict.fromkeys((row["change"], row["data"]) for row in rows):
        own = [row for row in rows if (row["change"], row["data"]) == (change, data)]
        line: Row = {"change": change, "data": data, "cells": len(own)}
        line |= {name: float(np.mean([row[name] for row in own])) for name in METRICS}
        base = ALONE if change == TOGETHER else "none"
        pairs = [(row, cells.get((base, *(row[name] for name in KEY[1:])))) for row in own]
        if change not in ("none", ALONE) and len(pairs) > 1 and all(plain for _, plain in pairs):
            line["gain"] = {
                name: interval([row[name] - plain[name] for row, plain in pairs if plain])
                for name in METRICS
            }
        lines.append(line)
    return lines


def main() -> None:
    """Measure what is missing, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    every = [*CHANGES, TOGETHER]
    parser.add_argument("--changes", nargs="+", default=every, choices=every)
    parser.add_argument("--data", nargs="+", default=DATA, choices=DATA)
    parser.add_argument("--out", type=Path, default=RESULTS / "tuning.json")
    given = parser.parse_args()
    found = Cells(given.out, KEY, lambda rows: {"summary": summary(rows)})
    sets = {(name, seed): train for name, seed, train, _ in data_sets(given.data)}
    for change, name, seed, fold_seed in found.missing(plan(given.changes, list(sets))):
        if change == TOGETHER:
            figures = members(fold_seed, sets[name, seed])
        else:
            settings = replace(BASE, **CHANGES[change])
            figures = {change: measure(settings, fold_seed, sets[name, seed])}
        at = {"data": name, "set": seed, "fold_seed": fold_seed}
        found.add(*({"change": made, **at, **metrics} for made, metrics in figures.items()))
    print(*summary(found.rows), sep="\n")


def plan(changes: list[str], sets: list[tuple[str, int]]) -> Iterator[Cell]:
    """Yield what is measured; two persons alone have no inner folds without one of them."""
    for fold_seed, change, (name, seed) in product(FOLD_SEEDS, changes, sets):
        if change != TOGETHER or name != "saccades":
            yield change, name, seed, fold_seed


if __name__ == "__main__":
    main()
