"""How far to trust it: calibration, thresholds, what was found and how well boundaries stand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from proxytools.metrics.span import span_metrics, window_counts
from proxytools.report import measures
from proxytools.report.blocks import (
    QUIET,
    Block,
    Chart,
    Section,
    Table,
    figure,
    number,
    percent,
    tagless,
)
from proxytools.report.scored import Scored

FARTHEST = 6  # bars beyond which boundary errors share a bin; IoU 0.5 leaves few


def probabilities(scored: Sequence[Scored]) -> Section:
    """Calibration and the threshold curve."""
    lead = (
        "A calibrated probability of 0.3 is right three times in ten. The threshold curve shows "
        "what another threshold would have given on these very windows: a threshold picked from "
        "it has to be measured on others."
    )
    blocks: list[Block] = [
        _calibration(scored),
        _counts(scored),
        _bar_curve(scored),
        _span_curve(scored),
    ]
    return Section("trust", "Can the probabilities be trusted?", lead, blocks)


def spans(scored: Sequence[Scored]) -> Section:
    """Outcomes, and the errors of boundaries."""
    lead = (
        "A detection finds a mark when their intersection over union (IoU) is at least 0.5; each "
        "takes part in one match. Boundary errors are those of the matches: below 0 is early, "
        "above 0 late."
    )
    blocks: list[Block] = [
        _outcomes(scored),
        _boundaries(scored, "start"),
        _boundaries(scored, "stop"),
    ]
    return Section("spans", "Where exactly are the spans?", lead, blocks)


def _calibration(scored: Sequence[Scored]) -> Chart:
    line = {"color": QUIET, "dash": "dash", "width": 1}
    traces = [go.Scatter(x=[0, 1], y=[0, 1], mode="lines", name="calibrated", line=line)]
    rows, words = [], []
    for own in scored:
        fitted = own.fitted
        found = measures.calibration(fitted.soft.prob, fitted.data.mask, fitted.units)
        traces.append(
            go.Scatter(
                x=found.prob,
                y=found.share,
                error_y={"type": "data", "array": 1.96 * found.error, "thickness": 1.2},
                mode="lines+markers",
                name=tagless(own.label),
                line={"color": own.color, "dash": own.dash, "width": 2},
                hovertemplate="%{y:.3f} marked where %{x:.3f} was said",
            )
        )
        rows += [
            [own.label, f"{p:.3f}", f"{share:.3f}", f"{error:.3f}", f"{n:,}"]
            for p, share, error, n in zip(
                found.prob, found.share, found.error, found.count, strict=True
            )
        ]
        words.append(f"{own.label}: {fitted.metrics['calibration_error']:.3f}")
    summary = f"Expected calibration error (0 is perfect): {'; '.join(words)}."
    drawn = figure(
        traces,
        x="probability said, in tenths",
        y="share of bars marked",
        xaxis={"range": [-0.02, 1.02]},
        yaxis={"range": [-0.02, 1.02]},
    )
    columns = ["run", "mean probability", "share marked", "standard error", "bars"]
    table = Table("Bars by their probability, in tenths", columns, rows)
    return Chart("calibration", "Calibration", summary, drawn, table=table, half=True)


def _counts(scored: Sequence[Scored]) -> Chart:
    edges = np.linspace(0, 1, measures.BINS + 1)
    traces, words = [], []
    for own in scored:
        count = np.histogram(own.fitted.soft.prob, edges)[0]
        traces.append(
            go.Bar(
                x=edges[:-1] + 0.05,
                y=np.where(count > 0, count, np.nan),
                name=tagless(own.label),
                marker={"color": own.color},
                hovertemplate="%{y:,} bars",
            )
        )
        words.append(f"{own.label}: {percent(count[0], count.sum())}")
    summary = f"Share of bars below a probability of 0.1: {'; '.join(words)}."
    drawn = figure(
        traces,
        x="probability said",
        y="bars (logarithmic)",
        yaxis={"type": "log", "dtick": 1},
        barmode="group",
    )
    return Chart("counts", "How many bars got which probability", summary, drawn, half=True)


def _bar_curve(scored: Sequence[Scored]) -> Chart:
    traces, rows, words = [], [], []
    for own in scored:
        curve = measures.threshold_curve(own.fitted.soft.prob, own.fitted.data.spans)
        for name, values, dash in (
            ("precision", curve.precision, "dot"),
            ("recall", curve.recall, "dash"),
            ("F1", curve.bar_f1, "solid"),
        ):
            line = _line(values, own.label, own.color, dash)
            line.update(hovertemplate=f"{name} %{{y:.3f}}")
            line.update(showlegend=name == "F1")
            traces.append(line)
        best = int(np.nanargmax(np.nan_to_num(curve.bar_f1)))
        words.append(f"{own.label}: {curve.bar_f1[best]:.3f} at {measures.LEVELS[best]:.2f}")
        rows += [
            [own.label, f"{measures.LEVELS[k]:.2f}", number(curve.precision[k]),
             number(curve.recall[k]), number(curve.bar_f1[k]), number(curve.span_f1[k])]
            for k in range(4, len(measures.LEVELS), 5)
        ]  # fmt: skip
    columns = ["run", "threshold", "bar precision", "bar recall", "bar F1", "span F1"]
    table = Table("Thresholds, pooled over all bars; span F1 at IoU 0.5", columns, rows)
    summary = f"Solid: F1; dashed: recall; dotted: precision. Largest F1: {'; '.join(words)}."
    drawn = figure(traces, x="threshold", y="", yaxis={"range": [0, 1.02]})
    title = "Precision, recall and F1 of bars"
    return Chart("bars-by-threshold", title, summary, drawn, table=table, half=True)


def _span_curve(scored: Sequence[Scored]) -> Chart:
    traces, words = [], []
    for own in scored:
        curve = measures.threshold_curve(own.fitted.soft.prob, own.fitted.data.spans)
        traces.append(_line(curve.span_f1, own.label, own.color, own.dash))
        said = span_metrics(own.fitted.spans, own.fitted.data.spans)["span_f1_50"] or 0.0
        words.append(f"{own.label} {said:.3f}")
        traces.append(
            go.Scatter(
                x=[0, 1],
                y=[said, said],
                mode="lines",
                name=f"{tagless(own.label)}, as detected",
                line={"color": own.color, "width": 1, "dash": "dot"},
                showlegend=False,
            )
        )
    summary = (
        "Curves: runs of bars above a plain threshold. Thin lines: as detected, by the run's own "
        f"reading of spans: {'; '.join(words)}."
    )
    drawn = figure(traces, x="threshold", y="span F1 at IoU 0.5", yaxis={"range": [0, 1.02]})
    return Chart("spans-by-threshold", "F1 of spans", summary, drawn, half=True)


def _outcomes(scored: Sequence[Scored]) -> Table:
    rows = []
    for own in scored:
        fitted = own.fitted
        hit, false, missed = window_counts(fitted.spans, fitted.data.spans).sum(axis=0).tolist()
        found = span_metrics(fitted.spans, fitted.data.spans)
        rows.append(
            [own.label, f"{hit} of {hit + missed}", f"{hit} of {hit + false}"]
            + [number(found[f"span_f1_{iou}"]) for iou in (30, 50, 70)]
            + [number(found[name]) for name in ("span_ap", "mean_iou")]
        )
    columns = ["run", "marks found", "detections right", "F1 at IoU 0.3", "0.5", "0.7"]
    return Table(
        "Spans found, missed and invented",
        [*columns, "average precision", "mean IoU"],
        rows,
    )


def _boundaries(scored: Sequence[Scored], edge: str) -> Chart:
    traces, rows, words = [], [], []
    places = np.arange(-FARTHEST, FARTHEST + 1)
    for own in scored:
        errors = measures.boundary_errors(own.fitted.spans, own.fitted.data.spans)
        error = np.clip(errors[0 if edge == "start" else 1], -FARTHEST, FARTHEST)
        count = np.bincount(error + FARTHEST, minlength=len(places))
        traces.append(
            go.Bar(
                x=places,
                y=count / max(1, len(error)),
                name=tagless(own.label),
                marker={"color": own.color},
                hovertemplate="%{y:.0%} of matches",
            )
        )
        near = int((np.abs(error) <= 1).sum())
        words.append(f"{own.label}: {percent(near, len(error))} of {len(error)} within one bar")
        rows.append([own.label, *(int(n) for n in count)])
    ticks = [f"≤ {-FARTHEST}", *(f"{k:+d}" if k else "0" for k in places[1:-1]), f"≥ {FARTHEST}"]
    axis: dict[str, Any] = {"tickvals": places[::2].tolist(), "ticktext": ticks[::2]}
    drawn = figure(
        traces,
        x=f"bars from marked to detected {edge}",
        y="share of matches",
        xaxis=axis,
        yaxis={"tickformat": ".0%"},
        barmode="group",
    )
    table = Table(f"Matches by their error at {edge}, in bars", ["run", *ticks], rows)
    title = f"Error of the {edge}"
    return Chart(f"{edge}-error", title, f"{'; '.join(words)}.", drawn, table=table, half=True)


def _line(y: Any, name: str, color: str, dash: str) -> Any:
    return go.Scatter(
        x=measures.LEVELS,
        y=y,
        mode="lines",
        name=tagless(name),
        line={"color": color, "dash": dash, "width": 2},
    )
