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


def detector(report: dict[str, Any]) -> str:
    """Each model on each data set, then the paired differences."""
    lines = report["summary"]
    head = [
        "learnt from 168 windows",
        "r",
        "separation",
        "F1 at IoU 0.5",
        "0.7",
        "CPU seconds to train",
    ]
    rows = [head]
    for line in lines:
        names = ("pearson_r", "separation", "span_f1_50", "span_f1_70")
        cells = [f"{line[name]:.3f}" for name in names]
        rows.append([f"{line['data']}, {line['model']}", *cells, f"{line['cpu_seconds']:.0f}"])
    shown = [["paired difference (95 %)", "r", "F1 at IoU 0.5"]]
    for line in report["paired"]:
        what = f"{line['data']}: {line['a']} less {line['b']}"
        shown.append([what, _interval(line["pearson_r"]), _interval(line["span_f1_50"])])
    date, cores = report["machine"]["date"], report["machine"]["cores"]
    note = f"Means of three seeds (saccades: persons). Measured {date} on {cores} cores."
    return f"{table(rows)}\n\n{table(shown)}\n\n{note}"


def _interval(found: list[float]) -> str:
    middle, low, high = found
    return f"{middle:+.3f} ({low:+.3f} to {high:+.3f})"


def jade(report: dict[str, Any]) -> str:
    """Each single change: the first pass, the last, and windows never seen."""
    rows = [
        [
            "planted medium, 100 passes",
            "countdown loss, pass 1",
            "its share",
            "bar F1 at 0.5",
            "separation",
            "unseen windows: r",
            "F1 at IoU 0.5",
        ]
    ]
    for line in report["rows"]:
        countdown = line["epoch_1"].get("countdown")
        rows.append(
            [
                line["change"],
                "-" if countdown is None else f"{countdown:.2f}",
                "-" if countdown is None else f"{line['countdown_share']:.0%}",
                f"{line['bar_f1_at_half']:.3f}",
                f"{line['separation']:.3f}",
                f"{line['test_r']:.3f}",
                "-" if line["test_f1_50"] is None else f"{line['test_f1_50']:.3f}",
            ]
        )
    return table(rows)


def pretraining(report: dict[str, Any]) -> str:
    """Mean of each kind, and its paired difference from none."""
    rows = [["20 marked, 5,000 unlabelled windows", "r", "difference (95 %)", "F1 at IoU 0.5"]]
    for line in report["summary"]:
        gain = line.get("gain", {}).get("pearson_r")
        shown = "-" if gain is None else _interval([gain[k] for k in ("difference", "low", "high")])
        cells = [f"{line['pearson_r']:.3f}", shown, f"{line['span_f1_50']:.3f}"]
        rows.append([line["pretrain"], *cells])
    return table(rows)


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


BLOCKS = {
    "quality": quality,
    "speed": speed,
    "label_memory": memory,
    "detector": detector,
    "jade": jade,
    "pretraining": pretraining,
    "audit": audit,
}


def filled(text: str) -> str:
    """Fill every marked block whose results are there."""
    for name, render in BLOCKS.items():
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
