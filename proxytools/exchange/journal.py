"""The journal of marks: a line for every change, appended and on the disk before it counts.

The first line names the windows it belongs to; each other one holds all marks of one window, or
null where it was made unlabelled again. The last line of a window counts. A process that is killed
can only leave the last line of the file unfinished; that change was never confirmed.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from proxytools.errors import InputError
from proxytools.exchange.marks import Mark
from proxytools.types import SpanDataset

FORMAT = 1

Changes = dict[str, list[Mark] | None]
"""By name, the windows whose marks were changed; None: made unlabelled again."""


class Journal:
    """A journal that is open for changes, by one process at a time.

    Parameters
    ----------
    path : Path
        Made where it is missing; else it is resumed.
    data : SpanDataset
        The windows that are marked.

    Attributes
    ----------
    changes : dict
        What stands in the journal.
    torn : bool
        Whether the file ended in an unfinished line, which is gone now.

    Raises
    ------
    InputError
        It belongs to other windows, is damaged, or another process holds it.

    Examples
    --------
    >>> import tempfile
    >>> from proxytools import synthetic
    >>> data = synthetic.planted(2, preset="easy", seed=0, n_bars=60).data
    >>> path = Path(tempfile.mkdtemp(), "marks.jsonl")
    >>> journal = Journal(path, data)
    >>> journal.append("w00001", [Mark(3, 9, "expansion")])
    >>> journal.close()
    >>> read(path)
    {'w00001': [Mark(start=3, stop=9, label='expansion', score=1.0)]}
    """

    def __init__(self, path: Path, data: SpanDataset) -> None:
        self.path = path
        if not path.parent.is_dir():
            raise InputError(
                str(path), got="a folder that does not exist", expected="a file in an existing one"
            )
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            self._hold()
            content = path.read_bytes()
            whole = content.rfind(b"\n") + 1
            self.torn = whole < len(content)
            os.ftruncate(self._handle, whole)
            self.changes = _parse(path, content[:whole], fingerprint(data)) if whole else {}
            if not whole:
                self._write({"format": FORMAT, "windows": fingerprint(data)})
                _sync_folder(path.parent)
        except BaseException:
            self.close()
            raise

    def append(self, window: str, marks: Sequence[Mark] | None) -> None:
        """Record all marks of a window; they are on the disk when this returns."""
        spans = None if marks is None else [[m.start, m.stop, m.label] for m in marks]
        now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        self._write({"window": window, "spans": spans, "at": now})
        self.changes[window] = None if marks is None else list(marks)

    def close(self) -> None:
        """Let other processes have it; a change that comes later is refused by the system."""
        handle, self._handle = self._handle, -1
        os.close(handle)

    def _write(self, line: dict[str, Any]) -> None:
        content = json.dumps(line, allow_nan=False).encode() + b"\n"
        before = os.fstat(self._handle).st_size
        try:
            while content:
                content = content[os.write(self._handle, content) :]
            os.fsync(self._handle)
        except OSError:  # a full disk: leave no half of a line for the next one to run into
            os.ftruncate(self._handle, before)
            raise

    def _hold(self) -> None:
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                str(self.path),
                got="a journal that another process is writing",
                expected="one process at a time",
                fix="Stop the other one, or choose another --out",
            ) from None


def read(path: Path) -> Changes:
    """Read a journal; an unfinished last line is left out.

    Raises
    ------
    InputError
        It is no journal, damaged, or of a newer format.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(str(path), got=f"{error}", expected="a journal of marks") from error
    return _parse(path, content[: content.rfind(b"\n") + 1])


def fingerprint(data: SpanDataset) -> str:
    """Hash the windows' names and bars, as 64 hexadecimal digits; their marks do not count."""
    names = json.dumps(data.windows.ids.tolist()).encode()
    return hashlib.sha256(names + np.ascontiguousarray(data.windows.ohlc).tobytes()).hexdigest()


def _parse(path: Path, content: bytes, windows: str | None = None) -> Changes:
    changes: Changes = {}
    for number, text in enumerate(content.splitlines(), start=1):
        try:
            line = json.loads(text)
            if number == 1:
                _check_header(path, int(line["format"]), str(line["windows"]), windows)
                continue
            spans = line["spans"]
            changes[str(line["window"])] = (
                None if spans is None else [Mark(int(a), int(b), str(c)) for a, b, c in spans]
            )
        except InputError:
            raise
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(
                f"{path}, line {number}",
                got=f"a damaged line ({error!r})",
                expected="a change of one window's marks" if number > 1 else "a journal of marks",
            ) from error
    return changes


def _check_header(path: Path, version: int, own: str, windows: str | None) -> None:
    if version > FORMAT:
        raise InputError(
            str(path),
            got=f"format {version}",
            expected=f"at most {FORMAT}",
            fix="Update proxytools",
        )
    if windows is not None and own != windows:
        raise InputError(
            str(path),
            got="marks of other windows",
            expected="those of the windows that are marked",
            fix="Choose another --out",
        )


def _sync_folder(folder: Path) -> None:
    """Make sure that a new file's name is on the disk, too."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
