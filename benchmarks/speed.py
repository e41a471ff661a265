"""How fast the hot paths are, each against the obvious alternative in the same run.

``python -m benchmarks.speed`` prints a table and writes ``benchmarks/results/speed.json``. Rivals
are timed in turn; a ratio is the median over turns. A section is a function that returns lines;
with ``--sections`` those are measured again and the others kept. ``--device cuda`` measures what
runs on a GPU there, and writes ``speed-cuda.json``.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.record import RESULTS, machine, write
from benchmarks.speed_commands import label_lines, start_lines
from benchmarks.speed_deep import training_lines
from benchmarks.speed_detect import detect_lines
from benchmarks.speed_features import features_lines
from benchmarks.speed_proxies import Line, fit_lines, formula_lines
from deep.device import resolve

ON_DEVICE: dict[str, Callable[[str], list[Line]]] = {
    "formula": formula_lines,
    "training": training_lines,
    "detect": detect_lines,
}
ON_CPU: dict[str, Callable[[], list[Line]]] = {
    "features": features_lines,
    "fit": fit_lines,
    "label": label_lines,
    "start": start_lines,
}


def cuda_lines() -> list[Line]:
    """Measure what there is on a GPU alone."""
    from benchmarks.speed_cuda import cuda_lines  # imports Triton

    return cuda_lines()


ON_GPU: dict[str, Callable[[], list[Line]]] = {"cuda": cuda_lines}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sections", nargs="+", choices=(*ON_CPU, *ON_DEVICE, *ON_GPU))
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    resolve(given.device)
    on_cpu = given.device == "cpu"
    out = given.out or RESULTS / ("speed.json" if on_cpu else f"speed-{given.device}.json")
    earlier = json.loads(out.read_text())["lines"] if out.exists() else []
    lines: dict[str, Line] = {line["what"]: line for line in earlier}
    there = ON_CPU if on_cpu else ON_GPU
    for name in given.sections or (*there, *ON_DEVICE):
        for line in there[name]() if name in there else ON_DEVICE[name](given.device):
            lines[line["what"]] = line
            print(
                f"{line['measured']:>10}  {line['what']}  (aim: {line['aim'] or '-'})", flush=True
            )
    measured_on = machine() | ({} if on_cpu else {"gpu": torch.cuda.get_device_name()})
    write(out, {"machine": measured_on, "lines": list(lines.values())})


if __name__ == "__main__":
    main()
