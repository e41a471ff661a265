"""Sections to one HTML file that asks the network for nothing."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import jinja2
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from proxytools.report.blocks import DARK, Chart, Gallery, Section, Table

SCRIPTS = ("figures.js", "theme.js", "gallery.js")
_NUMBER = re.compile(r"[+-]?[\d.,]+( %)?|\N{EN DASH}|")


def page(title: str, subtitle: str, sections: Sequence[Section]) -> str:
    """Put the page together.

    Text is escaped by the template, data in scripts by `embedded`; and should something slip
    through, the page's policy runs no script but its own, known by hash, and loads nothing.
    """
    loader = jinja2.PackageLoader("proxytools.report", "page")
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    environment.filters["numeric"] = _numeric
    blocks = [block for section in sections for block in section.blocks]
    charts = {block.id: block.figure for block in blocks if isinstance(block, Chart)}
    gallery = next((block.payload for block in blocks if isinstance(block, Gallery)), None)
    scripts = [get_plotlyjs(), *(_file(loader, environment, name) for name in SCRIPTS)]
    scripts = [_inline(script) for script in scripts]
    return environment.get_template("page.html").render(
        title=title,
        subtitle=subtitle,
        version=version("proxytools-spans"),
        sections=sections,
        policy=_policy(scripts),
        css=Markup(_file(loader, environment, "page.css")),  # the project's own
        charts=embedded(charts),
        dark=embedded(DARK),
        gallery=embedded(gallery) if gallery else None,
        scripts=[Markup(script) for script in scripts],  # the project's own, plotly
    )


def embedded(content: Any) -> Markup:
    r"""JSON that no text in it can end, whatever it says.

    Examples
    --------
    >>> embedded({"id": "</script><b>"})
    Markup('{"id":"\\u003c/script\\u003e\\u003cb\\u003e"}')
    """
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text)  # nothing is left that could be markup


def _policy(scripts: Sequence[str]) -> str:
    """Run these scripts alone, and load nothing from anywhere."""
    hashes = (base64.b64encode(hashlib.sha256(text.encode()).digest()) for text in scripts)
    own = " ".join(f"'sha256-{digest.decode()}'" for digest in hashes)
    return (
        f"default-src 'none'; script-src {own}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _inline(script: str) -> str:
    """Return a script that can stand inside a page, with the line ends that a parser leaves."""
    return re.sub("</(script)", r"<\\/\1", script.replace("\r\n", "\n"), flags=re.IGNORECASE)


def _file(loader: jinja2.PackageLoader, environment: jinja2.Environment, name: str) -> str:
    return loader.get_source(environment, name)[0]


def _numeric(table: Table) -> list[int]:
    """Columns whose cells are all numbers."""
    return [
        place
        for place in range(1, len(table.columns))
        if all(_NUMBER.fullmatch(str(row[place])) for row in table.rows)
    ]
