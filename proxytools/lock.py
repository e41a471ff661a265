"""Directories of unfinished output: one process at a time writes one."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from proxytools.errors import InputError


@contextmanager
def held(directory: Path, fix: str = "Choose another --out") -> Iterator[None]:
    """Hold a directory of unfinished output, made where it is missing, against other processes.

    Its parents are made as well, and those that stayed empty are removed at the end.

    Parameters
    ----------
    fix : str
        What to do where another process holds it.

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
            fix=fix,
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
