"""From option values to a data set, and to the run directory that a command writes."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli import show

if TYPE_CHECKING:
    from proxytools.exchange import Marks
    from proxytools.rundir import RunDir
    from proxytools.types import SpanDataset


def read(given: dict[str, Any], classes: tuple[str, ...] | None = None) -> SpanDataset:
    """Read the data set a command was given, or say that it takes the embedded one."""
    from proxytools import io

    if given["data"] is None:
        from proxytools import pipeline

        show.note(f"No --data: using the embedded default ({pipeline.DEFAULT_DATA}).")
        return pipeline.default_data()
    names = ("spans", "labelled", "bars", "stride", "zone", "gap", "bar_interval")
    return io.read(given["data"], classes=classes, **{name: given[name] for name in names})


def read_all(given: dict[str, Any]) -> SpanDataset:
    """Read the data set, and the windows of ``--unlabelled`` beside it."""
    from proxytools import io

    data = read(given)
    if given["unlabelled"] is None:
        return data
    names = ("zone", "gap", "bar_interval")
    bars = {"bars": data.n_bars, **{name: given[name] for name in names}}
    return io.with_unlabelled(data, io.read(given["unlabelled"], **bars))


def suggested(given: dict[str, Any], data: SpanDataset) -> tuple[Marks | None, str]:
    """Return the spans of ``--suggestions`` by window, and the name of their source."""
    from proxytools import exchange

    path = given["suggestions"]
    return (None, "") if path is None else (exchange.read_suggestions(path, data), path.stem)


def limit_threads(threads: int) -> None:
    """Hold the libraries that a model cannot tell to ``--threads`` as well."""
    import numba
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    if threads:
        most = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]
        numba.set_num_threads(min(threads, most))
        threadpool_limits(threads)


def check_unlabelled(given: dict[str, Any]) -> None:
    """Refuse unreadable bars before the long work that comes before they are needed."""
    from proxytools import io

    if given["unlabelled"]:
        io.stream(given["unlabelled"], zone=given["zone"], gap=given["gap"])


def out(given: dict[str, Any]) -> Path:
    """Return the run directory to write."""
    command = click.get_current_context().info_name
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    return given["out"] or Path("runs") / f"{command}-{stamp}"


def refuse_existing(path: Path) -> None:
    """Never write over a file."""
    from proxytools.errors import InputError

    if path.exists():
        raise InputError(
            str(path), got="an existing path", expected="a new file", fix="Choose another --out"
        )


def open_run(
    out: Path, given: dict[str, Any], program: str = "proxytools", **facts: Any
) -> AbstractContextManager[RunDir]:
    """Open a run for writing, with the resolved settings in its record; ``facts`` go there too."""
    from proxytools import rundir

    return rundir.create(
        out,
        command=[program, *sys.argv[1:]],
        config={k: str(v) if isinstance(v, Path) else v for k, v in given.items()},
        seed=given["seed"],
        inputs=_hashes(given),
        device=given.get("device", "cpu"),
        threads=given["threads"],
        **facts,
    )


def reopen_run(path: Path, given: dict[str, Any], processes: int) -> AbstractContextManager[RunDir]:
    """Open an interrupted run, if its input files are what they were."""
    from proxytools import resuming

    return resuming.resume(path, inputs=_hashes(given), processes=processes)


def log_run(path: Path, given: dict[str, Any]) -> None:
    """Log a finished run where ``--track`` says."""
    if given["track"]:
        from proxytools import tracking

        identifier = tracking.log(path)
        show.note(f"Tracked as MLflow run {identifier}", quiet=given["quiet"])


def _hashes(given: dict[str, Any]) -> dict[str, str]:
    from proxytools import io

    files = [given[n] for n in ("data", "spans", "labelled", "unlabelled") if given.get(n)]
    return {str(path): io.sha256(path) for path in files}


def as_begun(given: dict[str, Any]) -> dict[str, Any]:
    """Return the options of the run that ``--resume`` names, which no other may contradict."""
    from proxytools import resuming
    from proxytools.errors import InputError

    context, path = click.get_current_context(), given["resume"]
    own = {"resume", "quiet", "as_json"}
    for option in context.command.params:
        name = option.name or ""
        source = context.get_parameter_source(name)
        if name not in own and source is click.core.ParameterSource.COMMANDLINE:
            raise InputError(
                option.opts[0],
                got="an option beside --resume",
                expected="those of the run that is resumed",
                fix="Leave it out",
            )
    record = resuming.interrupted(path).read_json("run.json")
    begun = {
        option.name: option.type_cast_value(context, record["config"].get(option.name))
        for option in context.command.params
    }
    return {**begun, "out": path, **{name: given[name] for name in own}}
