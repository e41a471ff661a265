"""``proxytools correlate``."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from cli import complete, inputs, models, options, show


@click.command()
@click.option(
    "--models",
    default="formula,formula-classic,logistic,lightgbm,xgboost",
    shell_complete=complete.some_of(*complete.MODELS, models.DEEP),
    help="Comma-separated names, as for fit --model, and deep.",
)
@options.data
@options.feature_set
@options.device
@click.option(
    "--gate",
    type=float,
    help="Exit 3 unless a proxy's interval lies above this and "
    "it gains over the position prior.  [0.15 is the usual gate]",
)
@click.option("--permutations", default=199, type=click.IntRange(1), help="Draws of the null.")
@options.folds
@options.out
@options.track
@options.seed
@options.threads
@options.as_json
@options.quiet
@options.config
def correlate(**given: Any) -> None:
    """Put proxies on one leaderboard with the rows they must beat.

    \b
    proxytools correlate --data windows.parquet
    proxytools correlate --data windows.parquet --models formula,lightgbm --gate 0.15 --json
    """
    from dataclasses import asdict

    from proxytools import leaderboard, pipeline
    from proxytools.errors import InputError

    inputs.limit_threads(given["threads"])
    names = [name.strip() for name in given["models"].split(",") if name.strip()]
    if not names:
        raise InputError("--models", got=repr(given["models"]), expected="names of models")
    proxies = [
        models.make(
            name,
            features=given["features"],
            seed=given["seed"],
            device=given["device"],
            threads=given["threads"],
        )
        for name in names
    ]
    data = inputs.read(given)
    out = inputs.out(given)
    with inputs.open_run(out, given) as run:
        rows = pipeline.correlate(
            run,
            proxies,
            data,
            gate=given["gate"],
            n_folds=given["folds"],
            seed=given["seed"],
            embargo=given["embargo"],
            permutations=given["permutations"],
            track=partial(show.track, quiet=given["quiet"]),
        )
    if given["as_json"]:
        show.as_json([asdict(row) for row in rows])
    else:
        show.rows(rows, f"{int(data.labelled.sum())} labelled windows, everything held out")
    show.note(f"Wrote {out}", quiet=given["quiet"])
    inputs.log_run(out, given)
    if given["gate"] is not None:
        leaderboard.check_gate(rows, given["gate"])
