"""Options that commands share, and where their values come from: flag, environment, file."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Iterable
from functools import reduce
from pathlib import Path
from typing import Any

import click

from cli import complete

Command = Callable[..., Any]
PATH = click.Path(path_type=Path)  # existence is checked where the file is read, with advice
RUN = complete.Run()


def _from_file(ctx: click.Context, param: click.Parameter, path: Path | None) -> Path | None:
    """Take defaults from a TOML file: top-level keys, and those of the command's own table."""
    if path is None:
        return None
    from proxytools.errors import InputError

    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"--config {path}", got=str(error), expected="a TOML file") from None
    group = ctx.parent.command if ctx.parent else None
    commands = group.commands if isinstance(group, click.Group) else {}
    tables = {key: value for key, value in settings.items() if isinstance(value, dict)}
    shared = {key: value for key, value in settings.items() if key not in tables}
    own, names = tables.get(ctx.info_name or "", {}), _names(ctx.command)
    _check_keys(path, tables, commands, "the name of a command")
    every = [name for command in commands.values() for name in _names(command)]
    _check_keys(path, shared, every, "an option of some command")
    _check_keys(path, own, names, f"an option of {ctx.info_name}")
    values = {_spelt(key): str(value) for key, value in {**shared, **own}.items()}
    ctx.default_map = {names[key]: value for key, value in values.items() if key in names}
    return path


def _spelt(key: str) -> str:
    return key.replace("_", "-")


def _names(command: click.Command) -> dict[str, str]:
    """Parameters of a command by the names a user knows."""
    return {_spelt(opt.lstrip("-")): p.name or "" for p in command.params for opt in p.opts}


def _check_keys(path: Path, found: Iterable[str], known: Iterable[str], expected: str) -> None:
    from proxytools.errors import InputError

    known = list(known)
    for key in found:
        if _spelt(key) not in known:
            near = difflib.get_close_matches(_spelt(key), known, 1)
            raise InputError(
                f"--config {path}",
                got=f"the key {key!r}",
                expected=expected,
                fix=f"Did you mean {near[0]!r}" if near else "",
            )


def _check_tracking(ctx: click.Context, param: click.Parameter, tracker: str | None) -> str | None:
    """Refuse now what would be refused when the work is done."""
    if tracker:
        from proxytools import tracking

        tracking.check()
    return tracker


def options(*decorators: Command) -> Command:
    """Join option decorators into one, in reading order."""
    return lambda command: reduce(lambda done, add: add(done), reversed(decorators), command)


config = click.option(
    "--config",
    type=PATH,
    is_eager=True,
    callback=_from_file,
    help="TOML file of option values; flags and PROXYTOOLS_<COMMAND>_<OPTION> come first.",
)
seed = click.option("--seed", default=0, help="Seed of folds, models and resampling.")
quiet = click.option("--quiet", is_flag=True, help="No progress on stderr.")
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
threads = click.option("--threads", default=0, help="Threads; 0 for all cores.")
device = click.option(
    "--device",
    type=click.Choice(["cpu", "cuda", "opencl", "auto"]),
    default="cpu",
    help="XGBoost and formulas run on cuda, LightGBM on opencl; an absent device is an error.",
)
feature_set = click.option(
    "--features",
    shell_complete=complete.one_of(*complete.FEATURES),
    help="Feature set: full looks ahead inside the window, causal does not, classic has four.  "
    "[default: full; directed for deep]",
)
folds = options(
    click.option("--folds", default=5, type=click.IntRange(2), help="Grouped folds."),
    click.option("--embargo", default="0", help="Time kept free after test windows, as 2h."),
)
track = click.option(
    "--track",
    type=click.Choice(["mlflow"]),
    callback=_check_tracking,
    help="Log the finished run to MLflow as well: settings, metrics and files.",
)
out = click.option("--out", type=PATH, help="New run directory.  [default: runs/<command>-<time>]")

bars_format = options(
    click.option("--zone", help="Time zone of naive timestamps, as Europe/Berlin."),
    click.option("--gap", help="Longest time between bars of one run.  [1.5 median intervals]"),
)
cutting = options(
    click.option("--spans", type=PATH, help="CSV of marks for long bars: series_id, start, end."),
    click.option("--labelled", type=PATH, help="CSV of what was looked at in long bars."),
    click.option("--bars", default=105, type=click.IntRange(1), help="Window length to cut."),
    click.option("--stride", type=click.IntRange(1), help="Bars between windows.  [--bars]"),
    click.option("--bar-interval", help="Bar length where windows have one timestamp, as 1min."),
    bars_format,
)
data = options(
    click.option(
        "--data",
        type=PATH,
        help="Windows parquet, or long bars (parquet, CSV).  [default: embedded planted windows]",
    ),
    cutting,
)
suggestions = click.option(
    "--suggestions", type=PATH, help="What a model found: a run, or a CSV of spans by window."
)
