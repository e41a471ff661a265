"""The ``deep`` command."""

import click


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="proxytools-spans", prog_name="deep")
def cli() -> None:
    """Train and use the deep span detector.

    The detector is not in this version; `proxytools` holds the classical proxies.
    """


def main() -> None:
    """Run the command."""
    cli()
