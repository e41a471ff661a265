"""The deep detector, through its commands, beside LightGBM: 168 windows to learn from.

``python -m benchmarks.detector`` trains every preset with ``deep train`` and LightGBM with
``proxytools fit`` on planted data (3 seeds) and on saccades (two persons, tested on the third),
measures them with ``evaluate`` on windows never seen, and writes
``benchmarks/results/detector.json``. A row that is there already is kept, so an interrupted run
goes on where it stopped; ``--again`` names models to measure anew. Differences between methods are
paired on the same test windows, all seeds together.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from benchmarks import saccades
from benchmarks.quality import RESULTS, machine
from deep import jobs
from proxytools import features, io, pipeline, synthetic
from proxytools.errors import InputError
from proxytools.metrics.resample import f1_paired_interval, paired_interval
from proxytools.metrics.span import window_counts
from proxytools.types import SpanDataset

SEEDS = (1, 2, 3)
N_TEST = 500
MODELS = ("segmental", "single", "lightgbm", "stones", "jade")  # best first, as is expected
METRICS = ("pearson_r", "separation", "span_f1_50", "span_f1_70", "average_precision")
Row = dict[str, Any]


def data_sets() -> Iterator[tuple[str, int, SpanDataset, SpanDataset]]:
    """Yield name, seed, and the windows to learn from and to test on."""
    for preset in ("medium", "hard"):
        for seed in SEEDS:
            data = synthetic.planted(168 + N_TEST, preset=preset, seed=seed).data
            train, test = data.take(range(168)), data.take(range(168, len(data)))
            yield f"planted {preset}", seed, train, test
    try:
        data = saccades.load()
    except InputError as error:
        print(f"saccades left out: {error}")
        return
    for k, person in enumerate(np.unique(data.windows.parent)):
        tested = data.windows.parent == person
        yield "saccades", k, data.take(~tested), data.take(tested)


def measure(model: str, seed: int, train: SpanDataset, test: SpanDataset, runs: Path) -> Row:
    """Fit by the command, measure by the command; the run stays under ``runs``."""
    runs.mkdir(parents=True, exist_ok=True)
    paths = {name: runs / f"{name}.parquet" for name in ("train", "test")}
    for name, data in (("train", train), ("test", test)):
        if not paths[name].exists():
            io.write(paths[name], data)
    out, program = runs / model, "proxytools" if model == "lightgbm" else "deep"
    fit = ["fit", "--model", model] if model == "lightgbm" else ["train", "--preset", model]
    begin = perf_counter()
    given = ("--data", paths["train"], "--seed", seed, "--out", out, "--quiet")
    _command(program, *fit, *given)
    seconds = perf_counter() - begin
    found = json.loads(_command(program, "evaluate", out, "--data", paths["test"], "--json"))
    return {**{name: found[name] for name in METRICS}, "train_seconds": seconds}


def _command(program: str, *words: object) -> str:
    call = [sys.executable, "-c", f"from cli.{program} import main; main()", *map(str, words)]
    return subprocess.run(call, check=True, capture_output=True, text=True).stdout


def paired(runs: Path, models: list[str]) -> list[Row]:
    """Compare each model with the next, over the test windows of all seeds."""
    lines = []
    for name in ("planted medium", "planted hard", "saccades"):
        seen: dict[str, list[Any]] = {model: [] for model in models}
        masks, window = [], 0
        for data, seed, _, test in data_sets():
            if data != name:
                continue
            masks.append(test.mask)
            for model in models:
                seen[model].append(_predicted(runs / f"{name}-{seed}" / model, model, test))
            window += len(test)
        if not masks:
            continue
        mask, units = np.concatenate(masks), np.arange(window)
        for a, b in pairwise(models):
            probs = [np.concatenate([prob for prob, _ in seen[model]]) for model in (a, b)]
            counts = [np.concatenate([count for _, count in seen[model]]) for model in (a, b)]
            r = paired_interval(*probs, mask, units)
            f1 = f1_paired_interval(*counts, units)
            lines.append({"data": name, "a": a, "b": b, "pearson_r": r, "span_f1_50": f1})
    return lines


def _predicted(run: Path, model: str, test: SpanDataset) -> tuple[np.ndarray, np.ndarray]:
    load = pipeline.load_model if model == "lightgbm" else jobs.load_model
    proxy = load(run).proxy
    own = features.compute(test.windows.ohlc, proxy.feature_set)
    return proxy.predict(own), window_counts(proxy.detect(own), test.spans)


def summary(rows: list[Row]) -> list[Row]:
    """Mean over seeds of each metric."""
    lines = []
    for key in dict.fromkeys((row["data"], row["model"]) for row in rows):
        own = [row for row in rows if (row["data"], row["model"]) == key]
        means = {name: _mean([row[name] for row in own]) for name in (*METRICS, "train_seconds")}
        lines.append({"data": key[0], "model": key[1], "seeds": len(own), **means})
    return lines


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def main() -> None:
    """Measure what is missing, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default="segmental,single,lightgbm")
    parser.add_argument("--again", default="", help="Models whose rows are measured anew.")
    parser.add_argument("--out", type=Path, default=RESULTS / "detector.json")
    given = parser.parse_args()
    models = [name for name in MODELS if name in given.models.split(",")]
    earlier = json.loads(given.out.read_text())["rows"] if given.out.exists() else []
    rows = {(row["data"], row["seed"], row["model"]): row for row in earlier}
    rows = {key: row for key, row in rows.items() if key[2] not in given.again.split(",")}
    with tempfile.TemporaryDirectory() as runs:
        for name, seed, train, test in data_sets():
            for model in models:
                here = Path(runs) / f"{name}-{seed}"
                row = measure(model, seed, train, test, here)
                rows[name, seed, model] = {"data": name, "seed": seed, "model": model, **row}
                print(f"{name} {seed} {model}: {row}", flush=True)
        report = {
            "machine": machine(),
            "n_train": 168,
            "summary": summary(list(rows.values())),
            "paired": paired(Path(runs), models),
            "rows": list(rows.values()),
        }
    given.out.write_text(json.dumps(report, indent=1) + "\n")
    for line in report["summary"] + report["paired"]:
        print(line)


if __name__ == "__main__":
    main()
