"""``proxytools convert``: marks from one format to another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cli import inputs, options, show


@click.command()
@click.argument("source", type=options.PATH, metavar="A")
@click.argument("out", type=options.PATH, metavar="B")
@click.option("--windows", type=options.PATH, help="Windows that A marks, where A has no bars.")
@click.option(
    "--to",
    type=click.Choice(["windows", "label-studio", "spans", "series", "sktime"]),
    help="Format of B.  [default: by its suffix; .csv is spans]",
)
@click.option("--annotator", help="Whose Label Studio annotations count: number or e-mail.")
@click.option("--time-format", help="strftime format of a Label Studio project.  [ISO 8601]")
@options.suggestions
@options.cutting
@options.quiet
@options.config
def convert(source: Path, out: Path, **given: Any) -> None:
    """Write the windows and marks of A in the format of B.

    \b
    A, known by suffix and content:      B, by suffix or --to:
      windows parquet, or long bars        .parquet  windows
      .json   Label Studio (or MIN)        .json     label-studio: tasks, and .xml to set up
      .csv    spans, or sktime frame       .csv      spans by window
      .jsonl  journal of mark                        series: counted in the series; sktime

    Marks are laid over the windows A holds or --windows names: those that A marks are labelled
    with them, the others stay as they are.

    \b
    proxytools convert windows.parquet tasks.json --suggestions runs/a
    proxytools convert export.json marked.parquet
    proxytools convert spans.csv marked.parquet --windows windows.parquet
    proxytools convert bars.csv windows.parquet --bars 60 --zone UTC
    """
    from proxytools import exchange
    from proxytools.errors import InputError

    inputs.refuse_existing(out)
    named = given["windows"]
    if exchange.kind_of(source) == "bars":
        if named is not None:
            raise InputError(
                f"--windows {named}", got=f"bars in {source} too", expected="marks without bars"
            )
        data = inputs.read({**given, "data": source})
    else:
        windows = None if named is None else inputs.read({**given, "data": named})
        how = {name: given[name] for name in ("annotator", "time_format")}
        data = exchange.read(source, windows, **how)
    suggestions, model = inputs.suggested(given, data)
    written = exchange.write(out, data, given["to"], suggestions=suggestions, source=model)
    names = " and ".join(map(str, written))
    counts = f"{int(data.labelled.sum())} of {len(data)} windows labelled, {len(data.spans)} spans"
    show.note(f"Wrote {names}: {counts}", quiet=given["quiet"])
