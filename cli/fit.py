"""``proxytools fit``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import click

from cli import complete, inputs, models, options, show


@click.command()
@click.option(
    "--model",
    default="lightgbm",
    shell_complete=complete.one_of(*complete.MODELS),
    help=f"{', '.join(complete.MODELS[:-1])} or {complete.MODELS[-1]}.",
)
@options.data
@options.feature_set
@options.device
@click.option("--search", type=click.Choice(["optuna"]), help="Tune inside every training fold.")
@click.option("--trials", default=30, type=click.IntRange(1), help="Trials of --search.")
@click.option("--unlabelled", type=options.PATH, help="Bars to write soft labels for as well.")
@click.option("--require-causal", is_flag=True, help="Refuse features that look ahead.")
@options.folds
@options.out
@options.track
@options.seed
@options.threads
@options.as_json
@options.quiet
@options.config
def fit(**given: Any) -> None:
    """Cross-fit a proxy, refit it on all windows and save it with its held-out soft labels.

    \b
    proxytools fit --model lightgbm --data windows.parquet --out runs/a
    proxytools fit --model formula
    proxytools fit --data bars.csv --spans marks.csv --labelled seen.csv --zone UTC
    """
    from proxytools import pipeline
    from proxytools.proxies import make, search

    inputs.limit_threads(given["threads"])
    quiet = given["quiet"]
    proxy = make(
        given["model"],
        features=given["features"] or models.FEATURES,
        seed=given["seed"],
        device=given["device"],
        threads=given["threads"],
    )
    given["device"] = getattr(proxy, "device", "cpu")  # what `auto` came to
    if given["search"]:
        proxy = search.Searched(proxy, given["trials"])
    data = inputs.read(given)
    inputs.check_unlabelled(given)
    out = inputs.out(given)
    with inputs.open_run(out, given) as run:
        with _progress(proxy, given) as track:
            metrics = pipeline.fit(
                run,
                proxy,
                data,
                n_folds=given["folds"],
                seed=given["seed"],
                embargo=given["embargo"],
                require_causal=given["require_causal"],
                track=track,
            )
        if given["unlabelled"]:
            pipeline.label_bars(
                run.path,
                given["unlabelled"],
                run / "soft_unlabelled.parquet",
                zone=given["zone"],
                gap=given["gap"],
                track=show.track_bars("unlabelled bars", quiet=quiet),
            )
    if given["as_json"]:
        show.as_json({**metrics, "run": str(out)})
    else:
        show.metrics(metrics, f"{given['model']}, held out on {int(data.labelled.sum())} windows")
    show.note(f"Wrote {out}", quiet=quiet)
    inputs.log_run(out, given)


@contextmanager
def _progress(proxy: Any, given: dict[str, Any]) -> Iterator[Any]:
    """Count the fits, of every fold and of all windows at last; with a search, the trials of each.

    What it gives wraps the folds.
    """
    fits, of = given["folds"] + 1, "trials" if given["search"] else "fits"
    total = fits * given["trials"] if given["search"] else fits
    with show.steps(f"{given['model']}: {of}", total, quiet=given["quiet"]) as advance:
        if given["search"]:
            proxy.set_params(on_trial=advance)
            yield iter
        else:
            yield partial(_counted, advance)
            advance()


def _counted(advance: Callable[[], None], folds: Iterable[Any]) -> Iterator[Any]:
    for fold in folds:
        yield fold
        advance()
