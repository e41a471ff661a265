"""The windows that runs were made from: a run names their file and its hash, not the bars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxytools import io, pipeline
from proxytools.errors import InputError
from proxytools.report.runs import Run
from proxytools.types import SpanDataset

ROLES = ("data", "spans", "labelled")
READING = ("bars", "stride", "zone", "gap", "bar_interval")


@dataclass(frozen=True, eq=False)
class Source:
    """A data set, its name, and the files it was read from with their hashes."""

    data: SpanDataset
    name: str
    files: list[tuple[str, str, str]]  # role, path, SHA-256


def read(
    runs: Sequence[Run],
    *,
    data: Path | None = None,
    spans: Path | None = None,
    labelled: Path | None = None,
) -> Source:
    """Read the one data set that all runs were made from.

    Parameters
    ----------
    runs : sequence of Run
    data, spans, labelled : Path, optional
        Where the files lie now, if not where the runs found them.

    Raises
    ------
    InputError
        A file is not there or is not the one that was read then; runs of different data.
    """
    first, given = runs[0], {"data": data, "spans": spans, "labelled": labelled}
    for other in runs[1:]:
        if _identity(other) != _identity(first):
            raise InputError(
                str(other.path),
                got="a run of other data",
                expected=f"the data of {first.path}",
                fix="Write a report for each data set",
            )
    files = {role: _file(first, role, given[role]) for role in ROLES}
    found = [(role, *file) for role, file in files.items() if file]
    path = files["data"]
    if path is None:
        return Source(pipeline.default_data(), f"embedded: {pipeline.DEFAULT_DATA}", found)
    options: dict[str, Any] = {
        name: first.config[name] for name in READING if first.config.get(name) is not None
    }
    marks: dict[str, Any] = {role: file[0] for role in ROLES[1:] if (file := files[role])}
    read = io.read(path[0], **marks, **options)
    return Source(read, Path(path[0]).name, found)


def _identity(run: Run) -> tuple[object, ...]:
    """Return what was read, and how; where it lay does not matter."""
    config = run.config
    hashes = [run.record["inputs"].get(config.get(role)) for role in ROLES]
    return (*hashes, *(str(config.get(name)) for name in READING))


def _file(run: Run, role: str, given: Path | None) -> tuple[str, str] | None:
    """Path and hash of one of the files, if the run read such a one."""
    was = run.config.get(role)
    if was is None:
        if given is not None:
            raise InputError(
                f"--{role}",
                got=str(given),
                expected=f"no such file: {run.path} was made without one",
                fix="Leave it out",
            )
        return None
    path = Path(str(was)) if given is None else given
    advice = f"Give --{role} F, the file that the run was made from"
    if not path.is_file():
        raise InputError(
            str(path), got="nothing there", expected=f"the {role} of {run.path}", fix=advice
        )
    sha256 = io.sha256(path)
    if sha256 != run.record["inputs"].get(str(was)):
        raise InputError(
            str(path),
            got="another content than the run was made from",
            expected=f"the {role} of {run.path}, as its run.json knows by hash",
            fix=advice,
        )
    return str(path), sha256
