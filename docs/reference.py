"""Writes the reference of the commands into docs/commands.md when the site is built.

Everything comes from the commands themselves, in the words of their ``--help``.
"""

import inspect
import re
from collections.abc import Iterator
from html import escape

import click

from cli.deep import cli as deep
from cli.proxytools import cli as proxytools

PROGRAMS = {"proxytools": proxytools, "deep": deep}
MARKER = "<!-- commands -->"


def on_page_markdown(markdown, page, **_):
    """Fill the marker of a page; mkdocs calls this for each."""
    return markdown.replace(MARKER, "\n".join(reference())) if MARKER in markdown else markdown


def reference() -> Iterator[str]:
    """Both programs and all their commands, as lines of Markdown."""
    for name, program in PROGRAMS.items():
        context = click.Context(program, info_name=name, **program.context_settings)
        yield from _described(program, context, "##")
        for own, command in program.commands.items():
            yield from _described(command, click.Context(command, context, own), "###")


def _described(command: click.Command, context: click.Context, level: str) -> Iterator[str]:
    path = context.command_path
    yield from (f"{level} {path} {{ #{path.replace(' ', '-')} }}", "")
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    yield from ("```text", usage, "```", "")
    yield from _prose(inspect.cleandoc(command.help or ""))
    yield from _options(command, context)


def _prose(text: str) -> Iterator[str]:
    """Paragraphs; one that begins with the backspace character keeps its lines."""
    for paragraph in re.split(r"\n\s*\n", text):
        if paragraph.startswith("\b"):
            yield from ("```text", paragraph.removeprefix("\b\n"), "```", "")
        else:
            yield from (_plain(paragraph), "")


def _options(command: click.Command, context: click.Context) -> Iterator[str]:
    """Rows of options and what ``--help`` says of them."""
    records = [option.get_help_record(context) for option in command.get_params(context)]
    yield from ("| option | |", "|---|---|")
    for option, meaning in filter(None, records):
        yield f"| `{option.replace('|', '&#124;')}` | {_plain(meaning)} |"
    yield ""


def _plain(text: str) -> str:
    """Text whose signs mean nothing to Markdown."""
    return re.sub(r"([|*_`\[\]{}#\\])", r"\\\1", escape(" ".join(text.split()), quote=False))
