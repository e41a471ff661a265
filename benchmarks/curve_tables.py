"""Tables of how quality grows with labels, and time and memory with bars."""

from __future__ import annotations

from typing import Any

from benchmarks.detector_tables import table

Row = dict[str, Any]


def labels(report: Row) -> str:
    """One table for each data set: r of each method at each number of labels, best last one first.

    Examples
    --------
    >>> line = {"data": "planted hard", "labels": 20, "model": "a", "pearson_r": 0.3, "seeds": 3,
    ...         "r_interval": [0.28, 0.32], "span_f1_50": 0.2, "of_ceiling": 0.5, "ceiling": 0.6}
    >>> print(labels({"summary": [line], "machine": {"date": "2026-01-01", "cores": 2}}))
    | planted hard: r (span F1 at IoU 0.5), by labels | 20 | seeds | of the ceiling, 0.600 |
    |---|---|---|---|
    | a | 0.300 ± 0.020 (0.20) | 3 | 50% |
    <BLANKLINE>
    ± is half of the 95 % interval of the mean over seeds ...
    """
    lines = [line for line in report["summary"] if not _ahead(line["model"])]
    parts = [_learning(lines, data) for data in dict.fromkeys(line["data"] for line in lines)]
    date, cores = report["machine"]["date"], report["machine"]["cores"]
    note = (
        "± is half of the 95 % interval of the mean over seeds (of one or two: over their test "
        "windows). Best with most labels first; seeds and share of the ceiling are those of the "
        f"last column a method has. Measured {date} on {cores} cores."
    )
    return "\n\n".join([*parts, note])


def _learning(lines: list[Row], data: str) -> str:
    own = [line for line in lines if line["data"] == data]
    numbers = sorted({line["labels"] for line in own})
    cells = {(line["model"], line["labels"]): line for line in own}
    last = {line["model"]: line for line in sorted(own, key=lambda line: line["labels"])}
    ceilings = [line["ceiling"] for line in own if line["ceiling"] is not None]
    shares = [f"of the ceiling, {sum(ceilings) / len(ceilings):.3f}"] if ceilings else []
    what = f"{data}: r (span F1 at IoU 0.5), by labels"
    rows = [[what, *(str(n) for n in numbers), "seeds", *shares]]
    for model, line in sorted(last.items(), key=lambda item: -item[1]["pearson_r"]):
        found = [_learnt(cells.get((model, n))) for n in numbers]
        share = [f"{line['of_ceiling']:.0%}"] if ceilings else []
        rows.append([model, *found, str(line["seeds"]), *share])
    return table(rows)


def _learnt(line: Row | None) -> str:
    if line is None:
        return "-"
    (low, high), f1 = line["r_interval"], line["span_f1_50"]
    half = (high - low) / 2
    return f"{line['pearson_r']:.3f} ± {half:.3f} ({'-' if f1 is None else f'{f1:.2f}'})"


def _ahead(model: str) -> str:
    """Return how a model is pre-trained; nothing where it is not."""
    return model.partition("+")[2]


def pretrained(report: Row) -> str:
    """Show what pre-training gives in r at each number of labels, beside the same seeds alone.

    Examples
    --------
    >>> rows = [{"data": "planted hard", "seed": 1, "labels": 20, "model": name, "pearson_r": r}
    ...         for name, r in (("a", 0.3), ("a+masked", 0.35))]
    >>> print(pretrained({"rows": rows}))
    | r less that without pre-training (seeds) | 20 |
    |---|---|
    | planted hard, a+masked | +0.050 (1) |
    """
    rows = report["rows"]
    r = {(row["data"], row["model"], row["labels"], row["seed"]): row["pearson_r"] for row in rows}
    ahead = [row for row in rows if _ahead(row["model"])]
    numbers = sorted({row["labels"] for row in ahead})
    shown = [["r less that without pre-training (seeds)", *map(str, numbers)]]
    for data, model in dict.fromkeys((row["data"], row["model"]) for row in ahead):
        base, cells = model.partition("+")[0], []
        for n in numbers:
            seeds = [key[3] for key in r if key[:3] == (data, model, n)]
            found = [
                r[data, model, n, seed] - r[data, base, n, seed]
                for seed in seeds
                if (data, base, n, seed) in r
            ]
            cells.append(f"{sum(found) / len(found):+.3f} ({len(found)})" if found else "-")
        shown.append([f"{data}, {model}", *cells])
    return table(shown)


def said(report: Row) -> list[str]:
    """Say of each data set whether more labels would help its best method.

    Examples
    --------
    >>> line = {"data": "planted medium", "labels": 500, "model": "a", "pearson_r": 0.7}
    >>> gain = {"data": "planted medium", "model": "a", "from": 168, "to": 500}
    >>> said({"summary": [line], "gains": [{**gain, "r_gain": [0.03, 0.02, 0.04]}]})
    ['planted medium: more labels still help: from 168 to 500 a gains r +0.030 (+0.020 to +0.040)']
    """
    sentences = []
    for data in dict.fromkeys(line["data"] for line in report["gains"]):
        own = [line for line in report["gains"] if line["data"] == data]
        most = max(line["to"] for line in own)
        r = {
            line["model"]: line["pearson_r"]
            for line in report["summary"]
            if line["data"] == data and line["labels"] == most
        }
        last = max((line for line in own if line["to"] == most), key=lambda line: r[line["model"]])
        middle, low, high = last["r_gain"]
        verdict = "more labels still help" if low > 0 else "no gain that stands out of the noise"
        sentences.append(
            f"{data}: {verdict}: from {last['from']} to {most} {last['model']} gains r "
            f"{middle:+.3f} ({low:+.3f} to {high:+.3f})"
        )
    return sentences


def more(report: Row) -> str:
    """List what is said."""
    return "\n".join(f"- {sentence}" for sentence in said(report))


def growth(report: Row) -> str:
    """Core-seconds and peak memory of each job at each number of bars, and how they grow."""
    sizes = sorted({row["bars"] for row in report["rows"]})
    cells = {(row["job"], row["bars"]): row for row in report["rows"]}
    head = ["core-seconds, peak memory", *(f"{n:,} bars".replace(",", " ") for n in sizes)]
    rows = [[*head, "time grows as bars to the", "memory"]]
    for job in dict.fromkeys(row["job"] for row in report["rows"]):
        slopes = report["exponents"].get(job, {})
        shown = [f"{slopes[name]:.2f}" if slopes else "-" for name in ("core_seconds", "peak_mb")]
        rows.append([job, *(_grown(cells.get((job, n))) for n in sizes), *shown])
    date, cores = report["machine"]["date"], report["machine"]["cores"]
    figure = "![Time and memory against the number of bars](growth.png)"
    return f"{figure}\n\n{table(rows)}\n\nMeasured {date} on {cores} cores."


def _grown(row: Row | None) -> str:
    if row is None:
        return "-"
    return f"{row['core_seconds']:.2g} s, {row['peak_mb']:.0f} MB"
