"""``proxytools label`` and ``proxytools evaluate``: a saved model on other bars."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cli import inputs, options, show


@click.command()
@click.argument("run", type=options.RUN)
@click.option("--bars", type=options.PATH, required=True, help="Long bars, parquet or CSV.")
@click.option("--out", type=options.PATH, required=True, help="New parquet file.")
@options.bars_format
@click.option("--require-causal", is_flag=True, help="Refuse a model that looks ahead.")
@options.quiet
@options.config
def label(
    run: Path,
    bars: Path,
    out: Path,
    zone: str | None,
    gap: str | None,
    require_causal: bool,
    quiet: bool,
    config: Path | None,
) -> None:
    """Write soft labels for any number of unlabelled bars, with the model of RUN.

    An interrupted job goes on where it stopped when the same command is given again.

    \b
    proxytools label runs/a --bars bars.parquet --out soft.parquet
    """
    from proxytools import pipeline

    n_bars = pipeline.label_bars(
        run,
        bars,
        out,
        require_causal=require_causal,
        zone=zone,
        gap=gap,
        track=show.track_bars("bars", quiet=quiet),
    )
    show.note(f"Wrote {out}: {n_bars} bars", quiet=quiet)


@click.command()
@click.argument("run", type=options.RUN)
@options.data
@options.as_json
@options.quiet
@options.config
def evaluate(run: Path, **given: Any) -> None:
    """Measure the model of RUN on other labelled windows.

    \b
    proxytools evaluate runs/a --data others.parquet --json
    """
    from proxytools import pipeline

    model = pipeline.load_model(run)
    data = inputs.read(given, classes=model.classes)
    metrics = pipeline.evaluate_model(model, data)
    if given["as_json"]:
        show.as_json(metrics)
    else:
        show.metrics(metrics, f"{model.proxy.name} on {metrics['n_windows']} windows")
