"""``proxytools suggest``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cli import inputs, models, options, show


@click.command()
@click.argument("runs", type=options.RUN, nargs=-1, required=True, metavar="RUN [RUN]...")
@click.option("--bars", type=options.PATH, required=True, help="Long bars, or windows parquet.")
@click.option("--n", default=50, type=click.IntRange(1), help="Windows to mark.")
@click.option("--out", type=options.PATH, required=True, help="New windows parquet.")
@options.bars_format
@options.seed
@options.threads
@options.as_json
@options.quiet
@options.config
def suggest(runs: tuple[Path, ...], **given: Any) -> None:
    """Choose the windows that are most worth marking, with spans to start from.

    RUN is one of fit or of deep train; where there are several, what they disagree on counts too.
    Windows that share bars with those a RUN learnt from are left out, and no two that are written
    share bars or are near copies. The spans the first RUN detects stand beside --out as CSV.

    \b
    proxytools suggest runs/a --bars bars.parquet --n 50 --out next.parquet
    proxytools mark next.parquet --suggestions next.spans.csv
    """
    from proxytools import suggest as suggesting

    out, quiet = given["out"], given["quiet"]
    inputs.limit_threads(given["threads"])
    for path in (out, suggesting.spans_beside(out)):
        inputs.refuse_existing(path)
    found = suggesting.suggest(
        [models.load(run, threads=given["threads"]) for run in runs],
        given["bars"],
        given["n"],
        seed=given["seed"],
        zone=given["zone"],
        gap=given["gap"],
        track=show.track_bars("bars", quiet=quiet),
    )
    drawn = suggesting.write(found, out)
    ids, count = found.data.windows.ids.tolist(), found.spans.count.tolist()
    rows = [
        {"window_id": name, "value": worth, "spans": n}
        for name, worth, n in zip(ids, found.value.tolist(), count, strict=True)
    ]
    if given["as_json"]:
        show.as_json({"out": str(out), "spans": drawn and str(drawn), "windows": rows})
    else:
        show.table(rows, f"{len(rows)} windows to mark, the most valuable first")
    beside = f" and {drawn}" if drawn else ""
    show.note(f"Wrote {out}{beside}: {len(rows)} windows, {sum(count)} spans", quiet=quiet)
