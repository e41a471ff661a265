"""Writes the measured tables into README.md and docs/*.md, between markers: nothing is typed.

``python -m benchmarks.readme`` reads ``benchmarks/results/*.json``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.curve_tables import growth, labels, more, pretrained
from benchmarks.detector_tables import (
    ablation,
    choices,
    claims,
    detector,
    first_pass,
    jade,
    ladder,
    many,
    pretraining,
    splits,
    table,
    tuning,
)

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


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


def speed_cuda(report: dict[str, Any]) -> str:
    """Return the same on a GPU."""
    lines, measured_on = speed(report).rsplit(" on ", 1)[0], report["machine"]
    return f"{lines} on an {measured_on['gpu']} and {measured_on['cores']} cores."


def audit(report: dict[str, Any]) -> str:
    """Return what is found of marks that were spoilt, kind by kind."""
    rows = [
        ["5 % of windows spoilt", "flagged", "precision", "recall", "AP", "cleanlab's", "chance"]
    ]
    for line in report["summary"]:
        scores = line["average_precision"]
        found = [line["precision"], line["recall"]]
        found += [scores[name] for name in ("audit", "cleanlab", "random")]
        cells = ["-" if value is None else f"{value:.2f}" for value in found]
        what = f"planted {line['preset']}, {line['kind']}"
        rows.append([what, f"{line['flagged']} of {line['spoilt']}", *cells])
    return table(rows)


def suggested(report: dict[str, Any]) -> str:
    """Windows that were suggested beside random ones."""
    rows = [["100 windows marked", "random: r (F1)", "suggested: r (95 %)", "F1 (95 %)"]]
    for line in report["summary"]:
        kind = f"a span in {1 - line['empty']:.0%} of windows"
        before, gain = line["random"], line["gain"]
        plain = f"{before['pearson_r']:.3f} ({before['span_f1_50']:.2f})"
        found = [gain[name] for name in ("pearson_r", "span_f1_50")]
        paired = [f"{mean:+.3f} ({low:+.3f} to {high:+.3f})" for mean, low, high in found]
        rows.append([f"planted {line['preset']}, {kind}", plain, *paired])
    return table(rows)


BLOCKS: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    "quality": ("quality", quality),
    "speed": ("speed", speed),
    "speed_cuda": ("speed-cuda", speed_cuda),
    "labels": ("labels", labels),
    "more_labels": ("labels", more),
    "pretrained": ("labels", pretrained),
    "growth": ("growth", growth),
    "detector": ("detector", detector),
    "ladder": ("reproduction", ladder),
    "first_pass": ("reproduction", first_pass),
    "splits": ("reproduction", splits),
    "jade": ("jade", jade),
    "tuning": ("tuning", tuning),
    "many": ("many", many),
    "choices": ("choices", choices),
    "pretraining": ("pretraining", pretraining),
    "ablation": ("ablation", ablation),
    "claims": ("ablation", claims),
    "audit": ("audit", audit),
    "suggest": ("suggest", suggested),
}
"""Name of a block, the results it is made of, and what makes it."""


def filled(text: str) -> str:
    """Fill every marked block of a page whose results are there."""
    for name, (source, render) in BLOCKS.items():
        results, begin, end = RESULTS / f"{source}.json", f"<!-- {name} -->", f"<!-- /{name} -->"
        if begin in text and results.exists():
            block = render(json.loads(results.read_text()))
            head, rest = text.split(f"{begin}\n")
            tail = rest.split(end)[1]
            text = f"{head}{begin}\n{block}\n{end}{tail}"
    return text


def main() -> None:
    """Fill the pages."""
    for page in PAGES:
        page.write_text(filled(page.read_text()))


if __name__ == "__main__":
    main()
