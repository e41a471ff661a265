"""The ``proxytools`` command."""

from __future__ import annotations

import click

from cli import apply, audit, convert, correlate, fit, group, mark, planted, report, suggest


@click.group(cls=group.Commands, context_settings=group.SETTINGS)
@click.version_option(package_name="proxytools-spans", prog_name="proxytools")
def cli() -> None:
    """Proxies and baselines for the few bars in which price expands.

    \b
    proxytools demo                                    everything, on embedded data
    proxytools correlate --data windows.parquet        is there signal at all?
    proxytools fit --model lightgbm --data windows.parquet --out runs/a
    proxytools label runs/a --bars bars.parquet --out soft.parquet
    proxytools report runs/a --out report.html

    Exit codes: 0 done, 1 failed, 2 bad usage or input, 3 a gate not met.
    """


for _command in (
    planted.demo,
    correlate.correlate,
    fit.fit,
    apply.label,
    apply.evaluate,
    audit.audit,
    suggest.suggest,
    report.report,
    planted.synth,
    convert.convert,
    mark.mark,
):
    cli.add_command(_command)


def main() -> None:
    """Run the command."""
    group.run(cli)
