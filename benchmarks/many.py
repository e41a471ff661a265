"""What is lost by having few labels: the default detector on 168 windows, and on 5,000.

``python -m benchmarks.many`` fits both, tests them on the same 500 planted windows that neither
saw, and writes ``benchmarks/results/many.json`` after every fit: an interrupted run goes on where
it stopped. The 5,000 are a draw of their own, which nothing else is learnt or tuned on: the row
says what bars alone can give, the ceiling what no method can beat.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.labels import DATA, Computed, make, measure, shown, source_of
from benchmarks.quality import RESULTS, machine
from proxytools import synthetic

PLANTED = DATA[:2]
FEW, MANY = 168, 5000
OTHER = 1000  # added to the seed of the 5,000
SEEDS = (1, 2, 3)
METRICS = ("pearson_r", "span_f1_50", "span_f1_70")
Row = dict[str, Any]


def fit(name: str, seed: int, labels: int, threads: int) -> Row:
    """Fit and test once."""
    source = source_of(name, seed)
    if labels == MANY:
        others = synthetic.planted(MANY, preset=name.split()[1], seed=OTHER + seed)
        source = replace(source, train=others.data)
    proxy = make("segmental", seed, threads)
    return measure(source, labels, proxy, Computed(source.train), Computed(source.test))


def summary(rows: list[Row]) -> list[Row]:
    """Means over the seeds that have both, and what share of the many's figures the few have."""
    lines = []
    for name in dict.fromkeys(row["data"] for row in rows):
        cells = {(row["labels"], row["seed"]): row for row in rows if row["data"] == name}
        seeds = [seed for seed in SEEDS if (FEW, seed) in cells and (MANY, seed) in cells]
        if not seeds:
            continue
        line: Row = {"data": name, "seeds": len(seeds)}
        for metric in (*METRICS, "ceiling"):
            few, many = (
                float(np.mean([cells[n, seed][metric] for seed in seeds])) for n in (FEW, MANY)
            )
            line[metric] = {"few": few, "many": many, "share": few / many}
        lines.append(line)
    return lines


def main() -> None:
    """Measure what is missing, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="+", default=PLANTED, choices=PLANTED)
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS, choices=SEEDS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS / "many.json")
    given = parser.parse_args()
    rows: list[Row] = json.loads(given.out.read_text())["rows"] if given.out.exists() else []
    known = {(row["data"], row["seed"], row["labels"]) for row in rows}
    for seed, name, labels in product(given.seeds, given.data, (FEW, MANY)):
        if (name, seed, labels) in known:
            continue
        rows.append(fit(name, seed, labels, given.threads))
        print(f"seed {seed}  {shown(rows[-1])}", flush=True)
        report = {"machine": machine(), "few": FEW, "many": MANY, "summary": summary(rows)}
        given.out.write_text(json.dumps({**report, "rows": rows}, indent=1) + "\n")
    for line in summary(rows):
        print(line)


if __name__ == "__main__":
    main()
