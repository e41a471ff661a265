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
    from proxytools.rundir import RunDir
    from proxytools.types import SpanDataset


def read(given: dict[str, Any], classes: tuple[str, ...] | None = None) -> SpanDataset:
    """Read the data set a command was given, or say that it takes the embedded one."""
    from proxytools import io, pipeline

    if given["data"] is None:
        show.note(f"No --data: using the embedded default ({pipeline.DEFAULT_DATA}).")
        return pipeline.default_data()
    names = ("spans", "labelled", "bars", "stride", "zone", "gap", "bar_interval")
    return io.read(given["data"], classes=classes, **{name: given[name] for name in names})


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
    out: Path, given: dict[str, Any], program: str = "proxytools"
) -> AbstractContextManager[RunDir]:
    """Open a run for writing, with the resolved settings in its record."""
    from proxytools import io, rundir

    files = [given[n] for n in ("data", "spans", "labelled", "unlabelled") if given.get(n)]
    return rundir.create(
        out,
        command=[program, *sys.argv[1:]],
        config={k: str(v) if isinstance(v, Path) else v for k, v in given.items()},
        seed=given["seed"],
        inputs={str(path): io.sha256(path) for path in files},
        device=given.get("device", "cpu"),
        threads=given["threads"],
    )
