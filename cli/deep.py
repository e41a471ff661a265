"""The ``deep`` command."""

import click

from cli import group


@click.group(cls=group.Commands, context_settings=group.SETTINGS)
@click.version_option(package_name="proxytools-spans", prog_name="deep")
def cli() -> None:
    """Train and use the deep span detector.

    The detector is not in this version; `proxytools` holds the classical proxies.
    """


def main() -> None:
    """Run the command."""
    group.run(cli)
