"""The answers in short, each with its number."""

from __future__ import annotations

from collections.abc import Sequence

from proxytools.metrics.span import span_metrics
from proxytools.report.blocks import (
    Block,
    Section,
    Sentences,
    Tiles,
    interval,
    number,
    percent,
)
from proxytools.report.runs import INNER, Run
from proxytools.report.scored import Scored
from proxytools.report.signal import Line
from proxytools.types import SpanDataset

WELL = 0.02  # expected calibration error up to which probabilities can be taken at their word


def section(
    data: SpanDataset,
    runs: Sequence[Run],
    scored: Sequence[Scored],
    found: Sequence[Line],
    gate: float,
) -> Section:
    """Key figures of the best run, and one sentence a question."""
    best = next((line for line in found if not line.reference), None)
    own = next((one for one in scored if best and one.label == best.row.model), None)
    own = own or (scored[0] if scored else None)
    tiles = [("Labelled windows", f"{data.labelled.sum():,}", f"{len(data.spans):,} marked spans")]
    items: list[tuple[str, str]] = []
    if best:
        row = best.row
        tiles.append(("Best correlation", f"{row.pearson_r:.3f}", f"{row.model}, {_of(best)}"))
        items.append(_signal(best, gate))
    if own:
        tiles += _tiles(own)
        items += _sentences(own)
        if own.folds == INNER:
            items.append(("note", _flatters(own)))
    for run in runs:
        if run.training:
            items += [
                (level, f"{run.label}: {text}")
                for level, text in run.training.verdicts
                if level == "problem"
            ]
    blocks: list[Block] = [Tiles(tiles)]
    if items:
        blocks.append(Sentences(items))
    return Section("summary", "In short", "", blocks)


def _of(line: Line) -> str:
    return f"95 %: {interval(line.row.ci_low, line.row.ci_high)}"


def _signal(best: Line, gate: float) -> tuple[str, str]:
    row = best.row
    gain = f"{row.gain:+.3f} ({row.gain_low:+.3f} to {row.gain_high:+.3f})"
    told = f"{row.model} correlates with the marks at {row.pearson_r:.3f} ({_of(best)}), {gain} "
    told += "over the position prior"
    if row.passes(gate):
        return "good", f"There is signal: {told}."
    return "problem", f"No proxy passes the gate of {gate:g}: the best, {told}."


def _tiles(own: Scored) -> list[tuple[str, str, str]]:
    found = span_metrics(own.fitted.spans, own.fitted.data.spans)
    f1, error = found["span_f1_50"], own.fitted.metrics["calibration_error"]
    return [
        ("Span F1 at IoU 0.5", number(f1), f"{own.label}; {number(found['span_f1_70'])} at 0.7"),
        ("Calibration error", number(error), f"{own.label}; 0 is perfect"),
    ]


def _sentences(own: Scored) -> list[tuple[str, str]]:
    fitted = own.fitted
    found, metrics = span_metrics(fitted.spans, fitted.data.spans), fitted.metrics
    n_true, n_pred, hit = (int(found[name] or 0) for name in ("n_true", "n_pred", "n_matched"))
    text = (
        f"{own.label} finds {hit} of {n_true} marked spans ({percent(hit, n_true)}) at IoU 0.5; "
        f"{hit} of its {n_pred} detections ({percent(hit, n_pred)}) are right."
    )
    items = [("note", text)]
    if hit:
        start, stop = found["start_error_abs"], found["stop_error_abs"]
        text = (
            f"Where it finds one, start and stop are off by {start:.1f} and {stop:.1f} bars on "
            "average."
        )
        items.append(("note", text))
    error = metrics["calibration_error"]
    well = error <= WELL
    text = (
        f"Its probabilities are {'well' if well else 'poorly'} calibrated: said and seen differ by "
        f"{error:.3f} in the mean."
    )
    return [*items, ("good" if well else "problem", text)]


def _flatters(own: Scored) -> str:
    return (
        f"The windows of {own.label} were held out in inner folds, on which the number of passes "
        "and the threshold were chosen: its figures flatter a little. Train with --folds for "
        "figures that do not."
    )
