"""``deep detect`` and ``deep export``: a trained detector on long series, and elsewhere."""

from __future__ import annotations

from pathlib import Path

import click

from cli import options, show
from cli.train import device


@click.command()
@click.argument("run", type=options.RUN)
@click.option("--bars", type=options.PATH, required=True, help="Long bars, parquet or CSV.")
@click.option("--out", type=options.PATH, required=True, help="New CSV file.")
@device
@options.threads
@options.bars_format
@options.as_json
@options.quiet
@options.config
def detect(
    run: Path,
    bars: Path,
    out: Path,
    device: str,
    threads: int,
    zone: str | None,
    gap: str | None,
    as_json: bool,
    quiet: bool,
    config: Path | None,
) -> None:
    """Find the spans of any number of bars with the detector of RUN.

    The result can be read as marks: `proxytools correlate --data bars.parquet --spans spans.csv`.

    \b
    deep detect runs/a --bars bars.parquet --out spans.csv
    """
    from deep import jobs, series

    model = jobs.load_model(run, device, threads)
    counts = series.detect(
        model,
        bars,
        out,
        threads=threads,
        zone=zone,
        gap=gap,
        track=show.track_bars("bars", quiet=quiet),
    )
    if as_json:
        show.as_json({"out": str(out), "model": model.proxy.name, **counts})
    show.note(f"Wrote {out}: {counts['spans']} spans in {counts['bars']} bars", quiet=quiet)


@click.command()
@click.argument("run", type=options.RUN)
@click.option("--onnx", "out", type=options.PATH, required=True, help="New ONNX file.")
@options.as_json
@options.quiet
@options.config
def export(run: Path, out: Path, as_json: bool, quiet: bool, config: Path | None) -> None:
    """Write the detector of RUN as ONNX: features in, scores out.

    It is checked against torch in onnxruntime before it appears. Needs the extra onnx.

    \b
    deep export runs/a --onnx model.onnx
    """
    from deep import jobs
    from deep.export import export

    made = export(jobs.load_model(run), out)
    if as_json:
        show.as_json({"out": str(out), **made})
    difference = made["max_abs_difference"]
    show.note(f"Wrote {out}: differs from torch by {difference:.1g} at most", quiet=quiet)
