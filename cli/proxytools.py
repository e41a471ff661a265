"""The ``proxytools`` command."""

from __future__ import annotations

import signal
import sys
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli import options, show

if TYPE_CHECKING:
    from proxytools.rundir import RunDir
    from proxytools.types import SpanDataset


class Refusal(click.ClickException):
    """One sentence on stderr and an exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # click declares it on the class


class Commands(click.Group):
    """Turns the project's errors into one sentence and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the chosen command."""
        from proxytools.errors import ProxytoolsError

        try:
            return super().invoke(ctx)
        except (ProxytoolsError, OSError) as error:
            raise Refusal(str(error), getattr(error, "exit_code", 1)) from None


@click.group(
    cls=Commands,
    context_settings={
        "auto_envvar_prefix": "PROXYTOOLS",
        "show_default": True,
        "help_option_names": ["-h", "--help"],
    },
)
@click.version_option(package_name="proxytools-spans", prog_name="proxytools")
def cli() -> None:
    """Proxies and baselines for the few bars in which price expands.

    \b
    proxytools demo                                    everything, on embedded data
    proxytools correlate --data windows.parquet        is there signal at all?
    proxytools fit --model lightgbm --data windows.parquet --out runs/a
    proxytools label runs/a --bars bars.parquet --out soft.parquet

    Exit codes: 0 done, 1 failed, 2 bad usage or input, 3 a gate not met.
    """


@cli.command()
@click.option(
    "--model",
    default="lightgbm",
    help="formula, formula-classic, logistic, "
    "random-forest, hist-gradient-boosting, lightgbm or xgboost.",
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

    quiet = given["quiet"]
    proxy = make(
        given["model"],
        features=given["features"],
        seed=given["seed"],
        device=given["device"],
        threads=given["threads"],
    )
    if given["search"]:
        proxy = search.Searched(proxy, given["trials"], progress=not quiet)
    data = _read(given)
    out = _out(given)
    with _run(out, given) as run:
        metrics = pipeline.fit(
            run,
            proxy,
            data,
            n_folds=given["folds"],
            seed=given["seed"],
            embargo=given["embargo"],
            unlabelled=given["unlabelled"],
            require_causal=given["require_causal"],
            track=show.track(f"{given['model']}: folds", quiet=quiet),
        )
    if given["as_json"]:
        show.as_json({**metrics, "run": str(out)})
    else:
        show.metrics(metrics, f"{given['model']}, held out on {int(data.labelled.sum())} windows")
    show.note(f"Wrote {out}", quiet=quiet)


@cli.command()
@click.option(
    "--models",
    default="formula,formula-classic,logistic,lightgbm,xgboost",
    help="Comma-separated names, as for fit --model.",
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
@options.seed
@options.threads
@options.as_json
@options.quiet
@options.config
def correlate(**given: Any) -> None:
    """Put proxies on one leaderboard with the rows they must beat. Is there signal at all?

    \b
    proxytools correlate --data windows.parquet
    proxytools correlate --data windows.parquet --models formula,lightgbm --gate 0.15 --json
    """
    from dataclasses import asdict

    from proxytools import pipeline
    from proxytools.proxies import make

    names = [name.strip() for name in given["models"].split(",") if name.strip()]
    if not names:
        raise click.BadParameter("names no model", param_hint="--models")
    proxies = [
        make(
            name,
            features=given["features"],
            seed=given["seed"],
            device=given["device"],
            threads=given["threads"],
        )
        for name in names
    ]
    data = _read(given)
    out = _out(given)
    with _run(out, given) as run:
        rows = pipeline.correlate(
            run,
            proxies,
            data,
            gate=given["gate"],
            n_folds=given["folds"],
            seed=given["seed"],
            embargo=given["embargo"],
            permutations=given["permutations"],
            track=show.track("proxies", quiet=given["quiet"]),
        )
    table = [asdict(row) for row in rows]
    if given["as_json"]:
        show.as_json(table)
    else:
        show.table(table, f"{int(data.labelled.sum())} labelled windows, everything held out")
    show.note(f"Wrote {out}", quiet=given["quiet"])
    if given["gate"] is not None:
        pipeline.check_gate(rows, given["gate"])


@cli.command()
@click.argument("run", type=options.PATH)
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

    n_bars = pipeline.label_bars(run, bars, out, zone=zone, gap=gap, require_causal=require_causal)
    show.note(f"Wrote {out}: {n_bars} bars", quiet=quiet)


@cli.command()
@click.argument("run", type=options.PATH)
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
    data = _read(given, classes=model.classes)
    metrics = pipeline.evaluate_model(model, data)
    if given["as_json"]:
        show.as_json(metrics)
    else:
        show.metrics(metrics, f"{model.proxy.name} on {metrics['n_windows']} windows")


@cli.command()
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

    io.write(out, synthetic.planted(windows, preset=preset, seed=seed).data)
    show.note(f"Wrote {out}: {windows} windows, preset {preset}", quiet=quiet)


@cli.command()
@options.out
@options.seed
@options.threads
@options.quiet
def demo(**given: Any) -> None:
    """Run the main job on embedded data and leave a run directory with figures."""
    raise NotImplementedError


def _read(given: dict[str, Any], classes: tuple[str, ...] | None = None) -> SpanDataset:
    """Read the data set a command was given, or say that it takes the embedded one."""
    from proxytools import io, pipeline

    if given["data"] is None:
        show.note(f"No --data: using the embedded default ({pipeline.DEFAULT_DATA}).")
        return pipeline.default_data()
    names = ("spans", "labelled", "bars", "stride", "zone", "gap", "bar_interval")
    return io.read(given["data"], classes=classes, **{name: given[name] for name in names})


def _out(given: dict[str, Any]) -> Path:
    """Return the run directory to write."""
    command = click.get_current_context().info_name
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    return given["out"] or Path("runs") / f"{command}-{stamp}"


def _run(out: Path, given: dict[str, Any]) -> AbstractContextManager[RunDir]:
    """Open a run for writing, with the resolved settings in its record."""
    from proxytools import io, rundir

    files = [given[n] for n in ("data", "spans", "labelled", "unlabelled") if given.get(n)]
    return rundir.create(
        out,
        command=["proxytools", *sys.argv[1:]],
        config={k: str(v) if isinstance(v, Path) else v for k, v in given.items()},
        seed=given["seed"],
        inputs={str(path): io.sha256(path) for path in files},
        device=given.get("device", "cpu"),
        threads=given["threads"],
    )


def main() -> None:
    """Run the command; a polite kill unwinds like Ctrl-C, so that nothing half-written stays."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    cli()
