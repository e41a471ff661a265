"""A file that a command writes: it appears whole under its name, or not at all."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from proxytools.errors import InputError


@contextmanager
def new_file(path: Path, option: str) -> Iterator[Path]:
    """Hand out a path beside ``path`` to write to, which takes its name when the block is done.

    Whatever goes wrong in the block, nothing is left behind.

    Parameters
    ----------
    path : Path
        Must not exist; its directory must.
    option : str
        Where a user said ``path``, as ``--out``.

    Raises
    ------
    InputError
        The path exists or has nowhere to go.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with new_file(Path(folder, "a.txt"), "--out") as half:
    ...         _ = half.write_text("all of it")
    ...     [path.name for path in Path(folder).iterdir()]
    ['a.txt']
    """
    if os.path.lexists(path):
        raise InputError(
            str(path), got="an existing path", expected="a new file", fix=f"Choose another {option}"
        )
    if not path.parent.is_dir():
        raise InputError(str(path.parent), got="no such directory", expected="one to write into")
    half = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield half
        os.replace(half, path)
    finally:
        half.unlink(missing_ok=True)
