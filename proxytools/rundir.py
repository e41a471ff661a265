"""Run directories: everything one command produced, written whole or not at all."""

from __future__ import annotations

import difflib
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from proxytools.errors import InputError, ProxytoolsError
from proxytools.lock import clear, held

FORMAT = 1
UNFINISHED = "unfinished"
"""Folder of a resumable run for what it needs to go on; a finished run has none."""
_LIBRARIES = (
    "lightgbm",
    "numba",
    "numpy",
    "proxytools-spans",
    "pyarrow",
    "scikit-learn",
    "scipy",
    "torch",
    "xgboost",
)


@dataclass(frozen=True)
class RunDir:
    """A run directory, open for reading or, inside `create`, for writing."""

    path: Path

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def write_json(self, name: str, content: Any) -> None:
        """Write strict JSON (no NaN), indented."""
        (self / name).write_text(json.dumps(content, indent=2, allow_nan=False) + "\n")

    def read_json(self, name: str) -> Any:
        """Read a JSON file of the run.

        Raises
        ------
        InputError
            It is missing or not JSON.
        """
        return _read_json(self / name)


@contextmanager
def create(
    path: Path,
    *,
    command: Sequence[str],
    config: Mapping[str, Any],
    seed: int,
    inputs: Mapping[str, str],
    device: str = "cpu",
    threads: int = 0,
    processes: int = 1,
    resumable: bool = False,
) -> Iterator[RunDir]:
    """Write a run directory that appears under its name only when the block ends well.

    Until then everything lies in a hidden sibling, which an exception (Ctrl-C included) removes;
    one that a killed process left behind is removed by the next run of that name. A resumable run
    is left by both for `proxytools.resuming`, unless the exception is a refusal of this project:
    then there was nothing to begin with.

    Parameters
    ----------
    path : Path
        Must not exist: nothing is ever overwritten.
    command : sequence of str
        The words of the command that makes this run.
    config : mapping
        The resolved settings, JSON-able.
    inputs : mapping
        File name to SHA-256.
    device, threads, processes : str and int
        What it is computed on.
    resumable : bool
        Whether the run gets a folder `UNFINISHED` for what it needs to go on.

    Raises
    ------
    InputError
        ``path`` exists, another process is writing it, or a resumable run of that name was
        interrupted.

    Examples
    --------
    >>> import tempfile
    >>> where = Path(tempfile.mkdtemp()) / "first"
    >>> with create(where, command=["fit"], config={}, seed=0, inputs={}) as run:
    ...     run.write_json("metrics.json", {"pearson_r": 0.5})
    >>> sorted(p.name for p in where.iterdir())
    ['metrics.json', 'run.json']
    >>> open_run(where).read_json("run.json")["format"]
    1
    """
    path = path.absolute()
    _refuse_existing(path)
    partial = partial_of(path)
    with held(partial):
        _refuse_interrupted(path)
        try:
            _refuse_existing(path)  # it may have been finished since
            clear(partial)
            run = RunDir(partial)
            facts = {"device": device, "threads": threads or os.cpu_count(), "processes": processes}
            run.write_json("run.json", _record(command, config, seed, inputs, facts))
            if resumable:
                (run / UNFINISHED).mkdir()
            yield run
            finish(partial, path)
        except BaseException as error:
            if not resumable or isinstance(error, ProxytoolsError):
                shutil.rmtree(partial, ignore_errors=True)
            raise


@contextmanager
def scratch() -> Iterator[RunDir]:
    """Write into a directory that is thrown away, as a process does that only helps another."""
    with tempfile.TemporaryDirectory() as folder:
        yield RunDir(Path(folder))


def partial_of(path: Path) -> Path:
    """Return where a run lies until it is finished."""
    return path.parent / f".{path.name}.partial"


def finish(partial: Path, path: Path) -> None:
    """Let a run appear; what it needed to go on goes last, so that a kill never costs it."""
    _flush(partial)
    os.rename(partial, path)
    if (path / UNFINISHED).exists():
        shutil.rmtree(path / UNFINISHED)


def _flush(folder: Path) -> None:
    """Have the disk hold what was written, before a name says that it does."""
    for path in folder.iterdir():
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _refuse_existing(path: Path) -> None:
    if os.path.lexists(path):
        raise InputError(
            str(path),
            got="an existing path",
            expected="a new run directory",
            fix="Choose another --out, or remove it first",
        )


def _refuse_interrupted(path: Path) -> None:
    """Never throw away the work of hours."""
    partial = partial_of(path)
    if (partial / UNFINISHED).is_dir():
        raise InputError(
            str(path),
            got="a run that was interrupted",
            expected="a new run directory",
            fix=f"Continue with --resume {path}, or remove {partial} to discard it",
        )


def _record(
    command: Sequence[str],
    config: Mapping[str, Any],
    seed: int,
    inputs: Mapping[str, str],
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "command": list(command),
        "config": dict(config),
        "seed": seed,
        "inputs": dict(inputs),
        **facts,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of the libraries that figures depend on."""
    return {name: version(name) for name in _LIBRARIES}


def open_run(path: Path) -> RunDir:
    """Open a finished run directory.

    Raises
    ------
    InputError
        It is not one, or its format is newer than this version knows.
    """
    if not path.is_dir():
        siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, siblings, 1)
        raise InputError(
            str(path),
            got="a file" if path.exists() else "nothing there",
            expected="a run directory",
            fix=f"Did you mean {near[0]}"
            if near and not path.exists()
            else "Name a directory that --out of `proxytools fit` or `deep train` wrote",
        )
    check_format(_read_json(path / "run.json"), path / "run.json")
    return RunDir(path)


def check_format(record: Any, where: Path) -> None:
    """Refuse a record of a format that this version does not know."""
    found = record.get("format") if isinstance(record, dict) else None
    if type(found) is not int or not 1 <= found <= FORMAT:
        raise InputError(
            f"{where}, format",
            got=repr(found),
            expected=f"a format up to {FORMAT}",
            fix="Update proxytools, or fit again",
        )


def _read_json(path: Path) -> Any:
    if not path.is_file():
        raise InputError(str(path), got="nothing there", expected="a file of the run")
    try:
        return json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise InputError(
            str(path), got=f"invalid JSON ({error})", expected="a file this project wrote"
        ) from None
