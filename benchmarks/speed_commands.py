"""Speed of labelling, file to file, and of starting the commands."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.speed_detect import write_bars
from benchmarks.speed_proxies import Line, ratio, timed
from proxytools import features, pipeline, rundir, synthetic
from proxytools.proxies import make, store

BARS = 105  # of a window
STARTS: dict[str, tuple[str, str]] = {
    "proxytools --help: times the start of Python with click and rich": (
        "from cli.proxytools import main; main()",
        "import click, rich.console",
    ),
    "deep --help: times faster than to import torch": (
        "from cli.deep import main; main()",
        "import torch",
    ),
}


def label_lines(n_bars: int = 500_000, repeats: int = 3) -> list[Line]:
    """Time `proxytools label` against the bare LightGBM model on features that are there."""
    data = synthetic.planted(210, preset="medium", seed=1).data
    proxy = make("lightgbm")
    own = features.compute(data.windows.ohlc, proxy.feature_set)
    model = store.Model.of(proxy.fit(own, data), data, own)
    booster, bars = model.proxy.model_, n_bars // BARS * BARS
    matrix = np.resize(own.values.reshape(-1, own.values.shape[2]), (bars, own.values.shape[2]))
    with tempfile.TemporaryDirectory() as folder:
        run, path, out = (Path(folder, name) for name in ("run", "bars.parquet", "soft.parquet"))
        with rundir.create(run, command=["speed"], config={}, seed=0, inputs={}) as kept:
            store.save(model, kept)
        write_bars(path, bars)

        def label() -> None:
            out.unlink(missing_ok=True)
            pipeline.label_bars(run, path, out)

        ours, bare = timed(label, lambda: booster.predict(matrix), repeats=repeats)
    what = "label, lightgbm on full features, file to file"
    return [
        _line(f"{what}: bars a second", bars / median(ours)),
        _line(f"{what}: speed over that of the bare model's predictions", ratio(ours, bare)),
    ]


def start_lines(repeats: int = 7) -> list[Line]:
    """Time commands that only explain themselves, each in a process of its own."""
    lines = []
    for what, codes in STARTS.items():
        ours, theirs = timed(*(lambda code=code: _started(code) for code in codes), repeats=repeats)
        faster = ratio(ours, theirs)
        lines.append(_line(what, faster if "faster" in what else 1 / faster))
    return lines


def _started(code: str) -> None:
    words = [sys.executable, "-c", code, "--help"]
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)


def _line(what: str, value: float) -> Line:
    shown = f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
    return {"what": what, "value": value, "measured": shown, "aim": ""}
