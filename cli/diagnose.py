"""``deep diagnose``: what a training did, in sentences."""

from __future__ import annotations

from pathlib import Path

import click

from cli import options, show


@click.command()
@click.argument("run", type=options.RUN)
@options.as_json
@options.config
def diagnose(run: Path, as_json: bool, config: Path | None) -> None:
    """Say what the training of RUN did, and what to do about it.

    Sentences first, then the last pass of every training: its losses, the held-out figure that
    chose the pass, separation and bar F1 of probabilities, and the norm of the gradient. RUN holds
    the same as curves.png, and in full as CSV files. Nothing is written.

    \b
    deep diagnose runs/a
    """
    from deep import jobs

    found = jobs.diagnose(run)
    if as_json:
        show.as_json({**found, "run": str(run)})
        return
    for sentence in found["verdicts"]:
        click.echo(f"{sentence['level']}: {sentence['text']}")
    show.table(found["last_pass"], f"\nLast pass of each training; held_out is {found['metric']}")
