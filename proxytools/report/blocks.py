"""What a page is made of: sections of text, tables and charts.

Blocks hold plain text. Escaping for the page is the template's; only what goes into a chart, where
plotly would read tags, is escaped here (`tagless`).
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import plotly.graph_objects as go

# Light and dark: the page swaps these strings inside a figure when its theme changes.
INK, QUIET, GRID = "#1d2733", "#5b6673", "#dfe3e8"
MARK, GATE = "#e0a526", "#b0413e"
SERIES = ("#1f5fa8", "#c2410c", "#0f766e", "#7e3f98", "#b0246b", "#6b6a12")
RISING, FALLING = "#2b7a5d", "#b9403b"
DARK = {
    INK: "#e6e9ee",
    QUIET: "#9aa5b3",
    GRID: "#2e3742",
    MARK: "#e6b84a",
    GATE: "#ef8a84",
    RISING: "#56c596",
    FALLING: "#f0807a",
    **dict(
        zip(SERIES, ("#6fb0f5", "#fb9a5b", "#3fd0bf", "#cfa2e6", "#f487bd", "#cccb5a"), strict=True)
    ),
}
NONE = "\N{EN DASH}"  # in place of a number
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    kind: ClassVar[str] = "text"
    text: str


@dataclass(frozen=True)
class Table:
    """Rows under a caption; the first cell of each names it."""

    kind: ClassVar[str] = "table"
    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class Facts:
    """Short facts under a caption: a name and a value each."""

    kind: ClassVar[str] = "facts"
    caption: str
    items: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Sentences:
    """Sentences, each with a level: good, note or problem; ``about`` whom."""

    kind: ClassVar[str] = "sentences"
    items: Sequence[tuple[str, str]]
    about: str = ""


@dataclass(frozen=True)
class Tiles:
    """Key figures: a name, a value, and what goes with it."""

    kind: ClassVar[str] = "tiles"
    items: Sequence[tuple[str, str, str]]


@dataclass(frozen=True)
class Chart:
    """A plotly figure, in words as well: ``summary`` has its key numbers, ``table`` all of them."""

    kind: ClassVar[str] = "chart"
    id: str
    title: str
    summary: str
    figure: Mapping[str, Any]
    height: int = 340
    table: Table | None = None
    half: bool = False


@dataclass(frozen=True)
class Gallery:
    """Windows to page through, drawn by the page itself."""

    kind: ClassVar[str] = "gallery"
    payload: Mapping[str, Any]


Block = Text | Table | Facts | Sentences | Tiles | Chart | Gallery


@dataclass(frozen=True)
class Section:
    """A heading, the question it answers, and blocks."""

    id: str
    title: str
    lead: str
    blocks: Sequence[Block] = field(default_factory=list)


def tagless(text: Any) -> str:
    """Text that plotly shows as it is."""
    return html.escape(str(text), quote=False)


def figure(traces: Sequence[Any], *, x: str, y: str, **layout: Any) -> dict[str, Any]:
    """Return plotly's JSON of a figure in the style of the page; axes are named ``x`` and ``y``."""
    axis = {
        "gridcolor": GRID,
        "zerolinecolor": GRID,
        "linecolor": GRID,
        "tickcolor": GRID,
        "automargin": True,
        "title": {"font": {"size": 13, "color": QUIET}, "standoff": 10},
    }
    drawn = go.Figure(traces, layout_template=go.layout.Template())
    drawn.update_layout(
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13, "color": INK},
        margin={"l": 52, "r": 12, "t": 12, "b": 44},
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom", "itemclick": False},
        hoverlabel={"font": {"family": "system-ui, sans-serif"}},
        dragmode=False,
    )
    drawn.update_xaxes(**axis)
    drawn.update_yaxes(**axis)
    drawn.update_xaxes(title_text=x)
    drawn.update_yaxes(title_text=y)
    drawn.update_layout(**layout)
    plain: dict[str, Any] = _plain(drawn.to_plotly_json())
    return plain


def _plain(value: Any) -> Any:
    """Arrays as lists, numbers to five significant digits, nan as a gap."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return float(f"{value:.5g}") if np.isfinite(value) else None
    return value


def number(value: float | None, places: int = 3) -> str:
    """Show a number, or a dash for none."""
    return NONE if value is None or not np.isfinite(value) else f"{value:.{places}f}"


def interval(low: float, high: float) -> str:
    """Show a 95 % interval."""
    return f"{low:.3f} to {high:.3f}"


def percent(part: float, whole: float) -> str:
    """Show a share in whole percent, or a dash of nothing."""
    return f"{part / whole:.0%}".replace("%", " %") if whole else NONE
