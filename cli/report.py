"""``proxytools report``."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import click

from cli import inputs, options, show


@click.command()
@click.argument("runs", type=options.RUN, nargs=-1, required=True)
@click.option("--out", type=options.PATH, required=True, help="HTML file to write.")
@click.option("--data", type=options.PATH, help="Where the runs' data file lies now.")
@click.option("--spans", type=options.PATH, help="The same for its CSV of marks.")
@click.option("--labelled", type=options.PATH, help="The same for the CSV of what was looked at.")
@click.option(
    "--learning-curve",
    is_flag=True,
    help="Refit proxies on parts of their training windows: would more marks help?",
)
@options.threads
@options.quiet
@options.config
def report(
    runs: tuple[Path, ...],
    out: Path,
    data: Path | None,
    spans: Path | None,
    labelled: Path | None,
    learning_curve: bool,
    threads: int,
    quiet: bool,
    config: Path | None,
) -> None:
    """Write one page about RUNS, to read and to send on: no network, no other file.

    The runs are of one data set, and may come from fit, correlate, demo and deep train. Proxies
    are refitted on their folds, which takes about as long as fitting them did.

    \b
    proxytools report runs/a --out report.html
    proxytools report runs/a runs/d runs/correlate --out report.html --learning-curve
    """
    from proxytools import report as reports

    inputs.refuse_existing(out)
    inputs.limit_threads(threads)
    reports.report(
        runs,
        out,
        data=data,
        spans=spans,
        labelled=labelled,
        learning_curve=learning_curve,
        threads=threads,
        command=["proxytools", *sys.argv[1:]],
        track=partial(show.track, quiet=quiet),
    )
    show.note(f"Wrote {out}", quiet=quiet)
