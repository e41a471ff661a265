"""What the shell completes, beside the options it knows itself: names, and run directories.

The names stand here, and a test compares them with the tables they come from, because loading those
takes seconds and a shell asks at every key.
"""

from __future__ import annotations

import glob
import os.path
from collections.abc import Callable
from pathlib import Path

import click
from click.shell_completion import CompletionItem

MODELS = (
    "formula",
    "formula-classic",
    "logistic",
    "random-forest",
    "hist-gradient-boosting",
    "lightgbm",
    "xgboost",
)
FEATURES = ("classic", "directionless", "causal", "full", "directed", "jade")
PRESETS = ("segmental", "single", "stones", "jade")

Complete = Callable[[click.Context, click.Parameter, str], list[str]]


def one_of(*names: str) -> Complete:
    """Complete a name."""
    return lambda ctx, param, begun: [name for name in names if name.startswith(begun)]


def some_of(*names: str) -> Complete:
    """Complete the last of several names with commas between them."""

    def complete(ctx: click.Context, param: click.Parameter, begun: str) -> list[str]:
        before, comma, last = begun.rpartition(",")
        return [f"{before}{comma}{name}" for name in names if name.startswith(last)]

    return complete


class Run(click.Path):
    """A run directory; where none begins like that, any directory."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Offer runs here and under ``runs/``."""
        places = {f"{glob.escape(incomplete)}*/run.json", "runs/*/run.json"}
        found = {os.path.dirname(file) for place in places for file in glob.glob(place)}
        runs = sorted(run for run in found if run.startswith(incomplete))
        return [CompletionItem(run) for run in runs] or [CompletionItem(incomplete, type="dir")]
