"""Going on with a run that was interrupted, to the same end as if it had not been."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from proxytools import rundir
from proxytools.errors import InputError
from proxytools.lock import held


@contextmanager
def resume(path: Path, *, inputs: Mapping[str, str], processes: int = 1) -> Iterator[rundir.RunDir]:
    """Go on with a resumable run that was interrupted; an exception leaves it to be resumed again.

    Parameters
    ----------
    path : Path
        As it was given to `rundir.create`.
    inputs : mapping
        File name to SHA-256, as the files are now.

    Raises
    ------
    InputError
        There is no such run, it is finished, another process is writing it, or the input files,
        the versions or the number of processes are not those it was begun with.
    """
    path = path.absolute()
    partial = interrupted(path).path
    with held(partial, fix="Wait until it ends"):
        run = _still_interrupted(path)
        _check_same(path, run.read_json("run.json"), inputs, processes)
        yield run
        rundir.finish(partial, path)


def interrupted(path: Path) -> rundir.RunDir:
    """Open, for reading, what a resumable run has left of itself.

    Raises
    ------
    InputError
        There is no such run, or it is finished.
    """
    path = path.absolute()
    if os.path.lexists(path):
        finished = (path / "run.json").exists()
        raise InputError(
            str(path),
            got="a finished run" if finished else "a path that is no run",
            expected="a run that was interrupted",
            fix="There is nothing left to do" if finished else "Name the run, as --out did",
        )
    run = rundir.RunDir(rundir.partial_of(path))
    if not (run / rundir.UNFINISHED).is_dir():
        raise InputError(
            str(path),
            got="nothing there",
            expected="a run that was interrupted",
            fix="Name the run, as --out did",
        )
    rundir.check_format(run.read_json("run.json"), run / "run.json")
    return run


def _still_interrupted(path: Path) -> rundir.RunDir:
    try:
        return interrupted(path)
    except InputError:  # it was finished before we held it, and holding made it anew
        with suppress(OSError):
            rundir.partial_of(path).rmdir()
        raise


def _check_same(
    path: Path, record: dict[str, Any], inputs: Mapping[str, str], processes: int
) -> None:
    """Refuse to go on in a way that leads elsewhere."""
    for name in record["inputs"].keys() | inputs.keys():
        if record["inputs"].get(name) != inputs.get(name):
            raise InputError(
                name,
                got="another content",
                expected=f"the file that {path} was begun with",
                fix="Restore it, or begin a new run",
            )
    then = {"python": record["python"], **record["versions"]}
    for name, now in {"python": platform.python_version(), **rundir.versions()}.items():
        if then.get(name) != now:
            raise InputError(
                str(path),
                got=f"{name} {now}",
                expected=f"{then.get(name)}, with which it was begun",
                fix="Install that again, or begin a new run",
            )
    if record["processes"] != processes:
        raise InputError(
            str(path),
            got=f"processes: {processes}",
            expected=f"{record['processes']}, with which it was begun",
            fix=f"Start it by torchrun --nproc-per-node {record['processes']}",
        )
