"""Writes the measured tables into README.md, between their markers: nothing there is typed.

``python -m benchmarks.readme`` reads ``benchmarks/results/*.json``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"


def table(rows: list[list[str]]) -> str:
    """Lay out rows as a Markdown table; the first is the head."""
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body])


def quality(report: dict[str, Any]) -> str:
    """Held-out r (and span F1 at IoU 0.5) of each model on each data set."""
    lines = report["summary"]
    sets = list(dict.fromkeys(line["data"] for line in lines))
    models = dict.fromkeys(line["model"] for line in lines)
    cells = {(line["model"], line["data"]): line for line in lines}
    rows = [["held-out r (span F1 at IoU 0.5)", *sets]]
    rows += [[m, *(_cell(cells.get((m, data))) for data in sets)] for m in models]
    ceilings = [next(line["ceiling"] for line in lines if line["data"] == data) for data in sets]
    rows.append(["*ceiling*", *("-" if c is None else f"{c:.3f}" for c in ceilings)])
    seeds = max(line["seeds"] for line in lines)
    date, cores = report["machine"]["date"], report["machine"]["cores"]
    return f"{table(rows)}\n\nPlanted: mean of {seeds} seeds. Measured {date} on {cores} cores."


def _cell(line: dict[str, Any] | None) -> str:
    if line is None:
        return "-"
    f1 = line["span_f1_50"]
    return f"{line['pearson_r']:.3f} ({'-' if f1 is None else f'{f1:.2f}'})"


def speed(report: dict[str, Any]) -> str:
    """Each ratio with what it compares, and its aim."""
    rows = [["what", "measured", "aim"]]
    rows += [[line["what"], line["measured"], line["aim"]] for line in report["lines"]]
    date, cores = report["machine"]["date"], report["machine"]["cores"]
    return f"{table(rows)}\n\nMeasured {date} on {cores} cores."


def memory(report: dict[str, Any]) -> str:
    """Peak memory of `label` against the number of bars."""
    rows = [["bars labelled", "peak memory, libraries included", "bars a second"]]
    for row in report["rows"]:
        count = f"{row['bars']:,}".replace(",", " ")
        rows.append([count, f"{row['peak_mb']:.0f} MB", f"{row['bars_per_second']:,.0f}"])
    return table(rows)


def filled(text: str) -> str:
    """Fill every marked block whose results are there."""
    for name, render in (("quality", quality), ("speed", speed), ("label_memory", memory)):
        results = RESULTS / f"{name}.json"
        if results.exists():
            block = render(json.loads(results.read_text()))
            head, rest = text.split(f"<!-- {name} -->\n")
            tail = rest.split(f"<!-- /{name} -->")[1]
            text = f"{head}<!-- {name} -->\n{block}\n<!-- /{name} -->{tail}"
    return text


def main() -> None:
    """Write the filled README."""
    path = ROOT / "README.md"
    path.write_text(filled(path.read_text()))


if __name__ == "__main__":
    main()
