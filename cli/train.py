"""``deep train`` and ``deep evaluate``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli import inputs, options, show

if TYPE_CHECKING:
    from deep.train import Observer
    from deep.training import Epoch, Training

device = click.option(
    "--device",
    type=click.Choice(["cpu", "cuda", "auto"]),
    default="cpu",
    help="An absent device is an error; auto takes CUDA where there is one.",
)


@click.command()
@options.data
@click.option("--preset", default="segmental", help="segmental, or single: span detection alone.")
@click.option("--epochs", type=click.IntRange(1), help="Passes at most.  [default: the preset's]")
@click.option("--members", type=click.IntRange(1), help="Models averaged.  [default: the preset's]")
@click.option("--features", help="Feature set, as of proxytools fit.  [default: the preset's]")
@device
@click.option(
    "--folds",
    type=click.IntRange(2),
    help="Grouped folds to hold out first, for metrics of windows that took no part in anything.",
)
@click.option("--embargo", default="0", help="Time kept free after windows of --folds, as 2h.")
@options.out
@options.seed
@options.threads
@options.as_json
@options.quiet
@options.config
def train(**given: Any) -> None:
    """Train the span detector on all labelled windows and save it.

    Without --folds the metrics are those of inner folds, which chose stopping and decoding.

    \b
    deep train --data windows.parquet --out runs/a
    deep train --data windows.parquet --folds 5 --json
    """
    from dataclasses import replace

    from deep import jobs
    from deep.detector import SpanDetector
    from deep.device import resolve
    from deep.presets import preset

    chosen = {name: given[name] for name in ("features", "epochs", "members") if given[name]}
    settings = replace(preset(given["preset"]), **chosen)
    resolve(given["device"])
    data = inputs.read(given)
    out = inputs.out(given)
    with inputs.open_run(out, given, "deep") as run, _watch(settings.members, given) as watch:
        detector = SpanDetector(
            settings,
            seed=given["seed"],
            device=given["device"],
            threads=given["threads"],
            observer=watch,
        )
        metrics = jobs.train(
            run, detector, data, n_folds=given["folds"] or 0, embargo=given["embargo"]
        )
    if given["as_json"]:
        show.as_json({**metrics, "run": str(out)})
    else:
        show.metrics(metrics, f"{given['preset']}, held out in {metrics['evaluation']}")
    show.note(f"Wrote {out}", quiet=given["quiet"])


@click.command()
@click.argument("run", type=options.PATH)
@options.data
@device
@options.threads
@options.as_json
@options.quiet
@options.config
def evaluate(run: Path, **given: Any) -> None:
    """Measure the detector of RUN on other labelled windows.

    \b
    deep evaluate runs/a --data others.parquet --json
    """
    from deep import jobs
    from proxytools import pipeline

    model = jobs.load_model(run, given["device"], given["threads"])
    data = inputs.read(given, classes=model.classes)
    metrics = pipeline.evaluate_model(model, data)
    if given["as_json"]:
        show.as_json(metrics)
    else:
        show.metrics(metrics, f"{model.proxy.name} on {metrics['n_windows']} windows")


@contextmanager
def _watch(members: int, given: dict[str, Any]) -> Iterator[Observer | None]:
    """Show passes as they end: which training, its loss and held-out figure, the time left."""
    from rich.console import Console
    from rich.progress import Progress

    from deep.detector import INNER_FOLDS
    from deep.train import Observer

    console = Console(stderr=True)
    if given["quiet"] or not console.is_terminal:
        yield None
        return
    trainings = INNER_FOLDS + members
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("training", total=trainings * ((given["folds"] or 0) + 1))
        runs: list[str] = []

        class Shown(Observer):
            def epoch(self, done: Epoch, training: Training) -> None:
                if done.epoch == 1:
                    runs.append(done.run)
                share = len(runs) - 1 + done.epoch / done.epochs
                held_out = "" if done.held_out is None else f", held out {done.held_out:.3f}"
                text = f"{done.run}: loss {done.loss:.3f}{held_out}"
                progress.update(task, completed=share, description=text)

        yield Shown()
