"""How well each proxy finds spans it never saw: planted data and human-marked saccades.

``python -m benchmarks.quality`` prints a table and writes ``benchmarks/results/quality.json``;
with ``--models`` it measures those again and keeps the rows of the others.
Planted sets have 210 windows in five folds, so each model learns from 168; saccades leave one
person out. Nothing is tuned on the rows reported.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import saccades
from benchmarks.record import RESULTS, Cells, Row
from proxytools import synthetic
from proxytools.errors import InputError
from proxytools.evaluate import compute, cross_fit
from proxytools.leaderboard import references
from proxytools.proxies import NAMES, make
from proxytools.types import SpanDataset

KEY = ("data", "seed", "model")
METRICS = ("pearson_r", "average_precision", "separation", "span_f1_50", "span_f1_70")


def data_sets(seeds: int) -> Iterator[tuple[str, int, SpanDataset, float | None]]:
    """Yield name, seed, data and ceiling of every set."""
    for preset in ("hard", "medium", "easy"):
        for seed in range(1, seeds + 1):
            planted = synthetic.planted(210, preset=preset, seed=seed)
            yield f"planted {preset}", seed, planted.data, synthetic.ceiling(planted)
    try:
        yield "saccades", 0, saccades.load(), None
    except InputError as error:
        print(f"saccades left out: {error}")


def measure(names: list[str], seeds: int) -> Iterator[Row]:
    """One row for each data set, seed and model."""
    for name, seed, data, ceiling in data_sets(seeds):
        proxies = [*(make(model, seed=seed) for model in names), *references(seed)]
        features = compute(data, proxies)
        for proxy in proxies:
            fitted = cross_fit(proxy, data, seed=seed, features=features)
            metrics = {key: fitted.metrics[key] for key in METRICS}
            cell = dict(zip(KEY, (name, seed, proxy.name), strict=True))
            yield cell | metrics | {"ceiling": ceiling, "seconds": fitted.seconds}


def summary(rows: list[Row]) -> list[Row]:
    """Mean over seeds, and the standard deviation of r, best correlation first in each set."""
    out = []
    for data in dict.fromkeys(row["data"] for row in rows):
        own = [row for row in rows if row["data"] == data]
        lines = []
        for model in dict.fromkeys(row["model"] for row in own):
            some = [row for row in own if row["model"] == model]
            means = {k: _mean(row[k] for row in some) for k in (*METRICS, "ceiling", "seconds")}
            spread = float(np.std([row["pearson_r"] for row in some]))
            lines.append(
                {"data": data, "model": model, "seeds": len(some), **means, "r_sd": spread}
            )
        out += sorted(lines, key=lambda line: -(line["pearson_r"] or 0))
    return out


def _mean(values: Iterator[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--models", default=",".join(NAMES))
    parser.add_argument("--out", type=Path, default=RESULTS / "quality.json")
    given = parser.parse_args()
    found = Cells(given.out, KEY, lambda rows: {"summary": summary(rows)})
    for row in measure(given.models.split(","), given.seeds):
        found.add(row)
    for line in summary(found.rows):
        shown = "  ".join(f"{k} {line[k]:.3f}" for k in METRICS if line[k] is not None)
        print(f"{line['data']:16} {line['model']:24} {shown}")


if __name__ == "__main__":
    main()
