"""What the proxies look at, and what more marks would bring."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from proxytools.report.blocks import (
    QUIET,
    Block,
    Chart,
    Section,
    Table,
    Text,
    figure,
    interval,
    tagless,
)
from proxytools.report.refits import Dependence, Family, Point
from proxytools.report.scored import Scored

MOST = 15  # families drawn; the table has them all

Explained = tuple[Scored, list[Family], list[Dependence]]


def section(explained: Sequence[Explained], left_out: Sequence[tuple[str, str]]) -> Section | None:
    """Show importance and partial dependence of each proxy, and say who is left out and why."""
    lead = (
        "Each proxy was refitted on the training windows of every fold and asked about the windows "
        "held out. Importance: how far held-out r falls when a family of features is dealt to "
        "other windows. Families overlap in what they say, so one that costs little may only be "
        "replaceable."
    )
    blocks: list[Block] = []
    for own, found, dependence in explained:
        blocks += [_importance(own, found), *(_dependence(own, one) for one in dependence)]
    blocks += [Text(f"{label}: not refitted, {why}.") for label, why in left_out]
    return Section("insight", "What does it look at?", lead, blocks) if explained else None


def _importance(own: Scored, found: Sequence[Family]) -> Chart:
    shown = found[:MOST][::-1]
    drop, low, high = np.array([[f.drop, f.low, f.high] for f in shown]).T
    drawn = figure(
        [
            go.Bar(
                x=drop,
                y=[tagless(family.name) for family in shown],
                orientation="h",
                marker={"color": own.color},
                error_x={
                    "type": "data",
                    "symmetric": False,
                    "array": high - drop,
                    "arrayminus": drop - low,
                    "thickness": 1.5,
                    "color": QUIET,
                },
                customdata=[len(family.members) for family in shown],
                hovertemplate="%{y} (%{customdata} features): %{x:.3f}<extra></extra>",
            )
        ],
        x="fall of held-out r",
        y="",
        margin={"l": 12, "r": 16, "t": 8, "b": 44},
    )
    summary = "Most is lost without " + ", ".join(
        f"{family.name} ({family.drop:.3f})" for family in found[:3]
    )
    rows = [[f.name, f"{f.drop:.4f}", interval(f.low, f.high), ", ".join(f.members)] for f in found]
    columns = ["family", "fall of r", "95 % interval", "features"]
    return Chart(
        f"importance-{own.place}",
        f"{own.label}: importance of features",
        f"{summary}.",
        drawn,
        90 + 24 * len(shown),
        Table(f"Permutation importance of {own.label}", columns, rows),
    )


def _dependence(own: Scored, found: Dependence) -> Chart:
    mean = found.prob.mean(axis=0)
    low, high = found.prob.min(axis=0), found.prob.max(axis=0)
    band = {"mode": "lines", "line": {"width": 0}, "hoverinfo": "skip", "showlegend": False}
    traces = [
        go.Scatter(x=found.grid, y=low, **band),
        go.Scatter(
            x=found.grid, y=high, fill="tonexty", fillcolor="rgba(120,140,160,0.25)", **band
        ),
        go.Scatter(
            x=found.grid,
            y=mean,
            mode="lines",
            name="mean probability",
            line={"color": own.color, "width": 2.2},
        ),
    ]
    at = found.grid[int(mean.argmax())]
    summary = (
        f"{found.meaning[:1].upper()}{found.meaning[1:]}; unit: {found.unit}. The mean probability "
        f"is {mean.min():.3f} to {mean.max():.3f}, highest at {at:.3g}. Shaded: from the lowest to "
        "the highest fold."
    )
    drawn = figure(
        traces,
        x=tagless(found.feature),
        y="mean probability",
        yaxis={"rangemode": "tozero"},
        showlegend=False,
    )
    name = f"dependence-{own.place}-{found.feature}"
    return Chart(
        name, f"{own.label}: partial dependence on {found.feature}", summary, drawn, 280, half=True
    )


def learning(curves: Sequence[tuple[Scored, list[Point]]]) -> Section | None:
    """Show what more marks would bring."""
    curves = [(own, points) for own, points in curves if points]
    if not curves:
        return None
    traces, rows, words = [], [], []
    for own, points in curves:
        n, r, low, high = np.array([[p.windows, p.r, p.low, p.high] for p in points]).T
        traces.append(
            go.Scatter(
                x=n,
                y=r,
                error_y={
                    "type": "data",
                    "symmetric": False,
                    "array": high - r,
                    "arrayminus": r - low,
                    "thickness": 1.2,
                },
                mode="lines+markers",
                name=tagless(own.label),
                line={"color": own.color, "dash": own.dash, "width": 2},
                hovertemplate="r = %{y:.3f} from %{x:.0f} windows",
            )
        )
        rows += [
            [own.label, f"{p.windows:.0f}", f"{p.r:.3f}", interval(p.low, p.high)] for p in points
        ]
        if len(points) > 1:
            before, last = points[-2], points[-1]
            words.append(
                f"{own.label}: from {before.windows:.0f} to {last.windows:.0f} windows r goes from "
                f"{before.r:.3f} to {last.r:.3f}"
            )
    drawn = figure(traces, x="labelled windows learnt from", y="held-out r")
    table = Table("Learning curve", ["run", "windows", "r", "95 % interval"], rows)
    summary = "; ".join(words) + "." if words else "One size alone could be fitted."
    chart = Chart("learning", "Learning curve", summary, drawn, table=table)
    lead = (
        "Each proxy was fitted on nested sets of whole training groups and measured on the windows "
        "held out, the same at every size. A curve that still rises at its end asks for more marks."
    )
    return Section("learning-curve", "Would more marks help?", lead, [chart])
