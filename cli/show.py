"""Results on stdout, progress on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from rich.progress import Progress
    from rich.table import Table

Item = TypeVar("Item")

DAY = 24 * 3600.0  # seconds; the speed of steps that take minutes is known as well
GAP = 2  # blanks between columns
LEFT = ("model", "metric", "window_id", "kind")  # columns of text


def as_json(content: Any) -> None:
    """Print strict JSON."""
    click.echo(json.dumps(content, indent=2, allow_nan=False))


def note(text: str, *, quiet: bool = False) -> None:
    """Say something to the person, beside the results."""
    if not quiet:
        click.echo(text, err=True)


def track(description: str, *, quiet: bool) -> Any:
    """Return a wrapper of a sequence that shows a progress bar with the time left."""

    def wrap(items: Sequence[Item]) -> Iterable[Item]:
        return items if quiet else _bar(items, len(items), description, lambda item: 1)

    return wrap


def track_bars(description: str, *, quiet: bool) -> Any:
    """Like `track`, for batches whose lengths add up to a number of bars, where that is known."""

    def wrap(batches: Iterable[Sized], n_bars: int | None) -> Iterable[Sized]:
        return batches if quiet else _bar(batches, n_bars, description, len)

    return wrap


def progress(*, quiet: bool = False) -> Progress:
    """Return what shows progress with the time left, and nothing where stderr is no terminal.

    A log stays free of it even where ``FORCE_COLOR`` asks for colours.
    """
    from rich import progress as parts
    from rich.console import Console

    return parts.Progress(
        parts.TextColumn("{task.description}", markup=False),  # may name a file: [a]
        parts.BarColumn(),
        parts.TaskProgressColumn(),
        parts.TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=quiet or not sys.stderr.isatty(),
        speed_estimate_period=DAY,
    )


@contextmanager
def steps(
    description: str, total: int | None, *, quiet: bool = False
) -> Iterator[Callable[..., None]]:
    """Show progress while this is open: what it gives is called with the steps done, or for one."""
    with progress(quiet=quiet) as shown:
        task = shown.add_task(description, total=total)
        shown.advance(task, 0)  # time runs from here, not from the first step's end
        yield lambda done=1: shown.advance(task, done)


def _bar(
    items: Iterable[Item], total: int | None, description: str, share: Callable[[Item], int]
) -> Iterator[Item]:
    with steps(description, total) as advance:
        for item in items:
            yield item
            advance(share(item))


def table(rows: Sequence[dict[str, Any]], title: str) -> None:
    """Print rows as a table; numbers to three places, missing ones as a dash.

    A terminal too narrow for all columns gets them in several tables, the first column before
    each; a pipe has no width to fold at.
    """
    from rich.cells import cell_len
    from rich.console import Console

    click.echo(title)
    if not rows:
        return
    cells = {name: [_cell(row[name]) for row in rows] for name in rows[0]}
    widths = {name: max(map(cell_len, [name, *cells[name]])) for name in cells}
    console = Console(markup=False, emoji=False, highlight=False)
    if not sys.stdout.isatty():
        console.width = sum(widths.values()) + GAP * len(widths)
    for part in _parts(widths, console.width):
        console.print(_laid_out({name: cells[name] for name in part}))


def _laid_out(cells: dict[str, list[str]]) -> Table:
    from rich.table import Table

    shown = Table(box=None, pad_edge=False)
    for name in cells:
        shown.add_column(name, justify="left" if name in LEFT else "right", overflow="fold")
    for row in zip(*cells.values(), strict=True):
        shown.add_row(*row)
    return shown


def _parts(widths: dict[str, int], room: int) -> list[list[str]]:
    """Deal columns out to tables that are no wider than ``room``, where one column can be.

    Examples
    --------
    >>> _parts({"model": 8, "r": 5, "low": 5, "high": 5}, room=22)
    [['model', 'r', 'low'], ['model', 'high']]
    """
    first, *others = widths
    parts = [[first]]
    for name in others:
        used = sum(widths[shown] + GAP for shown in parts[-1])
        if used + widths[name] > room and len(parts[-1]) > 1:
            parts.append([first])
        parts[-1].append(name)
    return parts


def rows(leaderboard: Sequence[Any], title: str) -> None:
    """Print a leaderboard."""
    from dataclasses import asdict

    table([asdict(row) for row in leaderboard], title)


def metrics(values: dict[str, Any], title: str) -> None:
    """Print one figure a line; those of a nested table after its name."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        inner = value if isinstance(value, dict) else {"": value}
        flat |= {f"{name} {key}".strip(): figure for key, figure in inner.items()}
    table([{"metric": name, "value": value} for name, value in flat.items()], title)


def gain(values: dict[str, float | None], kind: str) -> None:
    """Print in a line what pre-training gave, with its intervals where there are some."""
    parts = []
    for name in ("pearson_r", "span_f1_50"):
        low, high = values.get(f"{name}_low"), values.get(f"{name}_high")
        interval = "" if low is None or high is None else f" [{low:+.3f}, {high:+.3f}]"
        value = values[name]
        parts.append(f"{name} {'-' if value is None else f'{value:+.3f}'}{interval}")
    click.echo(f"Pre-training ({kind}) gave {', '.join(parts)}")


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    text = f"{value:.3f}" if isinstance(value, float) else str(value)
    return "".join(c if c.isprintable() else "\ufffd" for c in text)  # nothing steers the terminal
