"""Whether windows that `proxytools suggest` chooses are worth more than random ones.

``python -m benchmarks.suggest`` starts from 20 planted windows marked at random (or more, until 6
spans are among them), marks 80 more of a pool of 1,000 in four rounds, either those suggested or
random ones, and tests on 500 others. It writes ``benchmarks/results/suggest.json``. Differences are
paired by seed, their 95 % intervals are Student's t. The logistic proxy learns and is asked; how
windows are valued and drawn was chosen on planted seeds from 300 on.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.record import RESULTS, Row, interval, write
from proxytools import features, suggest, synthetic
from proxytools.metrics.bar import pearson
from proxytools.metrics.span import span_metrics
from proxytools.proxies import make
from proxytools.types import FeatureSet, SpanDataset

START, SPANS, ROUND, ROUNDS, POOL, TESTED = 20, 6, 20, 4, 1000, 500
DATA = tuple((preset, empty) for preset in ("medium", "hard") for empty in (0.0, 0.5, 0.8))
METRICS = ("pearson_r", "span_f1_50")


def measure(preset: str, empty: float, seed: int) -> Row:
    """Mark 100 windows in both ways, and test what is learnt from each."""
    data = synthetic.planted(POOL + TESTED, preset=preset, seed=seed, empty=empty).data
    own = features.compute(data.windows.ohlc, "full")
    draw = np.random.default_rng(seed)
    order = draw.permutation(POOL)
    enough = np.searchsorted(data.spans.count[order].cumsum(), SPANS) + 1
    start = marked = order[: max(START, int(enough))]
    for _ in range(ROUNDS):
        rest = np.setdiff1d(order, marked)
        prob = _learnt(marked, own, data, seed).predict(own.take(rest))
        rank = suggest.priority(suggest.value(prob[None]), draw)
        chosen = suggest.choose(data.windows.take(rest), rank, ROUND)
        marked = np.append(marked, rest[chosen])
    at_random = order[: len(start) + ROUND * ROUNDS]
    return {
        "preset": preset,
        "empty": empty,
        "seed": seed,
        "suggested": _tested(marked, own, data, seed),
        "random": _tested(at_random, own, data, seed),
        "start": _tested(start, own, data, seed),
    }


def _learnt(marked: np.ndarray, own: FeatureSet, data: SpanDataset, seed: int) -> Any:
    return make("logistic", seed=seed, threads=1).fit(own.take(marked), data.take(marked))


def _tested(marked: np.ndarray, own: FeatureSet, data: SpanDataset, seed: int) -> Row:
    proxy, test = _learnt(marked, own, data, seed), np.arange(POOL, POOL + TESTED)
    unseen, truth = own.take(test), data.take(test)
    return {
        "pearson_r": pearson(proxy.predict(unseen), truth.mask),
        "span_f1_50": span_metrics(proxy.detect(unseen), truth.spans)["span_f1_50"],
        "spans": len(data.take(marked).spans),
    }


def summary(rows: list[Row]) -> list[Row]:
    """Means over seeds, and the paired difference of both ways with its interval."""
    lines = []
    for preset, empty in DATA:
        own = [row for row in rows if (row["preset"], row["empty"]) == (preset, empty)]
        line: Row = {"preset": preset, "empty": empty, "seeds": len(own)}
        for way in ("suggested", "random", "start"):
            line[way] = {name: float(np.mean([row[way][name] for row in own])) for name in METRICS}
        line["gain"] = {
            name: interval([row["suggested"][name] - row["random"][name] for row in own])
            for name in METRICS
        }
        lines.append(line)
    return lines


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=1, help="First seed.")
    parser.add_argument("--out", type=Path, default=RESULTS / "suggest.json")
    given = parser.parse_args()
    seeds = range(given.first, given.first + given.seeds)
    rows = [measure(preset, empty, seed) for preset, empty in DATA for seed in seeds]
    windows = {"start": START, "added": ROUND * ROUNDS, "pool": POOL, "tested": TESTED}
    report = {"windows": windows, "summary": summary(rows), "rows": rows}
    write(given.out, report)
    for line in report["summary"]:
        shown = "  ".join(
            f"{name} {line['random'][name]:.3f} {mean:+.3f} [{low:+.3f}, {high:+.3f}]"
            for name, (mean, low, high) in line["gain"].items()
        )
        print(f"{line['preset']:7} empty {line['empty']:.1f}  {shown}")


if __name__ == "__main__":
    main()
