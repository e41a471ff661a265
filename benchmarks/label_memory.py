"""Memory and speed of ``label`` on ever more bars: the peak must not grow with them.

``python -m benchmarks.label_memory`` prints a table and writes
``benchmarks/results/label_memory.json``. Each size is labelled by a process of its own, with a
small LightGBM model on the full features; the peak is the resident memory of that process,
libraries included.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.quality import RESULTS, machine
from proxytools import features, pipeline, rundir, synthetic
from proxytools.proxies import make, store

SIZES = (100_000, 1_000_000, 10_000_000)
ROWS = 131_072  # written at a time
MINUTE = np.timedelta64(60, "s").astype("timedelta64[ns]")


def save_model(path: Path, rounds: int = 20) -> None:
    """Fit a small model and save it as a run."""
    data = synthetic.planted(60, seed=1).data
    proxy = make("lightgbm").set_params(rounds=rounds, inner_folds=0)
    own = features.compute(data.windows.ohlc, proxy.feature_set)
    model = store.Model.of(proxy.fit(own, data), data, own)
    with rundir.create(path, command=["label_memory"], config={}, seed=0, inputs={}) as run:
        store.save(model, run)


def write_bars(path: Path, n_bars: int, seed: int = 0) -> None:
    """Write a random walk of one-minute bars, a row group at a time."""
    rng = np.random.default_rng(seed)
    begin, price = np.datetime64("2000-01-01", "ns"), 15_000.0
    writer = None
    for first in range(0, n_bars, ROWS):
        n = min(ROWS, n_bars - first)
        close = price + np.cumsum(rng.normal(size=n))
        opened = np.concatenate([[price], close[:-1]])
        time_ = begin + (first + np.arange(n)) * MINUTE
        columns = {
            "timestamp": pa.array(time_, pa.timestamp("ns", "UTC")),
            "open": opened,
            "high": np.maximum(opened, close) + rng.random(n),
            "low": np.minimum(opened, close) - rng.random(n),
            "close": close,
        }
        table = pa.table(columns)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
        price = close[-1]
    if writer:
        writer.close()


def measure(run: Path, bars: Path, out: Path) -> dict[str, Any]:
    """Label in this process, and say how long it took and how much memory it ever held."""
    started = time.perf_counter()
    n_bars = pipeline.label_bars(run, bars, out)
    seconds = time.perf_counter() - started
    unit = 2**20 if sys.platform == "darwin" else 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
    return {
        "bars": n_bars,
        "seconds": seconds,
        "bars_per_second": n_bars / seconds,
        "peak_mb": peak,
    }


def main() -> None:
    """Measure every size, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--out", type=Path, default=RESULTS / "label_memory.json")
    parser.add_argument("--one", type=Path, nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(*given.one)))
        return
    rows = []
    print(f"{'bars':>12}{'seconds':>10}{'bars/s':>12}{'peak MB':>10}")
    with tempfile.TemporaryDirectory() as folder:
        run, bars, out = (Path(folder, name) for name in ("run", "bars.parquet", "out.parquet"))
        save_model(run)  # which also compiles the features: a compiler's memory is not label's
        words = [sys.executable, "-m", "benchmarks.label_memory", "--one", run, bars, out]
        for size in given.sizes:
            write_bars(bars, size)
            done = subprocess.run(words, stdout=subprocess.PIPE, check=True, text=True)
            row = json.loads(done.stdout)
            rows.append(row)
            bars.unlink()
            out.unlink()
            print(
                f"{row['bars']:12,}{row['seconds']:10.1f}{row['bars_per_second']:12,.0f}"
                f"{row['peak_mb']:10.0f}",
                flush=True,
            )
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
