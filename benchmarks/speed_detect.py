"""Speed of ``deep detect`` with a detector of the size of `jade`, beside that of the bare LSTM."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks.speed_proxies import Line, ratio, timed
from deep import checkpoint, series
from deep.detector import SpanDetector
from deep.presets import PRESETS
from proxytools import features, synthetic
from proxytools.proxies.store import Model
from proxytools.types import OHLC

HEADS = ("mask", "segmental")
LSTM_BATCHES = (32, 64, 128, 256)
WINDOWS, BARS = 1024, 105  # of the bare LSTM


def fitted(head: str, device: str = "cpu") -> Model:
    """Fit a detector of the size of `jade`, with either head, well enough to find spans."""
    data = synthetic.planted(60, preset="easy", seed=1, layout="several").data
    settings = replace(PRESETS["jade"], head=head, type=0.0, pointers=0.0, countdown=0.0)
    detector = SpanDetector(replace(settings, choose_by="spans", epochs=20), device=device)
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


def detect_lines(device: str = "cpu", n_bars: int = 500_000, repeats: int = 3) -> list[Line]:
    """Time `detect` from file to file, and the bare LSTM as fast as torch alone gets it."""
    lstm = torch.nn.LSTM(12, PRESETS["jade"].hidden, batch_first=True, bidirectional=True)
    lstm = lstm.eval().to(device)
    batches = {
        size: torch.randn(WINDOWS // size, size, BARS, 12, device=device) for size in LSTM_BATCHES
    }

    @torch.inference_mode()
    def bare(size: int) -> None:
        for batch in batches[size]:
            lstm(batch)
        if device == "cuda":
            torch.cuda.synchronize()

    lines: list[Line] = []
    with tempfile.TemporaryDirectory() as folder:
        bars, out = Path(folder, "bars.parquet"), Path(folder, "spans.csv")
        write_bars(bars, n_bars)

        def run(model: Model) -> None:
            out.unlink(missing_ok=True)
            series.detect(model, bars, out)

        models = [fitted(head, device) for head in HEADS]
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
