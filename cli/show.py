"""Results on stdout, progress on stderr."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence, Sized
from typing import Any, TypeVar

import click

Item = TypeVar("Item")

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


def _bar(
    items: Iterable[Item], total: int | None, description: str, share: Callable[[Item], int]
) -> Iterator[Item]:
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(description, total=total)
        for item in items:
            yield item
            progress.advance(task, share(item))


def table(rows: Sequence[dict[str, Any]], title: str) -> None:
    """Print rows as a table; numbers to three places, missing ones as a dash."""
    from rich.console import Console
    from rich.table import Table

    shown = Table(box=None, pad_edge=False)
    for name in rows[0]:
        shown.add_column(name, justify="left" if name in LEFT else "right")
    for row in rows:
        shown.add_row(*map(_cell, row.values()))
    console = Console()
    width = None if console.is_terminal else 200  # a pipe has no width to fold at
    Console(width=width).print(title, shown, sep="\n", highlight=False)


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
    return f"{value:.3f}" if isinstance(value, float) else str(value)
