"""The whole job: from run directories to a file."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from proxytools.report import (
    described,
    gallery,
    html,
    insight,
    origin,
    refits,
    runs,
    scored,
    signal,
    source,
    summary,
    training,
    trust,
)
from proxytools.report.blocks import Gallery, Section
from proxytools.report.scored import Scored
from proxytools.types import SpanDataset

Track = Callable[[str], Callable[[Sequence[Any]], Iterable[Any]]]


def _silent(_: str) -> Callable[[Sequence[Any]], Iterable[Any]]:
    return iter


def report(
    paths: Sequence[Path],
    out: Path,
    *,
    data: Path | None = None,
    spans: Path | None = None,
    labelled: Path | None = None,
    learning_curve: bool = False,
    threads: int = 0,
    command: Sequence[str] = (),
    track: Track = _silent,
) -> None:
    """Write one page about one or several runs of one data set.

    Parameters
    ----------
    paths : sequence of Path
        Run directories of ``proxytools fit``, ``correlate``, ``demo`` or ``deep train``.
    out : Path
        The HTML file. It needs no other file and no network.
    data, spans, labelled : Path, optional
        Where the runs' input files lie now, if they moved; they must be the same files.
    learning_curve : bool
        Whether to refit the proxies on parts of their training windows as well: several times the
        cost of fitting them.
    threads : int
        For refits; 0 for all cores.
    command : sequence of str
        The words of the command that makes this page.
    track : callable, optional
        Gives, for a description, what wraps a sequence to show progress.

    Raises
    ------
    InputError
        A run is none or damaged, the data are not what it was made from, or runs are of
        different data.
    """
    read = runs.read_all(paths)
    found = source.read(read, data=data, spans=spans, labelled=labelled)
    own = scored.score(read, found.data)
    lines, gate = signal.lines(read, own), signal.gate_of(read)
    sections: list[Section | None] = [
        summary.section(found.data, read, own, lines, gate),
        described.section(found, read, own),
    ]
    if lines:
        sections.append(signal.section(lines, gate))
    if own:
        sections += [_gallery(own), trust.spans(own), trust.probabilities(own)]
        sections += _refitted(own, found.data, learning_curve, threads, track)
    sections.append(training.section([(run.label, run.training) for run in read if run.training]))
    created = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    sections.append(origin.section(read, command, created))
    names = ", ".join(run.label for run in read)
    page = html.page(found.name, f"{names} · {created}", [s for s in sections if s])
    half = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        half.write_text(page, encoding="utf-8", newline="\n")
        os.replace(half, out)
    finally:
        half.unlink(missing_ok=True)


def _gallery(own: Sequence[Scored]) -> Section:
    lead = (
        "Candles are hollow when price rises, filled when it falls. Shaded: marked. Thick bars: "
        "detected, a lane for each run. Lines: probability. Every window here was held out. Error "
        "is the mean squared difference of probability and mark; confidence, the highest "
        "probability"
    )
    if len(own) > 1:
        lead += "; disagreement, the mean range of probabilities that runs give a bar"
    blocks = [Gallery(gallery.payload(own))]
    return Section("gallery-of-windows", "Where is it right, where wrong?", f"{lead}.", blocks)


def _refitted(
    own: Sequence[Scored], data: SpanDataset, learning_curve: bool, threads: int, track: Track
) -> list[Section | None]:
    explained, curves, left_out = [], [], []
    for one in own:
        task = refits.prepare(one.run, data, threads)
        if isinstance(task, str):
            left_out.append((one.label, task))
            continue
        explained.append((one, *refits.explain(task, track(f"{one.label}: importance"))))
        if learning_curve:
            points = refits.learning_curve(task, track(f"{one.label}: learning curve"))
            curves.append((one, points))
    return [insight.section(explained, left_out), insight.learning(curves)]
