"""Run directories: everything one command produced, written whole or not at all."""

from __future__ import annotations

import difflib
import fcntl
import json
import os
import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from proxytools.errors import InputError

FORMAT = 1
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
) -> Iterator[RunDir]:
    """Write a run directory that appears under its name only when the block ends well.

    Until then everything lies in a hidden sibling, which an exception (Ctrl-C included) removes;
    one that a killed process left behind is removed by the next run of that name.

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

    Raises
    ------
    InputError
        ``path`` exists, or another process is writing it.

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
    partial = path.parent / f".{path.name}.partial"
    with held(partial):
        try:
            _refuse_existing(path)  # it may have been finished since
            clear(partial)
            run = RunDir(partial)
            run.write_json("run.json", _record(command, config, seed, inputs, device, threads))
            yield run
            os.rename(partial, path)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise


def _refuse_existing(path: Path) -> None:
    if os.path.lexists(path):
        raise InputError(
            str(path),
            got="an existing path",
            expected="a new run directory",
            fix="Choose another --out, or remove it first",
        )


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Hold a directory of unfinished output, made where it is missing, against other processes.

    Its parents are made as well, and those that stayed empty are removed at the end.

    Raises
    ------
    InputError
        Another process holds it.
    """
    made = [parent for parent in directory.parents if not parent.exists()]  # innermost first
    handle = _lock(directory)
    if handle is None:
        raise InputError(
            str(directory),
            got="output that another process is writing",
            expected="a name of its own for each run",
            fix="Choose another --out",
        )
    try:
        yield
    finally:
        os.close(handle)
        for parent in made:
            with suppress(OSError):  # it holds something
                parent.rmdir()


def _lock(directory: Path) -> int | None:
    """Return a handle that holds the lock, or nothing where another process is faster.

    Its last holder may rename or remove the directory between any two of these steps.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
        handle = os.open(directory, os.O_RDONLY)
    except (FileExistsError, FileNotFoundError):
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.stat(directory), os.fstat(handle)):
            return handle
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(handle)
    return None


def clear(directory: Path) -> None:
    """Remove what a killed process left behind, keeping the directory itself."""
    for child in directory.iterdir():
        shutil.rmtree(child) if child.is_dir() else child.unlink()


def _record(
    command: Sequence[str],
    config: Mapping[str, Any],
    seed: int,
    inputs: Mapping[str, str],
    device: str,
    threads: int,
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "command": list(command),
        "config": dict(config),
        "seed": seed,
        "inputs": dict(inputs),
        "device": device,
        "threads": threads or os.cpu_count(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in _LIBRARIES},
    }


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
            else "Name a directory that `proxytools fit --out` wrote",
        )
    record = _read_json(path / "run.json")
    found = record.get("format") if isinstance(record, dict) else None
    if type(found) is not int or not 1 <= found <= FORMAT:
        raise InputError(
            f"{path / 'run.json'}, format",
            got=repr(found),
            expected=f"a format up to {FORMAT}",
            fix="Update proxytools, or fit again",
        )
    return RunDir(path)


def _read_json(path: Path) -> Any:
    if not path.is_file():
        raise InputError(str(path), got="nothing there", expected="a file of the run")
    try:
        return json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise InputError(
            str(path), got=f"invalid JSON ({error})", expected="a file this project wrote"
        ) from None
