"""What is lost by having few labels: the default detector on 168 windows, and on 5,000.

``python -m benchmarks.many`` fits both, tests them on the same 500 planted windows that neither
saw, and writes ``benchmarks/results/many.json`` after every fit: an interrupted run goes on where
it stopped. The 5,000 are a draw of their own, which nothing else is learnt or tuned on: the row
says what bars alone can give, the ceiling what no method can beat.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np

from benchmarks.methods import DATA, Computed, make, measure, source_of
from benchmarks.record import RESULTS, Cells, Row
from proxytools import synthetic

PLANTED = DATA[:2]
FEW, MANY = 168, 5000
OTHER = 1000  # added to the seed of the 5,000
SEEDS = (1, 2, 3)
METRICS = ("pearson_r", "span_f1_50", "span_f1_70")
KEY = ("seed", "data", "labels")


def fit(seed: int, name: str, labels: int, threads: int) -> Row:
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
    parser.add_argument("--again", action="store_true", help="Measure them anew.")
    parser.add_argument("--out", type=Path, default=RESULTS / "many.json")
    given = parser.parse_args()
    plan = list(product(given.seeds, given.data, (FEW, MANY)))
    found = Cells(
        given.out,
        KEY,
        lambda rows: {"few": FEW, "many": MANY, "summary": summary(rows)},
        again=plan if given.again else (),
    )
    for cell in found.missing(plan):
        found.add(fit(*cell, given.threads))
    print(*summary(found.rows), sep="\n")


if __name__ == "__main__":
    main()
