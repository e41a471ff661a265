"""How fast the hot paths are, each against the obvious alternative in the same run.

``python -m benchmarks.speed`` prints a table and writes ``benchmarks/results/speed.json``. Rivals
are timed in turn; a ratio is the median over turns. A section is a function that returns lines;
with ``--sections`` those are measured again and the others kept.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

from benchmarks.quality import RESULTS, machine
from benchmarks.speed_deep import training_lines
from benchmarks.speed_detect import detect_lines
from benchmarks.speed_features import features_lines
from benchmarks.speed_proxies import Line, fit_lines, formula_lines

SECTIONS: dict[str, Callable[[], list[Line]]] = {
    "features": features_lines,
    "formula": formula_lines,
    "fit": fit_lines,
    "training": training_lines,
    "detect": detect_lines,
}


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sections", default=",".join(SECTIONS))
    parser.add_argument("--out", type=Path, default=RESULTS / "speed.json")
    given = parser.parse_args()
    earlier = json.loads(given.out.read_text())["lines"] if given.out.exists() else []
    lines: dict[str, Line] = {line["what"]: line for line in earlier}
    for name in given.sections.split(","):
        for line in SECTIONS[name]():
            lines[line["what"]] = line
            print(
                f"{line['measured']:>10}  {line['what']}  (aim: {line['aim'] or '-'})", flush=True
            )
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(
        json.dumps({"machine": machine(), "lines": list(lines.values())}, indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
