"""The ``deep`` command."""

from __future__ import annotations

import click

from cli import detect, diagnose, group, train


@click.group(cls=group.Commands, context_settings=group.SETTINGS)
@click.version_option(package_name="proxytools-spans", prog_name="deep")
def cli() -> None:
    """Train and use the deep span detector.

    \b
    deep train --data windows.parquet --out runs/a
    deep evaluate runs/a --data others.parquet --json
    deep diagnose runs/a
    deep detect runs/a --bars bars.parquet --out spans.csv

    It is a proxy among the others: `proxytools correlate --models formula,lightgbm,deep`.
    Exit codes: 0 done, 1 failed, 2 bad usage or input.
    """


for _command in (train.train, train.evaluate, detect.detect, detect.export, diagnose.diagnose):
    cli.add_command(_command)


def main() -> None:
    """Run the command."""
    group.run(cli)


if __name__ == "__main__":
    main()
