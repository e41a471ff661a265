"""``proxytools mark``: a page to mark windows on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cli import inputs, options, show


@click.command()
@click.argument("data", type=options.PATH)
@click.option("--out", type=options.PATH, help="Windows to write.  [default: DATA-marked.parquet]")
@options.suggestions
@click.option("--class", "classes", multiple=True, help="A class to offer; may be repeated.")
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="0 for a free one.")
@click.option("--no-browser", is_flag=True, help="Only say the address.")
@options.cutting
@options.quiet
@options.config
def mark(data: Path, **given: Any) -> None:
    """Mark the windows of DATA on a page in the browser; nothing leaves this machine.

    Every change is saved at once in a journal beside --out; the same command goes on where the last
    one stopped. --out is written at the end, by Ctrl-C or the page's Finish.

    \b
    proxytools mark windows.parquet
    proxytools mark windows.parquet --suggestions runs/a --class up --class down
    proxytools mark bars.csv --bars 60 --zone UTC --out marked.parquet
    """
    from proxytools import marking

    quiet = given["quiet"]
    out = given["out"] or data.with_name(f"{data.stem}-marked.parquet")
    windows = inputs.read({**given, "data": data})
    suggestions, _ = inputs.suggested(given, windows)

    def announce(url: str, session: Any) -> None:
        if session.journal.torn:
            show.note(
                f"{session.journal.path} ended in an unfinished change, which was never saved"
            )
        if session.journal.changes:
            show.note(f"Going on with {session.journal.path}", quiet=quiet)
        click.echo(url)
        show.note("Mark in the browser; Ctrl-C when done.", quiet=quiet)
        if not given["no_browser"]:
            click.launch(url)

    marked = marking.mark(
        windows,
        out,
        suggestions=suggestions,
        classes=given["classes"],
        port=given["port"],
        announce=announce,
    )
    counts = f"{int(marked.labelled.sum())} of {len(marked)} windows labelled"
    show.note(f"Wrote {out}: {counts}. Journal: {marking.journal_of(out)}", quiet=quiet)
