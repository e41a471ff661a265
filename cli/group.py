"""What both commands share: errors as one sentence, and an orderly end."""

from __future__ import annotations

from typing import Any

import click

from cli import ending

SETTINGS = {
    "auto_envvar_prefix": "PROXYTOOLS",
    "show_default": True,
    "help_option_names": ["-h", "--help"],
}


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


def run(command: click.Group) -> None:
    """Run a command; Ctrl-C and a polite kill end it, and leave nothing half-written."""
    ending.orderly()
    command()
