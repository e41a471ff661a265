"""``deep train`` and ``deep evaluate``."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli import complete, inputs, options, show

if TYPE_CHECKING:
    from deep.train import Observer
    from deep.training import Epoch, Training
    from proxytools.rundir import RunDir

device = click.option(
    "--device",
    type=click.Choice(["cpu", "cuda", "auto"]),
    default="cpu",
    help="An absent device is an error; auto takes CUDA where there is one.",
)


@click.command()
@options.data
@click.option(
    "--preset",
    default="segmental",
    shell_complete=complete.one_of(*complete.PRESETS),
    help="segmental, or single: span detection alone.",
)
@click.option("--epochs", type=click.IntRange(1), help="Passes at most.  [default: the preset's]")
@click.option("--members", type=click.IntRange(1), help="Models averaged.  [default: the preset's]")
@click.option(
    "--features",
    shell_complete=complete.one_of(*complete.FEATURES),
    help="Feature set, as of proxytools fit.  [default: the preset's]",
)
@click.option(
    "--pretrain",
    type=click.Choice(["proxies", "masked", "contrastive"]),
    help="What to learn before the marks: soft labels of a proxy, hidden bars, or which window is "
    "which.",
)
@click.option("--pretrain-proxies", is_flag=True, help="The same as --pretrain proxies.")
@click.option(
    "--pretrain-epochs",
    type=click.IntRange(1),
    help="Passes of --pretrain over all windows.  [default: the preset's]",
)
@click.option(
    "--unlabelled",
    type=options.PATH,
    help="Bars or windows nobody looked at, for --pretrain as well.",
)
@click.option("--force", is_flag=True, help="Learn from a proxy that does not pass the gate, too.")
@device
@click.option(
    "--folds",
    type=click.IntRange(2),
    help="Grouped folds to hold out first, for metrics of windows that took no part in anything.",
)
@click.option("--embargo", default="0", help="Time kept free after windows of --folds, as 2h.")
@options.out
@click.option(
    "--resume",
    type=options.RUN,
    help="Go on with a run that was interrupted, to the same end; its options are those of then.",
)
@options.track
@options.seed
@options.threads
@options.as_json
@options.quiet
@options.config
def train(**given: Any) -> None:
    """Train the span detector on all labelled windows and save it.

    Without --folds the metrics are those of inner folds, which chose stopping and decoding.
    With --pretrain the same is done without it, and what it gave is reported.
    torchrun lets several processes train together, each on a GPU of its own.

    \b
    deep train --data windows.parquet --out runs/a
    deep train --data windows.parquet --folds 5 --json
    deep train --data windows.parquet --pretrain-proxies --unlabelled bars.parquet
    deep train --resume runs/a
    torchrun --nproc-per-node 2 -m cli.deep train --data windows.parquet --device cuda
    """
    from deep import parallel

    with parallel.together():
        _train(inputs.as_begun(given) if given["resume"] else given)


def _train(given: dict[str, Any]) -> None:
    from dataclasses import replace

    from deep import jobs, parallel
    from deep.detector import SpanDetector
    from deep.device import cpu_threads, resolve
    from deep.kept import Kept
    from deep.presets import on_features, preset
    from proxytools.rundir import UNFINISHED

    given["threads"] = given["threads"] or cpu_threads()
    given["pretrain"] = _pretraining(given)
    names = ("epochs", "members", "pretrain", "pretrain_epochs")
    chosen = {name: given[name] for name in names if given[name]}
    settings = replace(preset(given["preset"]), **chosen)
    if given["features"]:
        settings = on_features(settings, given["features"])
    resolve(given["device"])
    data = inputs.read_all(given)
    out = inputs.out(given)
    with _run_of(out, given) as run, _watch(settings.members, given) as watch:
        detector = SpanDetector(
            settings,
            seed=given["seed"],
            device=given["device"],
            threads=given["threads"],
            force=given["force"],
            observer=watch,
            kept=Kept(run / UNFINISHED),
        )
        metrics = jobs.train(
            run, detector, data, n_folds=given["folds"] or 0, embargo=given["embargo"]
        )
    if parallel.rank() > 0:
        return
    for warning in metrics.get("warnings", []):
        show.note(f"Warning: {warning}")
    if given["as_json"]:
        show.as_json({**metrics, "run": str(out)})
    else:
        own = ("without_pretraining", "pretraining_gain", "warnings")
        shown = {name: value for name, value in metrics.items() if name not in own}
        show.metrics(shown, f"{given['preset']}, held out in {metrics['evaluation']}")
        if "pretraining_gain" in metrics:
            show.gain(metrics["pretraining_gain"], given["pretrain"])
        click.echo("\n" + (out / "verdict.txt").read_text(), nl=False)
    show.note(f"Wrote {out}", quiet=given["quiet"])
    inputs.log_run(out, given)


@click.command()
@click.argument("run", type=options.RUN)
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

    model = jobs.load_model(run, given["device"], given["threads"])
    data = inputs.read(given, classes=model.classes)
    metrics = jobs.evaluate_model(model, data)
    if given["as_json"]:
        show.as_json(metrics)
    else:
        show.metrics(metrics, f"{model.proxy.name} on {metrics['n_windows']} windows")


def _pretraining(given: dict[str, Any]) -> str | None:
    """Return the kind of pre-training, of which the options have to agree."""
    from proxytools.errors import InputError

    if given["pretrain_proxies"] and given["pretrain"] not in (None, "proxies"):
        raise InputError(
            "--pretrain-proxies", got=f"--pretrain {given['pretrain']} as well", expected="one"
        )
    kind: str | None = "proxies" if given["pretrain_proxies"] else given["pretrain"]
    for name in ("unlabelled", "pretrain_epochs", "force"):
        if given[name] and kind is None:
            raise InputError(
                f"--{name.replace('_', '-')}",
                got="no pre-training that it could serve",
                expected="--pretrain as well",
            )
    return kind


@contextmanager
def _run_of(out: Path, given: dict[str, Any]) -> Iterator[RunDir]:
    """Open the run to write, and say how to go on with it where it is interrupted."""
    from deep import parallel
    from proxytools import rundir
    from proxytools.errors import ProxytoolsError

    if parallel.rank() > 0:
        with rundir.scratch() as run:
            yield run
        return
    n = parallel.world()
    if given["resume"]:
        writing = inputs.reopen_run(out, given, processes=n)
    else:
        writing = inputs.open_run(out, given, "deep", processes=n, resumable=True)
    with writing as run:
        try:
            yield run
        except BaseException as error:
            if not isinstance(error, ProxytoolsError):
                program = "deep" if n == 1 else f"torchrun --nproc-per-node {n} -m cli.deep"
                resume = f"{program} train --resume {shlex.quote(str(out))}"
                show.note(f"Interrupted; continue with: {resume}")
            raise


@contextmanager
def _watch(members: int, given: dict[str, Any]) -> Iterator[Observer | None]:
    """Show passes as they end: which training, its loss and held-out figure, the time left."""
    from deep import parallel
    from deep.detector import INNER_FOLDS
    from deep.train import Observer

    shown = show.progress(quiet=given["quiet"] or parallel.rank() > 0)
    if shown.disable:
        yield None
        return
    trainings = INNER_FOLDS + members
    with shown as progress:
        folds, ways = given["folds"], 2 if given["pretrain"] else 1
        fits = folds * ways + 1 if folds else ways
        task = progress.add_task("training", total=trainings * fits)
        runs: list[str] = []

        class Shown(Observer):
            def start(self, run: str, *training: Any) -> None:
                runs.append(run)

            def pretraining(self, done: Epoch) -> None:
                text = f"{done.run}: loss {done.loss:.3f}"
                progress.update(task, description=text)

            def epoch(self, done: Epoch, training: Training) -> None:
                share = len(runs) - 1 + done.epoch / done.epochs
                held_out = "" if done.held_out is None else f", held out {done.held_out:.3f}"
                text = f"{done.run}: loss {done.loss:.3f}{held_out}"
                progress.update(task, completed=share, description=text)

        yield Shown()
