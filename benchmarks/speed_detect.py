"""Speed and memory of ``deep detect`` over ever more bars, with a detector of the size of `jade`.

``python -m benchmarks.speed_detect`` prints a table and writes
``benchmarks/results/detect_memory.json``: each number of bars is searched by a process of its own,
libraries included in its peak, which must not grow with the bars. `detect_lines` sets the speed
beside that of the bare LSTM in the same run.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks.quality import RESULTS, machine
from benchmarks.speed_proxies import Line, ratio, timed
from deep import checkpoint, jobs, series
from deep.detector import SpanDetector
from deep.presets import PRESETS
from proxytools import features, rundir, synthetic
from proxytools.proxies.store import Model
from proxytools.types import OHLC

SIZES = (100_000, 1_000_000, 10_000_000)
HEADS = ("mask", "segmental")
LSTM_BATCHES = (32, 64, 128, 256)
WINDOWS, BARS = 1024, 105  # of the bare LSTM


def fitted(head: str) -> Model:
    """Fit a detector of the size of `jade`, with either head, well enough to find spans."""
    data = synthetic.planted(60, preset="easy", seed=1, layout="several").data
    settings = replace(PRESETS["jade"], head=head, type=0.0, pointers=0.0, countdown=0.0)
    detector = SpanDetector(replace(settings, choose_by="spans", epochs=20))
    own = features.compute(data.windows.ohlc, detector.feature_set)
    return checkpoint.model_of(detector.fit(own, data), data, own)


def write_bars(path: Path, n_bars: int) -> None:
    """Write planted bars, a span in about thirty, over and over, a row group at a time."""
    ohlc = synthetic.planted(125, preset="easy", seed=2, n_bars=1000, layout="several")
    bars = ohlc.data.windows.ohlc.reshape(-1, 4)
    begin, minute = np.datetime64("2000-01-01", "ns"), np.timedelta64(60, "s")
    columns = [("timestamp", pa.timestamp("ns", "UTC")), *((name, pa.float64()) for name in OHLC)]
    schema = pa.schema(columns)
    with pq.ParquetWriter(path, schema) as writer:
        for first in range(0, n_bars, len(bars)):
            part = bars[: n_bars - first]
            opens = begin + (first + np.arange(len(part))) * minute
            writer.write_table(pa.table([opens, *part.T], schema=schema))


def detect_lines(n_bars: int = 500_000, repeats: int = 3) -> list[Line]:
    """Time `detect` from file to file, and the bare LSTM as fast as torch alone gets it."""
    lstm = torch.nn.LSTM(12, PRESETS["jade"].hidden, batch_first=True, bidirectional=True).eval()
    batches = {size: torch.randn(WINDOWS // size, size, BARS, 12) for size in LSTM_BATCHES}

    @torch.inference_mode()
    def bare(size: int) -> None:
        for batch in batches[size]:
            lstm(batch)

    lines: list[Line] = []
    with tempfile.TemporaryDirectory() as folder:
        bars, out = Path(folder, "bars.parquet"), Path(folder, "spans.csv")
        write_bars(bars, n_bars)

        def run(model: Model) -> None:
            out.unlink(missing_ok=True)
            series.detect(model, bars, out)

        models = [fitted(head) for head in HEADS]
        seconds = timed(
            *(lambda size=size: bare(size) for size in LSTM_BATCHES),
            *(lambda model=model: run(model) for model in models),
            repeats=repeats,
        )
    lstm_seconds = min(seconds[: len(LSTM_BATCHES)], key=median)
    windows = WINDOWS / median(lstm_seconds)
    lines.append(_line("bare LSTM of the size of jade: windows of 105 bars a second", windows, ""))
    for head, own in zip(HEADS, seconds[len(LSTM_BATCHES) :], strict=True):
        share = ratio(own, lstm_seconds) * n_bars / (WINDOWS * BARS)
        aim = "300,000" if head == "mask" else ""
        what = f"detect, size of jade, {head} head"
        lines.append(_line(f"{what}: bars a second, file to file", n_bars / median(own), aim))
        lines.append(_line(f"{what}: speed over that of the bare LSTM", share, ""))
    return lines


def _line(what: str, value: float, aim: str) -> Line:
    shown = f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
    return {"what": what, "value": value, "measured": shown, "aim": aim}


def measure(run: Path, bars: Path, out: Path) -> dict[str, Any]:
    """Detect in this process, and say how long it took and how much memory it ever held."""
    model = jobs.load_model(run)
    started = time.perf_counter()
    counts = series.detect(model, bars, out)
    seconds = time.perf_counter() - started
    rate = counts["bars"] / seconds
    return {**counts, "seconds": seconds, "bars_per_second": rate, "peak_mb": _peak_mb()}


def _peak_mb() -> float:
    """Most memory this process ever held; what the system counts also knows its parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().split("VmHWM:")[1].split()[0]) / 2**10
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def main() -> None:
    """Measure every size, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    parser.add_argument("--out", type=Path, default=RESULTS / "detect_memory.json")
    parser.add_argument("--one", type=Path, nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(*given.one)))
        return
    rows = []
    print(f"{'head':>10}{'bars':>12}{'spans':>10}{'seconds':>10}{'bars/s':>12}{'peak MB':>10}")
    with tempfile.TemporaryDirectory() as folder:
        bars, out = Path(folder, "bars.parquet"), Path(folder, "spans.csv")
        for head in HEADS:
            run = Path(folder, head)
            with rundir.create(run, command=["detect"], config={}, seed=0, inputs={}) as made:
                checkpoint.save(fitted(head), made)
        for size in given.sizes:
            write_bars(bars, size)
            for head in HEADS:
                words = ["-m", "benchmarks.speed_detect", "--one", Path(folder, head), bars, out]
                done = subprocess.run(
                    [sys.executable, *words], stdout=subprocess.PIPE, check=True, text=True
                )
                row = {"head": head, **json.loads(done.stdout)}
                rows.append(row)
                out.unlink()
                print(
                    f"{head:>10}{row['bars']:12,}{row['spans']:10,}{row['seconds']:10.1f}"
                    f"{row['bars_per_second']:12,.0f}{row['peak_mb']:10.0f}",
                    flush=True,
                )
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
