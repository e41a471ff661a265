"""Archives of tensors and plain values: written whole or not at all, read without running code."""

from __future__ import annotations

import os
import pickle
import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile, is_zipfile

import torch

DAMAGED = (
    pickle.UnpicklingError,
    BadZipFile,
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    EOFError,
    OSError,
    struct.error,
    zlib.error,
)
"""What `read`, and filling something with what it gave, may raise on other than what was saved."""


def write(path: Path, content: Any) -> None:
    """Save tensors, plain values, and lists and dicts of them.

    The file appears, or replaces the one before, only when all of it lies on the disk.
    """
    unfinished = path.with_name(f"{path.name}.tmp")
    with unfinished.open("wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(unfinished, path)


def read(path: Path) -> Any:
    """Load what `write` saved, onto the CPU; no code in the file runs.

    Raises
    ------
    One of `DAMAGED`
        It holds something else, or a bit of it is wrong.
    """
    content = BytesIO(path.read_bytes())
    if not is_zipfile(content):  # else torch would try its older formats
        raise ValueError("no archive of tensors")
    with ZipFile(content) as archive:
        if archive.testzip() is not None:  # torch compares no checksums
            raise ValueError("a checksum differs")
    content.seek(0)
    return torch.load(content, map_location="cpu", weights_only=True)


def reason(error: BaseException) -> str:
    """Say what is wrong in a few words."""
    lines = str(error).strip().splitlines()
    return lines[0][:120] if lines else type(error).__name__
