"""Is there signal? The leaderboard, measured again from the runs' files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import plotly.graph_objects as go

from proxytools import evaluate, leaderboard
from proxytools.leaderboard import GATE as USUAL_GATE
from proxytools.leaderboard import Row
from proxytools.report.blocks import (
    GATE,
    INK,
    QUIET,
    Chart,
    Section,
    Table,
    figure,
    interval,
    number,
    tagless,
)
from proxytools.report.runs import Run
from proxytools.report.scored import Scored

REFERENCES = tuple(proxy.name for proxy in leaderboard.references())
SAME = 1e-6  # between two correlations of the same probabilities, read from a file


@dataclass(frozen=True)
class Line:
    """A row of the leaderboard, where it stands if it was not measured here, and on what."""

    row: Row
    source: str
    folds: str
    color: str

    @property
    def reference(self) -> bool:
        """Whether it is a row that every method must beat."""
        return self.row.model in REFERENCES


def lines(runs: Sequence[Run], scored: Sequence[Scored]) -> list[Line]:
    """Measure the runs and the rows they must beat; take those of `proxytools correlate` as found.

    One that was measured here as well gives its p-value alone. Best first.
    """
    found = [*_measured(scored)] if scored else []
    for run in runs:
        for row in run.rows:
            again = [i for i, line in enumerate(found) if line.row.model == row.model]
            if again and abs(found[again[0]].row.pearson_r - row.pearson_r) < SAME:
                line = found[again[0]]
                found[again[0]] = replace(line, row=replace(line.row, p_value=row.p_value))
                continue
            name = f"{row.model} ({run.path.resolve().name})" if again else row.model
            found.append(Line(replace(row, model=name), f"as in {run.label}", "outer folds", INK))
    return sorted(found, key=lambda line: -line.row.pearson_r)


def _measured(scored: Sequence[Scored]) -> list[Line]:
    config, data = scored[0].run.config, scored[0].fitted.data
    options: dict[str, Any] = {
        "n_folds": config.get("folds") or 5,
        "seed": scored[0].run.record["seed"],
        "embargo": config.get("embargo") or "0",
    }
    references = leaderboard.references(options["seed"])
    features = evaluate.compute(data, references)
    fitted = [evaluate.cross_fit(p, data, features=features, **options) for p in references]
    prior = next(f for f in fitted if f.soft.source == "position-prior")
    row_of = partial(leaderboard.row, prior=prior, seed=options["seed"])
    rows = [Line(row_of(own.fitted), "", own.folds, own.color) for own in scored]
    return rows + [Line(row_of(f), "", "outer folds", QUIET) for f in fitted]


def gate_of(runs: Sequence[Run]) -> float:
    """Return the gate that a run was given, or the usual one."""
    given = [run.config.get("gate") for run in runs]
    return next((float(gate) for gate in given if isinstance(gate, float | int)), USUAL_GATE)


def section(found: Sequence[Line], gate: float) -> Section:
    """Draw and tabulate the leaderboard."""
    lead = (
        "Pearson correlation of each bar's probability with the marks, on windows whose group took "
        "no part in the fit. Intervals are 95 %, from a bootstrap over groups of windows. Whatever "
        "does not beat the grey rows has found nothing but where marks usually stand."
    )
    return Section("signal", "Is there signal?", lead, [_chart(found, gate), _table(found, gate)])


def _chart(found: Sequence[Line], gate: float) -> Chart:
    shown = list(reversed(found))
    traces = [
        _dots([line for line in shown if line.color == color], color)
        for color in dict.fromkeys(line.color for line in shown)
    ]
    best, beaten = found[0].row, [line.row for line in found if line.reference]
    summary = (
        f"Best: {best.model}, r = {best.pearson_r:.3f} ({interval(best.ci_low, best.ci_high)}). "
        + "; ".join(f"{row.model} r = {row.pearson_r:.3f}" for row in beaten)
        + f". The gate stands at {gate:g}."
    )
    order = [tagless(line.row.model) for line in shown]
    drawn = figure(
        traces,
        x="held-out Pearson r",
        y="",
        showlegend=False,
        yaxis={"categoryorder": "array", "categoryarray": order, "automargin": True},
        shapes=[
            {
                "type": "line",
                "x0": gate,
                "x1": gate,
                "yref": "paper",
                "y0": 0,
                "y1": 1,
                "line": {"color": GATE, "width": 1.5, "dash": "dash"},
            }
        ],
        annotations=[
            {
                "x": gate,
                "y": 1,
                "yref": "paper",
                "yanchor": "bottom",
                "showarrow": False,
                "text": f"gate {gate:g}",
                "font": {"color": GATE, "size": 12},
            }
        ],
        margin={"l": 12, "r": 16, "t": 26, "b": 44},
    )
    return Chart("leaderboard", "Leaderboard", summary, drawn, 90 + 34 * len(found))


def _dots(group: Sequence[Line], color: str) -> Any:
    r, low, high = np.array([[x.row.pearson_r, x.row.ci_low, x.row.ci_high] for x in group]).T
    return go.Scatter(
        x=r,
        y=[tagless(line.row.model) for line in group],
        error_x={
            "type": "data",
            "symmetric": False,
            "array": high - r,
            "arrayminus": r - low,
            "thickness": 2.5,
            "width": 5,
            "color": color,
        },
        mode="markers",
        marker={"size": 11, "color": color},
        hovertemplate="%{y}: r = %{x:.3f}<extra></extra>",
    )


def _table(found: Sequence[Line], gate: float) -> Table:
    rows = []
    for line in found:
        row = line.row
        passes = "reference" if line.reference else "passed" if row.passes(gate) else "not passed"
        rows.append(
            [
                row.model,
                number(row.pearson_r),
                interval(row.ci_low, row.ci_high),
                f"{row.gain:+.3f} ({row.gain_low:+.3f} to {row.gain_high:+.3f})",
                number(row.p_value),
                passes,
                number(row.span_f1_50),
                number(row.average_precision),
                f"{line.folds}, {line.source}" if line.source else line.folds,
            ]
        )
    columns = ["model", "r", "95 % interval", "gain over position prior", "p", "gate", "span F1"]
    caption = (
        f"Leaderboard. The gate asks for an interval above {gate:g} and a gain above 0; span F1 is "
        "at IoU 0.5."
    )
    return Table(caption, [*columns, "average precision", "held out in"], rows)
