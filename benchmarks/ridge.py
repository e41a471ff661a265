"""How much the ridge model beside a detector is penalised: one number for few labels and for many.

``python -m benchmarks.ridge`` fits ``segmental`` and ``single`` on 20 and on 168 windows with
several penalties, tests on 500 others, and writes ``benchmarks/results/ridge.json`` after every
fit: an interrupted run goes on where it stopped. Its planted seeds, from 101 on, are reported
nowhere else. Differences from the first penalty are paired by seed, their 95 % intervals are
Student's t.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import product
from pathlib import Path

from benchmarks.record import RESULTS, Cells, Row, interval
from deep.detector import SpanDetector
from deep.presets import preset
from proxytools import features, synthetic
from proxytools.metrics.bar import pearson
from proxytools.metrics.span import span_metrics

SEEDS = (101, 102, 103, 104)
DATA = ("medium", "hard")
LABELS, N_TEST = (20, 168), 500
PENALTIES = {"segmental": (20.0, 200.0, 600.0), "single": (20.0, 60.0, 200.0, 600.0)}
METRICS = ("pearson_r", "span_f1_50")
KEY = ("seed", "preset", "labels", "data", "penalty")


def measure(seed: int, name: str, labels: int, data: str, penalty: float) -> Row:
    """Fit and test one detector."""
    settings = replace(preset(name), linear=penalty)
    planted = synthetic.planted(labels + N_TEST, preset=data, seed=seed).data
    train, test = planted.take(range(labels)), planted.take(range(labels, len(planted)))
    detector = SpanDetector(settings, seed=seed, threads=1)
    detector.fit(features.compute(train.windows.ohlc, settings.features), train)
    own = features.compute(test.windows.ohlc, settings.features)
    return {
        **dict(zip(KEY, (seed, name, labels, data, penalty), strict=True)),
        "pearson_r": pearson(detector.predict(own), test.mask),
        "span_f1_50": span_metrics(detector.detect(own), test.spans)["span_f1_50"],
    }


def summary(rows: list[Row]) -> list[Row]:
    """Mean gains over the first penalty, where at least two seeds have both."""
    cells = {tuple(row[k] for k in KEY): row for row in rows}
    lines = []
    for name, data, labels in product(PENALTIES, DATA, LABELS):
        base = PENALTIES[name][0]
        for penalty in PENALTIES[name]:
            pairs = [
                (cells[seed, name, labels, data, penalty], cells[seed, name, labels, data, base])
                for seed in SEEDS
                if {(seed, name, labels, data, x) for x in (penalty, base)} <= cells.keys()
            ]
            if len(pairs) < 2:
                continue
            line: Row = {"preset": name, "data": data, "labels": labels, "penalty": penalty}
            line |= {"seeds": len(pairs)}
            line |= {k: sum(row[k] for row, _ in pairs) / len(pairs) for k in METRICS}
            if penalty != base:
                line["gain"] = {
                    k: interval([row[k] - first[k] for row, first in pairs]) for k in METRICS
                }
            lines.append(line)
    return lines


def main() -> None:
    """Measure what is missing, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS / "ridge.json")
    found = Cells(parser.parse_args().out, KEY, lambda rows: {"summary": summary(rows)})
    plan = product(SEEDS, PENALTIES, LABELS, DATA)
    for cell in found.missing((*rest, x) for rest in plan for x in PENALTIES[rest[1]]):
        found.add(measure(*cell))
    print(*summary(found.rows), sep="\n")


if __name__ == "__main__":
    main()
