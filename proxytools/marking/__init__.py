"""A page of one's own to mark windows on: local, offline, saved at every change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from proxytools.errors import InputError
from proxytools.exchange import Marks
from proxytools.exchange.journal import Journal
from proxytools.marking.server import serve
from proxytools.marking.session import Session
from proxytools.types import SpanDataset

__all__ = ["journal_of", "mark"]


def mark(
    data: SpanDataset,
    out: Path,
    *,
    suggestions: Marks | None = None,
    classes: Sequence[str] = (),
    port: int = 0,
    announce: Callable[[str, Session], None] = lambda url, session: None,
) -> SpanDataset:
    """Serve the page until it is finished or interrupted, and write the marked windows.

    Every change is in the journal beside ``out`` before the page says so; where there is one, it is
    gone on with. ``out`` is written when the page asks for it and at the end, whatever ends it.

    Parameters
    ----------
    data : SpanDataset
        The windows, with the marks they have.
    out : Path
        Windows parquet to write; may exist only if its journal does too.
    suggestions : dict, optional
        By window, the spans to suggest.
    classes : sequence of str
        Classes to offer beside those of ``data``.
    port : int
        0 for a free one.
    announce : callable
        Called with the page's address, and the session, once it can be opened.

    Returns
    -------
    SpanDataset
        What was written.

    Raises
    ------
    InputError
        ``out`` is not this job's, or its journal belongs to other windows.
    """
    path = journal_of(out)
    if out.exists() and not path.exists():
        raise InputError(
            str(out),
            got="an existing file",
            expected="a new one, or one with its journal beside it",
            fix="Choose another --out",
        )
    with closing(Journal(path, data)) as journal:
        session = Session(data, journal, out, suggestions or {}, classes)
        try:
            serve(session, port, announce)
        finally:
            session.write()
    return session.marked()


def journal_of(out: Path) -> Path:
    """Return the path of the journal that belongs to a file of marked windows.

    Examples
    --------
    >>> str(journal_of(Path("marked.parquet")))
    'marked.jsonl'
    """
    return out.with_suffix(".jsonl")
