"""How time and memory grow with the bars, from ten thousand to ten million.

``python -m benchmarks.growth`` computes features, labels bars with a small LightGBM model
(``proxytools label``) and detects spans with a model of the size of `jade` (``deep detect``), each
number of bars in a process of its own, libraries included in its peak. It writes
``benchmarks/results/growth.json`` after every cell, goes on where it stopped, and draws
``docs/growth.png``. ``--largest`` caps the bars: ten million take minutes to detect. An exponent
is the slope of the logarithms from a hundred thousand bars on, below which fixed costs rule: 1
grows with the bars, 0 not at all. Time is that of all cores together, so that what else the
machine does hardly shows.

Features are timed at every size into memory that the process has held before. Memory it never
held, the system has to find and clear first: where a virtual machine's host lends it page by page
that takes longer than the features themselves, as it does for ``np.empty(n).fill(0)``. Small
arrays never pay it (they fit what is there), so one call at each size would compare the two.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
FIT_FROM = 100_000
JOBS = ("features classic", "features full", "label", "detect")
BARS = 105  # of a window
LEAST_SECONDS, LEAST_CALLS = 0.5, 3  # for which features are computed again; the best counts
WAITING_IS_FREE = {**os.environ, "OMP_WAIT_POLICY": "passive"}  # threads that wait count nothing
MEASURES = ("core_seconds", "peak_mb")
Row = dict[str, Any]


# A job imports what it needs and no more: its libraries are part of its memory.


def features(name: str, n_bars: int) -> float:
    """Return core-seconds that a feature set takes over windows in memory."""
    from proxytools import features, synthetic

    base = synthetic.planted(100, seed=1).data.windows.ohlc
    ohlc = np.resize(base, (n_bars // BARS, BARS, 4))
    features.compute(base, name)  # load what was compiled
    taken: list[float] = []
    while sum(taken) < LEAST_SECONDS or len(taken) < LEAST_CALLS:
        begin = time.process_time()
        features.compute(ohlc, name)
        taken.append(time.process_time() - begin)
    return min(taken)


def label(run: Path, bars: Path, out: Path) -> float:
    """Return core-seconds from file to file."""
    from proxytools import pipeline

    begin = time.process_time()
    pipeline.label_bars(run, bars, out)
    return time.process_time() - begin


def detect(run: Path, bars: Path, out: Path) -> float:
    """Return core-seconds from file to file."""
    from deep import jobs, series

    begin = time.process_time()
    series.detect(jobs.load_model(run), bars, out)
    return time.process_time() - begin


def peak_mb() -> float:
    """Most memory this process ever held; what the system counts also knows its parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 2**10
    import resource

    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def one(job: str, n_bars: int, folder: Path) -> Row:
    """Do one job in this process."""
    if job.startswith("features"):
        seconds = features(job.split()[1], n_bars)
    else:
        do = label if job == "label" else detect
        seconds = do(folder / job, folder / f"{n_bars}.parquet", folder / f"{job}.out")
    return {"job": job, "bars": n_bars, "core_seconds": seconds, "peak_mb": peak_mb()}


def prepare(job: str, n_bars: int, folder: Path) -> None:
    """Leave the model and the bars of a job in the folder, where they are not there yet.

    It also compiles what the job runs: a compiler's memory is not the job's.
    """
    from proxytools import features, synthetic

    data = synthetic.planted(60, seed=1).data
    if job.startswith("features"):
        features.compute(data.windows.ohlc, job.split()[1])
        return
    from benchmarks.speed_detect import fitted, write_bars
    from deep import checkpoint
    from proxytools import rundir
    from proxytools.proxies import make, store

    if not (folder / job).exists():
        with rundir.create(folder / job, command=["growth"], config={}, seed=0, inputs={}) as run:
            if job == "detect":
                checkpoint.save(fitted("segmental"), run)
            else:
                proxy = make("lightgbm").set_params(rounds=20, inner_folds=0)
                own = features.compute(data.windows.ohlc, proxy.feature_set)
                store.save(store.Model.of(proxy.fit(own, data), data, own), run)
    if not (folder / f"{n_bars}.parquet").exists():
        write_bars(folder / f"{n_bars}.parquet", n_bars)


def exponents(rows: list[Row]) -> dict[str, dict[str, float]]:
    """Slope of the logarithms of time and memory over that of the bars, for each job.

    Examples
    --------
    >>> rows = [{"job": "a", "bars": n, "core_seconds": n / 7, "peak_mb": 300} for n in SIZES]
    >>> {name: round(slope, 6) + 0.0 for name, slope in exponents(rows)["a"].items()}
    {'core_seconds': 1.0, 'peak_mb': 0.0}
    """
    found = {}
    for job in dict.fromkeys(row["job"] for row in rows):
        own = [row for row in rows if row["job"] == job and row["bars"] >= FIT_FROM]
        if len(own) > 1:
            bars = np.log([row["bars"] for row in own])
            logs = {name: np.log([row[name] for row in own]) for name in MEASURES}
            found[job] = {name: float(np.polyfit(bars, y, 1)[0]) for name, y in logs.items()}
    return found


def draw(report: Row, path: Path) -> None:
    """Draw time and memory over bars, log-log, with the exponents."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    titles = dict(zip(MEASURES, ("core-seconds", "peak memory, MB"), strict=True))
    figure, panels = plt.subplots(1, len(titles), figsize=(8.6, 4.4), dpi=160)
    for axes, (measure, title) in zip(panels, titles.items(), strict=True):
        for job in dict.fromkeys(row["job"] for row in report["rows"]):
            own = sorted((r for r in report["rows"] if r["job"] == job), key=lambda r: r["bars"])
            slope = report["exponents"].get(job, {}).get(measure)
            text = job if slope is None else f"{job}: bars to the {slope:.2f}"
            axes.plot([r["bars"] for r in own], [r[measure] for r in own], "o-", label=text)
        axes.set(xscale="log", yscale="log", xlabel="bars", title=title)
        axes.grid(color="#eaeef2")
        axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(-0.05, -0.18))
        for side in axes.spines.values():
            side.set_visible(False)
    figure.tight_layout()
    figure.savefig(path, facecolor="white")
    plt.close(figure)


def main() -> None:
    """Measure what is missing, write after every cell, print, draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", default=",".join(JOBS))
    parser.add_argument("--largest", type=int, default=SIZES[-1], help="most bars")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "growth.json")
    parser.add_argument("--figure", type=Path, default=ROOT / "docs" / "growth.png")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        job, n_bars, folder = given.one
        print(json.dumps(one(job, int(n_bars), Path(folder))))
        return
    from benchmarks.record import Cells

    found = Cells(given.out, ("job", "bars"), lambda rows: {"exponents": exponents(rows)})
    todo = [(job, n) for n in SIZES if n <= given.largest for job in given.jobs.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        for job, n_bars in found.missing(todo):
            prepare(job, n_bars, Path(folder))
            words = ["-m", "benchmarks.growth", "--one", job, str(n_bars), folder]
            done = subprocess.run(
                [sys.executable, *words], stdout=subprocess.PIPE, check=True, env=WAITING_IS_FREE
            )
            found.add(json.loads(done.stdout))
            Path(folder, f"{job}.out").unlink(missing_ok=True)
    report = {"exponents": exponents(found.rows), "rows": found.rows}
    print(report["exponents"])
    draw(report, given.figure)


if __name__ == "__main__":
    main()
