"""Marks to and from the tools that people mark in.

Every format here comes down to `Marks`: the windows someone looked at, by name, and the spans they
marked in each. `read` and `write` know a file's format by its suffix and content.
"""

from __future__ import annotations

from proxytools.exchange.files import KINDS, kind_of, read, read_marks, read_suggestions, write
from proxytools.exchange.marks import Mark, Marks, marks_of, with_marks

__all__ = [
    "KINDS",
    "Mark",
    "Marks",
    "kind_of",
    "marks_of",
    "read",
    "read_marks",
    "read_suggestions",
    "with_marks",
    "write",
]
