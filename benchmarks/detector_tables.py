"""Tables of what was measured of the detector, for `benchmarks.readme`."""

from __future__ import annotations

from typing import Any

METRICS = ("pearson_r", "span_f1_50")
TUNED_FROM = ("none", "one member, outer folds")  # what changes are compared with


def table(rows: list[list[str]]) -> str:
    """Lay out rows as a Markdown table; the first is the head."""
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body])


def detector(report: dict[str, Any]) -> str:
    """Each model on each data set, then the paired differences."""
    columns = {
        "pearson_r": "r",
        "pearson_r_without_place": "r without place",
        "separation": "separation",
        "bar_f1_at_half": "bar F1 at 0.5",
        "span_f1_50": "F1 at IoU 0.5",
        "span_f1_70": "0.7",
    }
    rows = [["learnt from 168 windows", *columns.values(), "CPU seconds to train"]]
    for line in report["summary"]:
        cells = ["-" if line.get(name) is None else f"{line[name]:.3f}" for name in columns]
        rows.append([f"{line['data']}, {line['model']}", *cells, f"{line['cpu_seconds']:.0f}"])
    shown = [["paired difference (95 %)", "r", "F1 at IoU 0.5"]]
    for line in report["paired"]:
        if line["b"].startswith(f"{line['a']} "):  # the same runs, which have a column above
            continue
        what = f"{line['data']}: {line['a']} less {line['b']}"
        shown.append([what, _interval(line["pearson_r"]), _interval(line["span_f1_50"])])
    date, cores = report["machine"]["date"], report["machine"]["cores"]
    note = f"Means of three seeds (saccades: persons). Measured {date} on {cores} cores."
    return f"{table(rows)}\n\n{table(shown)}\n\n{note}"


def _interval(found: list[float]) -> str:
    middle, low, high = found
    return f"{middle:+.3f} ({low:+.3f} to {high:+.3f})"


def tuning(report: dict[str, Any]) -> str:
    """Show what each change of a default gives inside training windows, set by set."""
    lines = report["summary"]
    sets = list(dict.fromkeys(line["data"] for line in lines))
    cells = {(line["change"], line["data"]): line for line in lines}
    rows = [["changed", *(f"{name}: {what}" for name in sets for what in ("r", "F1 at IoU 0.5"))]]
    for change in dict.fromkeys(line["change"] for line in lines):
        own = [cells.get((change, name), {}) for name in sets]
        rows.append([change, *(_tuned(line, m) for line in own for m in METRICS)])
    return table(rows)


def _tuned(line: dict[str, Any], metric: str) -> str:
    gain = line.get("gain")
    if gain:
        return _interval(gain[metric])
    return f"{line[metric]:.3f}" if line.get("change") in TUNED_FROM else "-"


def choices(report: dict[str, Any]) -> str:
    """Show what settings of the presets gave on the seeds they were chosen on."""
    head = ["preset", "labels", "choice"]
    rows = [[*head, "r", "difference (95 %)", "F1 at IoU 0.5", "difference (95 %)"]]
    for line in report["summary"]:
        gain = line.get("gain")
        cells = ((f"{line[name]:.3f}", _interval(gain[name]) if gain else "-") for name in METRICS)
        what = [line["preset"], f"{line['labels']}, planted {line['data']}"]
        what.append(line["choice"])
        rows.append([*what, *(cell for pair in cells for cell in pair)])
    return table(rows)


def many(report: dict[str, Any]) -> str:
    """Show the default detector with few labels and with many, and the ceiling."""
    few, lots = (f"{report[name]:,} labels" for name in ("few", "many"))
    rows = [["", "seeds", few, lots, "share"]]
    for line in report["summary"]:
        for metric, what in (("pearson_r", "r"), ("span_f1_50", "F1 at IoU 0.5")):
            found = line[metric]
            cells = [f"{found['few']:.3f}", f"{found['many']:.3f}", f"{found['share']:.1%}"]
            rows.append([f"{line['data']}, {what}", str(line["seeds"]), *cells])
        rows.append([f"{line['data']}, ceiling of r", "", f"{line['ceiling']['few']:.3f}", "", ""])
    return table(rows)


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
    for change in dict.fromkeys(row["change"] for row in report["rows"]):
        own = [row for row in report["rows"] if row["change"] == change]
        countdown = [row["epoch_1"]["countdown"] for row in own if "countdown" in row["epoch_1"]]
        learnt = [
            f"{_mean(countdown):.2f}",
            f"{_mean([row['countdown_share'] for row in own]):.0%}",
        ]
        figures = ("bar_f1_at_half", "separation", "test_r")
        shown = [_over([row[name] for row in own]) for name in figures]
        # No span found at all, which has no F1, is none found rightly.
        shown.append(_over([row["test_f1_50"] or 0.0 for row in own]))
        rows.append([change, *(learnt if countdown else ["-", "-"]), *shown])
    seeds = len({row["seed"] for row in report["rows"]})
    return f"{table(rows)}\n\nMeans of {seeds} seeds."


def pretraining(report: dict[str, Any]) -> str:
    """Mean of each kind, and its paired difference from none."""
    rows = [["20 marked, 5,000 unlabelled windows", "r", "difference (95 %)", "F1 at IoU 0.5"]]
    for line in report["summary"]:
        if not line["seeds"]:  # not measured yet
            continue
        gain = line.get("gain", {}).get("pearson_r")
        shown = "-" if gain is None else _interval(gain)
        cells = [f"{line['pearson_r']:.3f}", shown, f"{line['span_f1_50']:.3f}"]
        rows.append([line["pretrain"], *cells])
    return table(rows)


def ladder(report: dict[str, Any]) -> str:
    """Each step from the predecessor to the default, and what it gave."""
    rows = [
        ["step, on top of those above", "r", "it gave (95 %)", "F1 at IoU 0.5", "it gave (95 %)"]
    ]
    for line in report["ladder"]:
        gains = [_interval(line[k]) if k in line else "-" for k in ("r_gain", "f1_gain")]
        r, f1 = f"{line['pearson_r']:.3f}", f"{line['span_f1_50']:.3f}"
        rows.append([line["step"], r, gains[0], f1, gains[1]])
    return table(rows)


def first_pass(report: dict[str, Any]) -> str:
    """Losses of the first pass as they were reported and as they are seen, and what follows."""
    rows = [["countdown", "", "type", "pointers", "span", "countdown loss", "its share"]]
    for name, line in report["first_pass"].items():
        shares = f"{line['reported_share']:.1%} (its own losses: {line['share_that_follows']:.1%})"
        for what, losses, share in (
            ("reported", line["reported"], shares),
            ("seen", line["seen"], f"{line['seen_share']:.1%}"),
        ):
            cells = [f"{losses[k]:.2f}" for k in ("type", "pointers", "span", "countdown")]
            rows.append([name, what, *cells, share])
    return table(rows)


def splits(report: dict[str, Any]) -> str:
    """Show what two ways to split overlapping windows claim, and what is true."""
    rows = [["split of overlapping windows", "r claimed", "r on windows that took no part"]]
    for way in dict.fromkeys(row["split"] for row in report["splits"]):
        own = [row for row in report["splits"] if row["split"] == way]
        rows.append([way, *(_over([row[k] for row in own]) for k in ("claimed_r", "true_r"))])
    return table(rows)


def ablation(report: dict[str, Any]) -> str:
    """Show what each change of a plain detector does to it."""
    head = ["changed", "seeds", "windows for one", "r", "difference (95 %)"]
    rows = [[*head, "F1 at IoU 0.5", "difference (95 %)"]]
    for line in report["summary"]:
        gains = [_interval(line[k]) if k in line else "-" for k in ("r_gain", "f1_gain")]
        r, f1 = f"{line['pearson_r']:.3f}", f"{line['span_f1_50']:.3f}"
        what = f"{line['model']}: {line['change']}"
        rows.append([what, str(line["seeds"]), str(line["windows"]), r, gains[0], f1, gains[1]])
    return table(rows)


def claims(report: dict[str, Any]) -> str:
    """Show what two ways to split overlapping children claim, and what is true."""
    rows = [["r of overlapping children", "split", "claimed", "on windows that took no part"]]
    for model in dict.fromkeys(row["model"] for row in report["claims"]):
        own = [row for row in report["claims"] if row["model"] == model]
        for way in ("random", "by parent"):
            cells = [_over([row[k] for row in own]) for k in (way, f"{way}, in truth")]
            rows.append([model, way, *cells])
    return table(rows)


def _mean(values: list[float]) -> float:
    return sum(values) / max(len(values), 1)


def _over(values: list[float]) -> str:
    return f"{_mean(values):.3f}"
