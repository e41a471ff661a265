"""Runs on common ground: the labelled windows that every one of them held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from proxytools import splits
from proxytools.errors import InputError
from proxytools.evaluate import CrossFit
from proxytools.report.blocks import DASHES, SERIES
from proxytools.report.runs import Run
from proxytools.types import SoftLabels, SpanDataset


@dataclass(frozen=True, eq=False)
class Scored:
    """What a run said of the common windows, and how it is drawn."""

    run: Run
    fitted: CrossFit
    folds: str
    place: int

    @property
    def label(self) -> str:
        """The run's name in the report."""
        return self.run.label

    @property
    def color(self) -> str:
        """Of its lines, the same all over the page."""
        return SERIES[self.place % len(SERIES)]

    @property
    def dash(self) -> str:
        """Pattern of its lines, for who does not tell colours apart."""
        return DASHES[self.place % len(DASHES)]


def score(runs: Sequence[Run], data: SpanDataset) -> list[Scored]:
    """Take the labelled windows that all runs with soft labels held out, in the data's order.

    Raises
    ------
    InputError
        A run knows windows that the data have not, or no window is common to all.
    """
    place = {name: i for i, name in enumerate(data.windows.ids.tolist())}
    rows: list[dict[int, int]] = []  # window of the data to row of the soft labels
    with_labels = [(run, run.held_out) for run in runs if run.held_out]
    for run, found in with_labels:
        strange = [name for name in found.soft.ids.tolist() if name not in place]
        n_bars = found.soft.prob.shape[1]
        if strange or n_bars != data.n_bars:
            raise InputError(
                str(run.path / "soft_labels.parquet"),
                got=f"the window {strange[0]!r}" if strange else f"windows of {n_bars} bars",
                expected="windows of the data" if strange else f"windows of {data.n_bars} bars",
                fix="Make the run again with this version",
            )
        windows = [place[name] for name in found.soft.ids.tolist()]
        unseen = zip(windows, found.soft.held_out, strict=True)
        rows.append({w: i for i, (w, held) in enumerate(unseen) if held and data.labelled[w]})
    if not rows:
        return []
    common = np.array(sorted(set.intersection(*map(set, rows))), np.int64)
    if len(common) == 0:
        raise InputError(
            ", ".join(str(run.path) for run, _ in with_labels),
            got="no labelled window that all of them held out",
            expected="runs of the same labelled windows",
            fix="Write a report for each run",
        )
    own = data.take(common)
    units = splits.resampling_units(own.windows, splits.groups(own.windows))
    scored: list[Scored] = []
    for (run, found), row in zip(with_labels, rows, strict=True):
        chosen = np.array([row[window] for window in common.tolist()])
        soft = SoftLabels(
            found.soft.prob[chosen],
            run.label,
            np.ones(len(chosen), bool),
            own.windows.ids,
            found.soft.lookahead_bars,
        )
        fitted = CrossFit(own, soft, found.spans.take(chosen), units, 0.0)
        scored.append(Scored(run, fitted, found.folds, len(scored)))
    return scored
