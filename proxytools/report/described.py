"""What data, and what split."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from proxytools import splits
from proxytools.report.blocks import (
    MARK,
    NONE,
    QUIET,
    Block,
    Chart,
    Facts,
    Section,
    Table,
    figure,
    percent,
)
from proxytools.report.runs import INNER, Run
from proxytools.report.scored import Scored
from proxytools.report.source import Source
from proxytools.types import SpanDataset


def section(source: Source, runs: Sequence[Run], scored: Sequence[Scored]) -> Section:
    """Describe the windows, their marks, and who was held out from whom."""
    data = source.data
    lead = (
        "Windows that share bars or a parent form a group, and a group never stands on both sides "
        "of a split. Marks are half-open in files; bars are numbered from 0 here, both ends shown."
    )
    blocks: list[Block] = [_facts(source), _files(source)]
    if len(data.spans):
        blocks += [_lengths(data), _positions(data)]
    blocks.append(_split(runs, scored))
    return Section("data", "What data, what split?", lead, blocks)


def _facts(source: Source) -> Facts:
    data = source.data
    windows, spans, count, seen = data.windows, data.spans, data.spans.count, data.labelled
    mask = data.mask[seen]
    items = [
        ("windows", f"{len(data):,}"),
        ("bars in a window", f"{data.n_bars:,}"),
        ("groups", f"{len(np.unique(splits.groups(windows))):,}"),
        ("labelled windows", f"{seen.sum():,}"),
        ("labelled, no span", f"{(seen & (count == 0)).sum():,}"),
        ("several spans", f"{(count > 1).sum():,}"),
        ("unlabelled windows", f"{(~seen).sum():,}"),
        ("marked spans", f"{len(spans):,}"),
        ("labelled bars marked", percent(mask.sum(), mask.size)),
    ]
    if windows.series is not None:
        items.append(("series", f"{len(np.unique(windows.series)):,}"))
    if windows.time is not None:
        for name, time in (("from (UTC)", windows.time.min()), ("to (UTC)", windows.time.max())):
            items.append((name, str(np.datetime_as_string(time, "m")).replace("T", " ")))
    for code, name in enumerate(data.classes):
        items.append((f"class {name}", f"{(spans.label == code).sum():,} spans"))
    return Facts(f"Data: {source.name}", items)


def _files(source: Source) -> Table:
    rows = [[role, path, sha256] for role, path, sha256 in source.files]
    return Table(
        "Files read, with their SHA-256", ["", "path", "hash"], rows or [["none", NONE, NONE]]
    )


def _lengths(data: SpanDataset) -> Chart:
    length, count = np.unique(data.spans.length, return_counts=True)
    median = float(np.median(data.spans.length))
    traces = [go.Bar(x=length, y=count, marker={"color": MARK}, hovertemplate="%{y} of %{x} bars")]
    summary = f"Marks are {length[0]} to {length[-1]} bars long, the median {median:g}."
    drawn = figure(traces, x="bars in a mark", y="marks", showlegend=False)
    return Chart("lengths", "How long marks are", summary, drawn, 280, half=True)


def _positions(data: SpanDataset) -> Chart:
    share = data.take(data.labelled).mask.mean(axis=0)  # (T,)
    top = int(share.argmax())
    line = {"color": MARK, "width": 2}
    bars = np.arange(data.n_bars)
    traces = [
        go.Scatter(x=bars, y=share, mode="lines", line=line, fill="tozeroy", name="share marked"),
        go.Scatter(
            x=bars[[0, -1]],
            y=[share.mean()] * 2,
            mode="lines",
            line={"color": QUIET, "dash": "dash", "width": 1},
            name="if place told nothing",
        ),
    ]
    summary = (
        f"Bar {top} is marked most often, in {share[top]:.0%} of labelled windows; evenly spread "
        f"it would be {share.mean():.0%}. What a model could learn from this alone is the row "
        "position-prior of the leaderboard."
    ).replace("%", " %")
    drawn = figure(traces, x="bar of the window", y="share marked", yaxis={"tickformat": ".0%"})
    return Chart("positions", "Where marks stand", summary, drawn, 280, half=True)


def _split(runs: Sequence[Run], scored: Sequence[Scored]) -> Table:
    rows = []
    for run in runs:
        own = next((one for one in scored if one.run is run), None)
        folds = run.config.get("folds") or (
            "inside the fit" if own and own.folds == INNER else NONE
        )
        held = "leaderboard only" if run.rows else "no soft labels in the run"
        if own:
            held = own.folds
            if own.folds == INNER:
                held += ": stopping and thresholds were chosen on them, which flatters a little"
        n = f"{len(own.fitted.data):,}" if own else NONE
        embargo = run.config.get("embargo") or NONE
        rows.append([run.label, folds, embargo, run.record.get("seed", NONE), n, held])
    columns = ["run", "folds", "embargo", "seed", "windows shown", "held out in"]
    return Table("Split: who was held out from whom", columns, rows)
