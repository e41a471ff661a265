"""How much the ridge model beside a detector is penalised: one number for few labels and for many.

``python -m benchmarks.ridge`` fits ``segmental`` on 20 and on 168 windows with several penalties,
tests on 500 others, and writes ``benchmarks/results/ridge.json`` after every fit: an interrupted
run goes on where it stopped. Its planted seeds, from 101 on, are reported nowhere else. Differences
from the first penalty are paired by seed, their 95 % intervals are Student's t.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

from benchmarks.labels import interval
from benchmarks.quality import RESULTS, machine
from deep.detector import SpanDetector
from deep.presets import preset
from proxytools import features, synthetic
from proxytools.metrics.bar import pearson
from proxytools.metrics.span import span_metrics

SEEDS = (101, 102, 103, 104)
DATA = ("medium", "hard")
LABELS, N_TEST = (20, 168), 500
PENALTIES = (20.0, 200.0, 600.0)
METRICS = ("pearson_r", "span_f1_50")
Row = dict[str, Any]
Key = tuple[str, int, float, int]


def measure(data: str, labels: int, penalty: float, seed: int) -> Row:
    """Fit and test one detector."""
    settings = replace(preset("segmental"), linear=penalty)
    planted = synthetic.planted(labels + N_TEST, preset=data, seed=seed).data
    train, test = planted.take(range(labels)), planted.take(range(labels, len(planted)))
    detector = SpanDetector(settings, seed=seed, threads=1)
    detector.fit(features.compute(train.windows.ohlc, settings.features), train)
    own = features.compute(test.windows.ohlc, settings.features)
    return {
        "data": data,
        "labels": labels,
        "penalty": penalty,
        "seed": seed,
        "pearson_r": pearson(detector.predict(own), test.mask),
        "span_f1_50": span_metrics(detector.detect(own), test.spans)["span_f1_50"],
    }


def summary(rows: list[Row]) -> list[Row]:
    """Mean gains over the first penalty, where at least two seeds have both."""
    cells = {_key(row): row for row in rows}
    lines = []
    for data, labels, penalty in product(DATA, LABELS, PENALTIES):
        pairs = [
            (cells[data, labels, penalty, seed], cells[data, labels, PENALTIES[0], seed])
            for seed in SEEDS
            if {(data, labels, x, seed) for x in (penalty, PENALTIES[0])} <= cells.keys()
        ]
        if len(pairs) < 2:
            continue
        line: Row = {"data": data, "labels": labels, "penalty": penalty, "seeds": len(pairs)}
        line |= {name: sum(row[name] for row, _ in pairs) / len(pairs) for name in METRICS}
        if penalty != PENALTIES[0]:
            line["gain"] = {
                name: interval([row[name] - first[name] for row, first in pairs])
                for name in METRICS
            }
        lines.append(line)
    return lines


def _key(row: Row) -> Key:
    return row["data"], row["labels"], row["penalty"], row["seed"]


def main() -> None:
    """Measure what is missing, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=RESULTS / "ridge.json")
    given = parser.parse_args()
    rows: list[Row] = json.loads(given.out.read_text())["rows"] if given.out.exists() else []
    known = {_key(row) for row in rows}
    for labels, seed, data, penalty in product(LABELS, SEEDS, DATA, PENALTIES):
        if (data, labels, penalty, seed) in known:
            continue
        rows.append(measure(data, labels, penalty, seed))
        print(rows[-1], flush=True)
        report = {"machine": machine(), "summary": summary(rows), "rows": rows}
        given.out.write_text(json.dumps(report, indent=1) + "\n")
    for line in summary(rows):
        print(line)


if __name__ == "__main__":
    main()
