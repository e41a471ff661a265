"""What the diagnostics of a detector's training say: its verdicts, its passes, its shares."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from proxytools.errors import InputError
from proxytools.report.blocks import (
    DASHES,
    NONE,
    QUIET,
    SERIES,
    Block,
    Chart,
    Section,
    Sentences,
    Table,
    Text,
    figure,
    number,
    tagless,
)
from proxytools.rundir import RunDir

TABLES = {
    "epoch_metrics": ("train_loss", "val_loss", "best"),
    "probability_stats": ("phase", "in_span_mean", "out_span_mean"),
    "task_shares": (),
}
TASKS = {"type": "type", "ptr": "pointers", "span": "spans", "countdown": "countdown"}
LEVELS = ("problem", "note", "good")
MOST_BYTES = 2**27  # of a table


@dataclass(frozen=True, eq=False)
class Training:
    """Tables by name, and the sentences of ``verdict.txt`` with their levels."""

    tables: dict[str, pd.DataFrame]
    verdicts: list[tuple[str, str]]


def read(run: RunDir) -> Training | None:
    """Read the diagnostics of a detector's run; None for any other.

    Raises
    ------
    InputError
        A table is missing or damaged.
    """
    if not (run / "epoch_metrics.csv").is_file():
        return None
    tables = {name: _table(run / f"{name}.csv", columns) for name, columns in TABLES.items()}
    verdict = run / "verdict.txt"
    lines = verdict.read_text(errors="replace").splitlines() if verdict.is_file() else []
    parted = [line.partition(": ") for line in lines]
    return Training(tables, [(level, text) for level, _, text in parted if level in LEVELS])


def _table(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    fix = "Train again with this version"
    if not path.is_file() or path.stat().st_size > MOST_BYTES:
        raise InputError(
            str(path),
            got=f"{path.stat().st_size} bytes" if path.is_file() else "nothing there",
            expected=f"diagnostics of at most {MOST_BYTES} bytes",
            fix=fix,
        )
    try:
        table = pd.read_csv(path, dtype={"run": "str"})
        missing = [name for name in ("run", "epoch", *columns) if name not in table]
        if missing:
            raise ValueError(f"no column {missing[0]}")
        kinds: dict[Any, Any] = {
            name: "str" if name in ("run", "phase") else "float64" for name in table
        }
        return table.astype(kinds)
    except (ValueError, TypeError, OverflowError) as error:
        reason = (str(error).splitlines() or [""])[0][:120]
        raise InputError(
            str(path),
            got=f"damaged text ({reason})",
            expected="the table that was written",
            fix=fix,
        ) from None


def section(labelled: list[tuple[str, Training]]) -> Section | None:
    """Say what each training did, in words first."""
    if not labelled:
        return None
    lead = (
        "A detector is trained on inner folds first, which choose the number of passes, then on "
        "everything. Sentences come from rules over its tables; the curves are those of the folds."
    )
    blocks: list[Block] = []
    for place, (label, training) in enumerate(labelled):
        blocks += _blocks(f"training-{place}", label, training)
    return Section("training", "What did the training do?", lead, blocks)


def _blocks(name: str, label: str, training: Training) -> list[Block]:
    metrics = training.tables["epoch_metrics"]
    folds = metrics[metrics["val_loss"].notna()]
    blocks: list[Block] = [Sentences(training.verdicts, label)]
    if len(folds):
        blocks += [_losses(name, label, folds), _apart(name, label, training)]
    shares = {what: _task_shares(training, what) for what in ("loss", "gradient")}
    blocks += [
        _shares(name, label, what, share) for what, share in shares.items() if share.shape[1] > 1
    ]
    if shares["loss"].shape[1] == 1:
        only = shares["loss"].columns[0]
        blocks.append(
            Text(f"{label} learns one task ({only}): all of loss and gradient is its own.")
        )
    return blocks


def _losses(name: str, label: str, folds: pd.DataFrame) -> Chart:
    traces, rows = [], []
    for place, fold in enumerate(folds["run"].unique().tolist()):
        passes = folds[folds["run"] == fold]
        for column, color, words in (
            ("train_loss", QUIET, "learnt from"),
            ("val_loss", SERIES[0], "held out"),
        ):
            traces.append(
                _line(passes["epoch"], passes[column], f"{words}, {fold}", color, DASHES[place % 6])
            )
        kept = passes[passes["best"] == 1].tail(1)
        traces.append(
            go.Scatter(
                x=kept["epoch"],
                y=kept["val_loss"],
                mode="markers",
                name=f"kept, {tagless(fold)}",
                marker={"size": 10, "color": SERIES[1], "symbol": "diamond"},
            )
        )
        at = kept.iloc[0] if len(kept) else None
        rows.append(
            [
                fold,
                len(passes),
                NONE if at is None else int(at["epoch"]),
                number(passes["train_loss"].iloc[-1]),
                number(None if at is None else at["val_loss"]),
            ]
        )
    columns = ["fold", "passes", "kept pass", "last loss, learnt from", "loss of the kept pass"]
    summary = "; ".join(f"{row[0]}: pass {row[2]} of {row[1]} kept, loss {row[4]}" for row in rows)
    drawn = figure(traces, x="pass", y="loss that is minimised", showlegend=False)
    drawn["layout"]["hovermode"] = "closest"
    return Chart(
        f"{name}-loss",
        f"{label}: loss by pass",
        f"Grey: windows learnt from. Blue: windows held out. Diamond: the pass kept. {summary}.",
        drawn,
        table=Table(f"Passes of {label}", columns, rows),
        half=True,
    )


def _apart(name: str, label: str, training: Training) -> Chart:
    stats = training.tables["probability_stats"]
    held = stats[stats["phase"] == "val"].groupby("epoch")[["in_span_mean", "out_span_mean"]].mean()
    traces = [
        _line(held.index, held["in_span_mean"], "in marked spans", SERIES[1], "solid"),
        _line(held.index, held["out_span_mean"], "outside", QUIET, "dash"),
    ]
    last = held.iloc[-1] if len(held) else {"in_span_mean": np.nan, "out_span_mean": np.nan}
    summary = (
        f"Mean probability of held-out bars after the last pass: {last['in_span_mean']:.3f} in "
        f"marked spans, {last['out_span_mean']:.3f} outside. Two flat lines together would mean "
        "that nothing was learnt."
    )
    drawn = figure(traces, x="pass", y="mean probability", yaxis={"rangemode": "tozero"})
    title = f"{label}: probability in and outside spans"
    return Chart(f"{name}-apart", title, summary, drawn, half=True)


def _task_shares(training: Training, what: str) -> pd.DataFrame:
    """Mean share of each task in the loss or the gradient, a row a pass in which it was taken."""
    columns = {f"{what}_share_{task}": spoken for task, spoken in TASKS.items()}
    table = training.tables["task_shares"].rename(columns=columns)
    mean = table.reindex(columns=["epoch", *TASKS.values()]).groupby("epoch").mean()
    return mean.dropna(axis=1, how="all").dropna(how="all")


def _shares(name: str, label: str, what: str, mean: pd.DataFrame) -> Chart:
    tasks = [str(task) for task in mean]
    traces = [
        go.Scatter(
            x=mean.index,
            y=mean[task],
            stackgroup="one",
            mode="lines",
            name=task,
            line={"width": 1, "color": SERIES[place]},
            hovertemplate="pass %{x}: %{y:.0%}",
        )
        for place, task in enumerate(tasks)
    ]
    first, last = mean.iloc[0], mean.iloc[-1]
    parts = [f"{task} {first[task]:.0%} to {last[task]:.0%}" for task in tasks]
    summary = f"From the first pass to the last: {', '.join(parts)}.".replace("%", " %")
    rows = [[int(epoch), *(number(share, 2) for share in row)] for epoch, *row in mean.itertuples()]
    drawn = figure(
        traces,
        x="pass",
        y=f"share of the {what}",
        yaxis={"range": [0, 1], "tickformat": ".0%"},
    )
    table = Table(f"Shares of the {what}", ["pass", *tasks], rows)
    title = f"{label}: who takes the {what}"
    return Chart(f"{name}-share-{what}", title, summary, drawn, table=table, half=True)


def _line(x: Any, y: Any, name: str, color: str, dash: str) -> Any:
    line = {"color": color, "dash": dash, "width": 1.8}
    return go.Scatter(x=np.asarray(x), y=np.asarray(y), mode="lines", name=tagless(name), line=line)
