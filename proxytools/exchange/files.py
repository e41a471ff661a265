"""Files of marks, known by their suffix and content."""

from __future__ import annotations

import json
import os
from pathlib import Path

from proxytools import io
from proxytools.errors import InputError
from proxytools.exchange import answers, detection, journal, labelstudio, spans
from proxytools.exchange.marks import Marks, marks_of, with_marks
from proxytools.io.table import open_table
from proxytools.types import SpanDataset

KINDS = ("windows", "label-studio", "spans", "series", "sktime")
"""What `write` can write."""
_SUFFIXES = {".parquet": "windows", ".pq": "windows", ".json": "label-studio", ".csv": "spans"}


def kind_of(path: Path) -> str:
    """Return what a file holds: "bars" (windows or long bars), or a format of marks.

    Examples
    --------
    >>> kind_of(Path("tasks.json"))
    'label-studio'
    """
    if path.is_dir():
        return "run"
    if path.suffix in (".json", ".jsonl"):
        return {".json": "label-studio", ".jsonl": "journal"}[path.suffix]
    columns = set(open_table(path).names)
    if "ilocs" in columns:
        return "sktime"
    return "spans" if {"window_id", "start"} <= columns else "bars"


def read_marks(
    path: Path,
    windows: SpanDataset | None = None,
    *,
    annotator: str | None = None,
    time_format: str | None = None,
) -> journal.Changes:
    """Read the marks in a file, or the detections of a run directory (its ``spans.csv``).

    Parameters
    ----------
    path : Path
        A Label Studio export, a CSV of spans by window, an sktime detection frame, a journal of
        marks, windows parquet or a run directory.
    windows : SpanDataset, optional
        The windows that are meant; needed where a Label Studio task does not hold its bars.
    annotator, time_format : str, optional
        See `proxytools.exchange.answers.marks`.
    """
    kind = kind_of(path)
    if kind == "label-studio":
        export = answers.read_export(path)
        marks = answers.marks(export, windows, annotator=annotator, time_format=time_format)
        return {**marks}
    if kind == "journal":
        return journal.read(path)
    if kind == "bars":
        return {**marks_of(io.read(path))}
    if kind == "sktime":
        return {**detection.read_text(open_table(path))}
    return {**spans.read_by_window(open_table(path / "spans.csv" if kind == "run" else path))}


def read_suggestions(path: Path, data: SpanDataset | None = None) -> Marks:
    """Read what a model found in windows: of a run directory, or of a file as in `read_marks`.

    Where windows are given, what it found in others is left out.

    Raises
    ------
    InputError
        It found something in other windows alone, or spans that do not fit.
    """
    found = {name: given for name, given in read_marks(path, data).items() if given}
    if data is None:
        return found
    known = set(data.windows.ids.tolist())
    own = {name: given for name, given in found.items() if name in known}
    if found and not own:
        raise InputError(
            str(path),
            got=f"spans of other windows, {next(iter(found))!r} the first",
            expected=f"some of the {len(data)} windows, such as {data.windows.ids[0].item()!r}",
        )
    with_marks(data, own, str(path))
    return own


def read(
    path: Path,
    windows: SpanDataset | None = None,
    *,
    annotator: str | None = None,
    time_format: str | None = None,
) -> SpanDataset:
    """Read a file of marks as a data set: over the windows given, or those that it holds itself.

    Raises
    ------
    InputError
        It holds no bars and no windows are given.
    """
    if windows is None:
        if kind_of(path) != "label-studio":
            raise InputError(
                str(path),
                got="marks without their bars",
                expected="the windows they belong to",
                fix="Name the file of its windows (--windows)",
            )
        windows = answers.bars(answers.read_export(path), time_format)
    marks = read_marks(path, windows, annotator=annotator, time_format=time_format)
    return with_marks(windows, marks, str(path))


def write(
    path: Path,
    data: SpanDataset,
    kind: str | None = None,
    *,
    suggestions: Marks | None = None,
    source: str = "proxytools",
) -> list[Path]:
    """Write a data set in a format of `KINDS`, by default the one its suffix stands for.

    A Label Studio file of tasks gets the labelling configuration beside it (``.xml``).

    Parameters
    ----------
    path : Path
    data : SpanDataset
    kind : str, optional
    suggestions : dict, optional
        Predictions for Label Studio, by window.
    source : str
        The name of their model.

    Returns
    -------
    list of Path
        What was written.
    """
    kind = kind or _SUFFIXES.get(path.suffix)
    if kind not in KINDS:
        raise InputError(
            str(path),
            got=f"the suffix {path.suffix!r}" if kind is None else f"the format {kind!r}",
            expected=f"{', '.join(_SUFFIXES)}, or a format: {', '.join(KINDS)}",
        )
    if suggestions and kind != "label-studio":
        raise InputError(
            "suggestions", got=f"the format {kind}", expected="Label Studio tasks (.json)"
        )
    if kind == "windows":
        io.write(path, data)
        return [path]
    if kind == "label-studio":
        beside = path.with_suffix(".xml")
        if beside.exists():
            raise InputError(
                str(beside),
                got="an existing file",
                expected="none, for the labelling configuration",
                fix=f"Choose another name than {path.name}",
            )
        tasks = labelstudio.tasks(data, suggestions, source)
        write_text(beside, labelstudio.configuration(data))
        write_text(path, json.dumps(tasks, allow_nan=False, separators=(",", ":")) + "\n")
        return [path, beside]
    if kind == "series":
        write_text(path, spans.by_series(data))
    else:
        form = spans.by_window if kind == "spans" else detection.to_text
        write_text(path, form(marks_of(data)))
    return [path]


def write_text(path: Path, text: str) -> None:
    """Write a text file, all of it or nothing.

    Raises
    ------
    InputError
        The folder does not exist.
    """
    if not path.parent.is_dir():
        raise InputError(
            str(path), got="a folder that does not exist", expected="a file in an existing folder"
        )
    half = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        half.write_text(text, encoding="utf-8")
        os.replace(half, path)
    finally:
        half.unlink(missing_ok=True)
