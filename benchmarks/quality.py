"""How well each proxy finds spans it never saw: planted data and human-marked saccades.

``python -m benchmarks.quality`` prints a table and writes ``benchmarks/results/quality.json``;
with ``--models`` it measures those again and keeps the rows of the others.
Planted sets have 210 windows in five folds, so each model learns from 168; saccades leave one
person out. Nothing is tuned on the rows reported.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import saccades
from proxytools import synthetic
from proxytools.errors import InputError
from proxytools.evaluate import compute, cross_fit
from proxytools.leaderboard import references
from proxytools.proxies import NAMES, make
from proxytools.types import SpanDataset

RESULTS = Path(__file__).parent / "results"
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


def measure(names: list[str], seeds: int) -> list[dict[str, Any]]:
    """One row for each data set, seed and model."""
    rows = []
    for name, seed, data, ceiling in data_sets(seeds):
        proxies = [*(make(model, seed=seed) for model in names), *references(seed)]
        features = compute(data, proxies)
        for proxy in proxies:
            fitted = cross_fit(proxy, data, seed=seed, features=features)
            metrics = {key: fitted.metrics[key] for key in METRICS}
            rows.append(
                {
                    "data": name,
                    "seed": seed,
                    "model": proxy.name,
                    **metrics,
                    "ceiling": ceiling,
                    "seconds": fitted.seconds,
                }
            )
            print(f"{name} {seed} {proxy.name}: r = {metrics['pearson_r']:.3f}", flush=True)
    return rows


def kept(path: Path, fresh: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put fresh rows in the place of earlier ones of the same data, seed and model."""
    earlier = json.loads(path.read_text())["rows"] if path.exists() else []
    rows = {(row["data"], row["seed"], row["model"]): row for row in [*earlier, *fresh]}
    return list(rows.values())


def summary(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
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


def machine() -> dict[str, Any]:
    """Say what the figures were measured on, and when."""
    libraries = ("numpy", "scikit-learn", "lightgbm", "xgboost", "numba", "torch")
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in libraries},
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--models", default=",".join(NAMES))
    parser.add_argument("--out", type=Path, default=RESULTS / "quality.json")
    given = parser.parse_args()
    started = time.perf_counter()
    rows = kept(given.out, measure(given.models.split(","), given.seeds))
    report = {
        "machine": machine(),
        "minutes": (time.perf_counter() - started) / 60,
        "summary": summary(rows),
        "rows": rows,
    }
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(report, indent=1) + "\n")
    for line in report["summary"]:
        shown = "  ".join(f"{k} {line[k]:.3f}" for k in METRICS if line[k] is not None)
        print(f"{line['data']:16} {line['model']:24} {shown}")


if __name__ == "__main__":
    main()
