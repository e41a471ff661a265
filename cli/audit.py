"""``proxytools audit``."""

from __future__ import annotations

from typing import Any

import click

from cli import complete, inputs, models, options, show


@click.command()
@options.data
@click.option(
    "--model",
    default="logistic",
    help="Proxy that judges: a name as for fit, or deep.",
    shell_complete=complete.one_of(*complete.MODELS, models.DEEP),
)
@options.feature_set
@click.option(
    "--split",
    help="Check a split for leaks: a column of --data, or a CSV file of window_id and split.",
)
@click.option("--n", default=6, type=click.IntRange(1), help="Suspects to show and to draw.")
@options.folds
@options.out
@options.seed
@options.threads
@options.as_json
@options.quiet
@options.config
def audit(**given: Any) -> None:
    """Find marks that look wrong, copies of windows, and leaks.

    Every mark is judged by predictions that were held out from it: spans that were missed, marks
    where nothing is, edges that slipped, each with the probability that it is a mistake. With
    --split, exits with 3 where windows that belong together stand on both sides.

    \b
    proxytools audit --data windows.parquet
    proxytools audit --data windows.parquet --split split.csv --n 20 --json
    """
    from proxytools import audit as audits

    inputs.limit_threads(given["threads"])
    quiet = given["quiet"]
    proxy = models.make(
        given["model"],
        features=given["features"],
        seed=given["seed"],
        device="cpu",
        threads=given["threads"],
    )
    data = inputs.read(given)
    split = None
    if given["split"] is not None:
        split = audits.read_split(given["split"], given["data"], data.windows.ids)
    out = inputs.out(given)
    with inputs.open_run(out, given) as run:
        report = audits.audit(
            run,
            proxy,
            data,
            split=split,
            n_shown=given["n"],
            n_folds=given["folds"],
            seed=given["seed"],
            embargo=given["embargo"],
            track=show.track(f"{given['model']}: folds", quiet=quiet),
        )
    if given["as_json"]:
        show.as_json({**report, "run": str(out)})
    else:
        flagged = ", ".join(f"{n} {kind}" for kind, n in report["flagged"].items())
        show.table(report["worst"], f"More probably wrong than right: {flagged}")
        for note in report["notes"]:
            show.note(f"Mind: {note}")
    show.note(f"Wrote {out}", quiet=quiet)
    audits.check_split(report)
