"""``proxytools synth`` and ``proxytools demo``: planted data."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import click

from cli import inputs, options, show


@click.command()
@click.option("--preset", type=click.Choice(["hard", "medium", "easy"]), default="medium")
@click.option("--windows", default=210, type=click.IntRange(1), help="How many windows.")
@click.option("--seed", default=1, help="Seed of the draw.")
@click.option("--out", type=options.PATH, required=True, help="Windows parquet to write.")
@options.quiet
@options.config
def synth(
    preset: str, windows: int, seed: int, out: Path, quiet: bool, config: Path | None
) -> None:
    """Write planted windows, whose spans and best possible score are known.

    \b
    proxytools synth --preset medium --windows 210 --seed 1 --out windows.parquet
    """
    from proxytools import io, synthetic

    inputs.refuse_existing(out)
    io.write(out, synthetic.planted(windows, preset=preset, seed=seed).data)
    show.note(f"Wrote {out}: {windows} windows, preset {preset}", quiet=quiet)


@click.command()
@options.out
@options.seed
@options.threads
@options.quiet
def demo(**given: Any) -> None:
    """Run the main job on embedded data and leave a run directory with figures."""
    from proxytools import pipeline

    inputs.limit_threads(given["threads"])
    given["data"] = None
    data = inputs.read(given)
    out = inputs.out(given)
    with inputs.open_run(out, given) as run:
        rows = pipeline.demo(
            run,
            data,
            seed=given["seed"],
            threads=given["threads"],
            track=partial(show.track, quiet=given["quiet"]),
        )
    show.rows(rows, f"{len(data)} windows, everything held out")
    show.note(f"Figures and tables: {out}", quiet=given["quiet"])
