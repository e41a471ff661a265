"""Label Studio time series, inwards: JSON and JSON_MIN exports.

A region covers the bars that open from ``start`` to ``end``, both inclusive; either may lie between
bars. Cancelled annotations are as if they were not there. Of what one annotator submitted for a
window the latest counts; where annotators disagree and none is chosen, that is an error.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from proxytools import io
from proxytools.errors import InputError
from proxytools.exchange.axis import Axis, moments
from proxytools.exchange.labelstudio import REGION, SERIES
from proxytools.exchange.marks import Mark, Marks
from proxytools.io.windows import FORMAT, KEY
from proxytools.types import OHLC, SpanDataset

_PLACES = ("base_window_id", "series_id", "offset")


@dataclass(frozen=True)
class Answer:
    """What one annotator said of one window: regions as they stand in the file."""

    annotator: str
    submitted: str
    regions: list[dict[str, Any]]


@dataclass(frozen=True)
class Export:
    """An export: every task's data, and the answers to it.

    Parameters
    ----------
    path : Path
    data : dict
        Of each window, by its name.
    answers : dict
        Those that count, cancelled ones left out.
    """

    path: Path
    data: dict[str, dict[str, Any]]
    answers: dict[str, list[Answer]]


def read_export(path: Path) -> Export:
    """Read a JSON or JSON_MIN export, or the tasks that `labelstudio.tasks` makes.

    Raises
    ------
    InputError
        It is neither, or a task does not name its window.
    """
    expected = "a Label Studio export (JSON or JSON_MIN): a list of tasks"
    try:
        items = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(str(path), got=f"{error}", expected=expected) from error
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise InputError(str(path), got=f"a {type(items).__name__}", expected=expected)
    export = Export(path, {}, {})
    for i, item in enumerate(items):
        data = item.get("data", item)
        name = data.get("window_id") if isinstance(data, dict) else None
        if not isinstance(name, str) or not name:
            raise InputError(
                f"{path}, task {i}",
                got="no window_id in its data",
                expected="the name of the window",
                fix="Make the tasks with proxytools convert windows.parquet tasks.json",
            )
        if "data" in item and name in export.data:
            raise InputError(
                f"{path}, task {i}",
                got=f"the window {name!r} again",
                expected="one task a window",
            )
        export.data[name] = data
        answers = export.answers.setdefault(name, [])
        answers += _submitted(item) if "data" in item else _minimal(item)
    return export


def marks(
    export: Export,
    windows: SpanDataset | None = None,
    *,
    annotator: str | None = None,
    time_format: str | None = None,
) -> Marks:
    """Return what the annotators marked.

    Parameters
    ----------
    export : Export
    windows : SpanDataset, optional
        Where the times of a task's bars are to be found if they are not in the task.
    annotator : str, optional
        The one whose answers count: their number or e-mail address in Label Studio.
    time_format : str, optional
        strftime format of the times, as in the project's ``timeFormat``; by default ISO 8601.

    Raises
    ------
    InputError
        Annotators disagree and none is chosen; a region ends nowhere, covers no bar or names other
        than one class.
    """
    given: Marks = {}
    for name, answers in export.answers.items():
        where = f"{export.path}, window {name!r}"
        latest = {a.annotator: a for a in sorted(answers, key=lambda a: a.submitted)}
        if annotator is not None:
            latest = {who: a for who, a in latest.items() if who == annotator}
        if not latest:
            continue
        axis = Axis.of(export.data[name], name, windows, where, time_format)
        read = {who: _marks(answer.regions, axis, where) for who, answer in latest.items()}
        if len({tuple(spans) for spans in read.values()}) > 1:
            raise InputError(
                where,
                got=f"marks that differ between the annotators {', '.join(read)}",
                expected="one opinion a window",
                fix=f"Choose an annotator, for example {next(iter(read))}",
            )
        given[name] = next(iter(read.values()))
    return given


def bars(export: Export, time_format: str | None = None) -> SpanDataset:
    """Return the windows that the tasks themselves hold, without marks.

    Raises
    ------
    InputError
        A task holds no bars, or bars that contradict themselves.
    """
    columns: dict[str, list[Any]] = {"window_id": list(export.data), "features": []}
    for name, data in export.data.items():
        series = data.get(SERIES)
        if not isinstance(series, dict) or not all(price in series for price in OHLC):
            raise InputError(
                f"{export.path}, window {name!r}",
                got="a task without the prices of its bars",
                expected=f"open, high, low and close in {SERIES}",
                fix="Name the file of its windows (--windows)",
            )
        columns["features"].append(list(zip(*(series[price] for price in OHLC), strict=True)))
    some = list(export.data.values())
    for column in _PLACES:
        if any(column in data for data in some):
            columns[column] = [data.get(column) for data in some]
    times = [_times(name, data, export.path, time_format) for name, data in export.data.items()]
    if any(time is not None for time in times):
        columns["timestamp"] = pa.array(times, pa.list_(pa.timestamp("ns", "UTC")))
    classes = next((data["classes"] for data in some if "classes" in data), None)
    metadata = {}
    if classes is not None:
        metadata[KEY] = json.dumps({"format": FORMAT, "classes": classes}).encode()
    try:
        table = pa.table(columns).replace_schema_metadata(metadata)
    except pa.ArrowException as error:
        raise InputError(
            str(export.path), got=f"mixed values ({error})", expected="numbers and texts"
        ) from error
    return io.from_frame(table, zone="UTC", name=str(export.path))


def _times(
    name: str, data: dict[str, Any], path: Path, time_format: str | None
) -> list[int] | None:
    """Return the opening times of a task's bars, in ns, where it has them."""
    where = f"{path}, window {name!r}"
    if "timestamp" in data:
        exact = moments(data["timestamp"], lambda i: f"{where}, bar {i}", None)
    else:
        axis = Axis.of(data, name, None, where, time_format)
        if not axis.is_time:
            return None
        exact = axis.at
    return [int(tick) for tick in exact]


def _submitted(task: dict[str, Any]) -> Iterator[Answer]:
    """Return the answers of a task in a JSON export that were not cancelled."""
    for annotation in task.get("annotations") or []:
        if not annotation.get("was_cancelled"):
            regions = [r for r in annotation.get("result") or [] if r.get("type") == REGION]
            who = annotation.get("completed_by")
            who = who.get("email", who.get("id")) if isinstance(who, dict) else who
            when = annotation.get("updated_at") or annotation.get("created_at") or ""
            flat = [{**(r.get("value") or {}), "score": r.get("score") or 1.0} for r in regions]
            yield Answer("" if who is None else str(who), str(when), flat)


def _minimal(item: dict[str, Any]) -> Iterator[Answer]:
    """Return the one answer that an item of JSON_MIN is; it has no key for an empty result."""
    regions = [
        region
        for values in item.values()
        if isinstance(values, list)
        for region in values
        if isinstance(region, dict) and REGION in region
    ]
    if not item.get("was_cancelled"):
        yield Answer(str(item.get("annotator", "")), str(item.get("updated_at", "")), regions)


def _marks(regions: list[dict[str, Any]], axis: Axis, where: str) -> list[Mark]:
    """Return the spans of bars that the regions cover, in order."""

    def at(i: int) -> str:
        return f"{where}, region {i}"

    edges = []
    for key in ("start", "end"):
        values = [region.get(key) for region in regions]
        edges.append(axis.place(values, at, key).tolist())
    marks = []
    for i, (region, start, stop) in enumerate(zip(regions, *edges, strict=True)):
        labels = region.get(REGION) or []
        if len(labels) != 1:
            raise InputError(at(i), got=f"{len(labels)} labels", expected="one class a region")
        if stop <= start:
            raise InputError(
                at(i),
                got=f"a region from {region['start']} to {region['end']}, between two bars",
                expected="one that covers the opening of a bar",
            )
        marks.append(Mark(start, stop, labels[0], float(region.get("score", 1.0))))
    return sorted(marks)
