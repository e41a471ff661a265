"""The deep detector, through its commands, beside LightGBM: 168 windows to learn from.

``python -m benchmarks.detector`` trains every preset with ``deep train`` and LightGBM with
``proxytools fit`` on planted data (3 seeds) and on saccades (two persons, tested on the third),
measures them with ``evaluate`` on windows never seen, and writes
``benchmarks/results/detector.json``. Runs are kept under ``--runs``: one that is
there is measured, not trained again, so an interrupted benchmark goes on where it stopped.
Differences between methods are paired on the same test windows, a mean over seeds.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import numpy as np

from benchmarks import saccades
from benchmarks.jade import bar_f1
from benchmarks.record import RESULTS, Row, Said, paired, write
from deep import jobs
from proxytools import features, io, pipeline, synthetic
from proxytools.errors import InputError
from proxytools.metrics.span import window_counts
from proxytools.types import SpanDataset

SEEDS = (1, 2, 3)
N_TEST = 500
MODELS = ("segmental", "single", "lightgbm", "stones", "jade")  # best first, as is expected
DATA = ("planted medium", "planted hard", "saccades")
SECONDS = "train_cpu_seconds.txt"
WITHOUT = "segmental without place"  # the same runs, read without where spans start
METRICS = ("pearson_r", "separation", "span_f1_50", "span_f1_70", "average_precision")
PLACELESS = ("pearson_r_without_place", "span_f1_50_without_place")  # of segmental alone
MEANS = (*METRICS, *PLACELESS, "bar_f1_at_half", "cpu_seconds")


def data_sets(names: list[str]) -> Iterator[tuple[str, int, SpanDataset, SpanDataset]]:
    """Yield name, seed, and the windows to learn from and to test on."""
    for preset in ("medium", "hard"):
        for seed in SEEDS if f"planted {preset}" in names else ():
            data = synthetic.planted(168 + N_TEST, preset=preset, seed=seed).data
            train, test = data.take(range(168)), data.take(range(168, len(data)))
            yield f"planted {preset}", seed, train, test
    if "saccades" not in names:
        return
    try:
        data = saccades.load()
    except InputError as error:
        print(f"saccades left out: {error}")
        return
    for k, person in enumerate(np.unique(data.windows.parent)):
        tested = data.windows.parent == person
        yield "saccades", k, data.take(~tested), data.take(tested)


def measure(
    model: str, seed: int, train: SpanDataset, test: SpanDataset, runs: Path, threads: int
) -> Row:
    """Fit by the command, measure by the command; the run stays under ``runs``."""
    runs.mkdir(parents=True, exist_ok=True)
    paths = {name: runs / f"{name}.parquet" for name in ("train", "test")}
    for name, data in (("train", train), ("test", test)):
        if not paths[name].exists():
            io.write(paths[name], data)
    out, program = runs / model, "proxytools" if model == "lightgbm" else "deep"
    fit = ["fit", "--model", model] if model == "lightgbm" else ["train", "--preset", model]
    if not out.exists():
        begin = _cpu_seconds()
        given = ("--data", paths["train"], "--seed", seed, "--out", out, "--threads", threads)
        _command(program, *fit, *given, "--quiet")
        (out / SECONDS).write_text(f"{_cpu_seconds() - begin:.1f}")
    seconds = float((out / SECONDS).read_text())
    found = json.loads(_command(program, "evaluate", out, "--data", paths["test"], "--json"))
    return {
        **{name: found.get(name) for name in (*METRICS, *PLACELESS)},
        "bar_f1_at_half": bar_f1(_predicted(runs, model, test)[0], test.mask),
        "cpu_seconds": seconds,
    }


def _cpu_seconds() -> float:
    """Return what commands have taken so far; unlike the clock, no other program moves it."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _command(program: str, *words: object) -> str:
    call = [sys.executable, "-c", f"from cli.{program} import main; main()", *map(str, words)]
    return subprocess.run(call, check=True, capture_output=True, text=True).stdout


def able(models: list[str], name: str) -> list[str]:
    """Leave LightGBM out of saccades: `fit` cross-fits, which takes three persons beside the test.

    ``benchmarks.quality`` has its figures there.
    """
    return [model for model in models if name != "saccades" or model != "lightgbm"]


def differences(runs: Path, models: list[str], names: list[str]) -> list[Row]:
    """Compare models two by two, on the test windows of each seed."""
    lines = []
    for name in names:
        own = able(models, name)
        if "segmental" in own:
            own.insert(own.index("segmental") + 1, WITHOUT)
        seen: dict[str, list[Said]] = {model: [] for model in own}
        masks = []
        for _, seed, _, test in data_sets([name]):
            masks.append(test.mask)
            for model in own:
                seen[model].append(_predicted(runs / f"{name}-{seed}", model, test))
        if not masks:
            continue
        for a, b in combinations(own, 2):
            r, f1 = paired(seen[a], seen[b], masks)
            lines.append({"data": name, "a": a, "b": b, "pearson_r": r, "span_f1_50": f1})
    return lines


def _predicted(runs: Path, model: str, test: SpanDataset) -> Said:
    load = pipeline.load_model if model == "lightgbm" else jobs.load_model
    proxy = load(runs / ("segmental" if model == WITHOUT else model)).proxy
    if model == WITHOUT:
        proxy = proxy.anywhere()
    own = features.compute(test.windows.ohlc, proxy.feature_set)
    return proxy.predict(own), window_counts(proxy.detect(own), test.spans)


def summary(rows: list[Row]) -> list[Row]:
    """Mean over seeds of each metric."""
    lines = []
    for key in dict.fromkeys((row["data"], row["model"]) for row in rows):
        own = [row for row in rows if (row["data"], row["model"]) == key]
        means = {name: _mean([row[name] for row in own]) for name in own[0] if name in MEANS}
        lines.append({"data": key[0], "model": key[1], "seeds": len(own), **means})
    return lines


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def main() -> None:
    """Measure what is missing, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", default="segmental,single,lightgbm")
    parser.add_argument("--data", default=",".join(DATA))
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--runs", type=Path, default=Path("runs/detector"))
    parser.add_argument("--out", type=Path, default=RESULTS / "detector.json")
    given = parser.parse_args()
    models = [name for name in MODELS if name in given.models.split(",")]
    names, rows = given.data.split(","), []
    for name, seed, train, test in data_sets(names):
        for model in able(models, name):
            row = measure(model, seed, train, test, given.runs / f"{name}-{seed}", given.threads)
            rows.append({"data": name, "seed": seed, "model": model, **row})
            print(f"{name} {seed} {model}: {row}", flush=True)
    report = {
        "n_train": 168,
        "summary": summary(rows),
        "paired": differences(given.runs, models, names),
        "rows": rows,
    }
    write(given.out, report)
    for line in report["summary"] + report["paired"]:
        print(line)


if __name__ == "__main__":
    main()
