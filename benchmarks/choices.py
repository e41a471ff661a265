"""What settings of the presets were chosen by: planted seeds from 101 on, reported nowhere else.

``python -m benchmarks.choices`` fits a preset with one setting changed on 20 and on 168 windows,
tests it on 500 others, and writes ``benchmarks/results/choices.json`` after every fit: an
interrupted run goes on where it stopped. Differences from the preset's first choice are paired by
seed, their 95 % intervals are Student's t.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.record import RESULTS, Cell, Cells, Row, interval
from deep.detector import SpanDetector
from deep.presets import preset
from proxytools import features, synthetic
from proxytools.metrics.bar import pearson
from proxytools.metrics.span import span_metrics

SEEDS = (101, 102, 103, 104)
DATA = ("medium", "hard")
FEW, USUAL, N_TEST = 20, 168, 500
SLOW: dict[str, Any] = {"learning_rate": 1e-3, "linear": 20.0, "mirror": False}
CHOICES: dict[str, dict[str, dict[str, Any]]] = {
    "segmental": {
        "ridge penalty 20": {"linear": 20.0},
        "ridge penalty 200": {"linear": 200.0},
        "ridge penalty 600": {"linear": 600.0},
    },
    "single": {
        "learning rate 0.001": SLOW,
        "ridge penalty 60": {**SLOW, "linear": 60.0},
        "ridge penalty 200": {**SLOW, "linear": 200.0},
        "ridge penalty 600": {**SLOW, "linear": 600.0},
        "learning rate 0.003": {**SLOW, "learning_rate": 3e-3},
        "learning rate 0.006": {**SLOW, "learning_rate": 6e-3},
        "learning rate 0.003, upside down": {**SLOW, "learning_rate": 3e-3, "mirror": True},
    },
}
METRICS = ("pearson_r", "span_f1_50")
KEY = ("seed", "preset", "labels", "data", "choice")


def plan() -> Iterator[Cell]:
    """Yield what is measured; the penalty alone is to serve few labels as well as many."""
    for seed, name, data in product(SEEDS, CHOICES, DATA):
        for choice, labels in product(CHOICES[name], (FEW, USUAL)):
            if labels == USUAL or "ridge" in choice or choice == first(name):
                yield seed, name, labels, data, choice


def first(name: str) -> str:
    """Return the choice of a preset that others are compared with."""
    return next(iter(CHOICES[name]))


def measure(seed: int, name: str, labels: int, data: str, choice: str) -> Row:
    """Fit and test one detector."""
    settings = replace(preset(name), **CHOICES[name][choice])
    planted = synthetic.planted(labels + N_TEST, preset=data, seed=seed).data
    train, test = planted.take(range(labels)), planted.take(range(labels, len(planted)))
    detector = SpanDetector(settings, seed=seed, threads=1)
    detector.fit(features.compute(train.windows.ohlc, settings.features), train)
    own = features.compute(test.windows.ohlc, settings.features)
    return {
        **dict(zip(KEY, (seed, name, labels, data, choice), strict=True)),
        "pearson_r": pearson(detector.predict(own), test.mask),
        "span_f1_50": span_metrics(detector.detect(own), test.spans)["span_f1_50"],
    }


def summary(rows: list[Row]) -> list[Row]:
    """Mean gains over the first choice, where at least two seeds have both."""
    cells = {tuple(row[k] for k in KEY): row for row in rows}
    lines = []
    for name, labels, data in product(CHOICES, (FEW, USUAL), DATA):
        base = first(name)
        for choice in CHOICES[name]:
            keys = [[(seed, name, labels, data, x) for x in (choice, base)] for seed in SEEDS]
            pairs = [[cells[k] for k in both] for both in keys if set(both) <= cells.keys()]
            if len(pairs) < 2:
                continue
            line: Row = {"preset": name, "data": data, "labels": labels, "choice": choice}
            line |= {"seeds": len(pairs)}
            line |= {k: sum(row[k] for row, _ in pairs) / len(pairs) for k in METRICS}
            if choice != base:
                gain = {k: interval([row[k] - plain[k] for row, plain in pairs]) for k in METRICS}
                line["gain"] = gain
            lines.append(line)
    return lines


def main() -> None:
    """Measure what is missing, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS / "choices.json")
    found = Cells(parser.parse_args().out, KEY, lambda rows: {"summary": summary(rows)})
    for cell in found.missing(plan()):
        found.add(measure(*cell))
    print(*summary(found.rows), sep="\n")


if __name__ == "__main__":
    main()
