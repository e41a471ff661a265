"""What benchmarks have in common: the file of what was found, and differences with intervals."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from proxytools.exchange.files import write_text
from proxytools.metrics.resample import f1_paired_interval, paired_interval

RESULTS = Path(__file__).parent / "results"
LIBRARIES = ("numpy", "scikit-learn", "lightgbm", "xgboost", "numba", "torch")
Row = dict[str, Any]
Cell = tuple[Any, ...]
Said = tuple[NDArray[Any], NDArray[Any]]  # of test windows: (N, T) probabilities, (N, 3) counts
Interval = tuple[float, float, float]  # middle, low, high


def machine() -> Row:
    """Say what the figures were measured on, and when."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in LIBRARIES},
    }


def write(out: Path, report: Row) -> None:
    """Write a report, all of it or nothing, and beside it what it was measured on."""
    out.parent.mkdir(parents=True, exist_ok=True)
    write_text(out, json.dumps({"machine": machine()} | report, indent=1) + "\n")


class Cells:
    """Rows of a benchmark, written after each: an interrupted run goes on where it stopped.

    Parameters
    ----------
    out : Path or None
        The file; None keeps nothing.
    columns : sequence of str
        Those that say what a row is of.
    report : callable
        What else is written, made of all rows.
    again : iterable of cells
        What is to be measured anew; a row that is there stays until then.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for _ in range(2):
    ...         cells = Cells(Path(folder, "squares.json"), ["n"], lambda rows: {"of": len(rows)})
    ...         for (n,) in cells.missing([(1,), (2,)]):
    ...             cells.add({"n": n, "square": n * n})
    {'n': 1, 'square': 1}
    {'n': 2, 'square': 4}
    >>> cells.rows
    [{'n': 1, 'square': 1}, {'n': 2, 'square': 4}]
    """

    def __init__(
        self,
        out: Path | None,
        columns: Sequence[str],
        report: Callable[[list[Row]], Row],
        *,
        again: Iterable[Cell] = (),
    ) -> None:
        self.out, self.columns, self.report = out, columns, report
        self.earlier: Row = json.loads(out.read_text()) if out and out.exists() else {}
        self._rows = {self._cell(row): row for row in self.earlier.get("rows", [])}
        self._stale = set(again)
        self._measured_on: Row | None = self.earlier.get("machine")

    @property
    def rows(self) -> list[Row]:
        """All rows there are."""
        return list(self._rows.values())

    def missing(self, cells: Iterable[Cell]) -> Iterator[Cell]:
        """Yield the cells, values of the columns, that are not measured when their turn comes."""
        return (cell for cell in cells if cell not in self._rows or cell in self._stale)

    def add(self, *rows: Row) -> None:
        """Put rows in, print them, write all."""
        for row in rows:
            self._rows[self._cell(row)] = row
            self._stale.discard(self._cell(row))
            print(row, flush=True)
        self._measured_on = None
        self.write()

    def write(self) -> None:
        """Write all rows and what is made of them; of rows measured before, on what and when."""
        if self.out:
            known = {"machine": self._measured_on} if self._measured_on else {}
            write(self.out, known | self.report(self.rows) | {"rows": self.rows})

    def _cell(self, row: Row) -> Cell:
        return tuple(row[name] for name in self.columns)


def interval(values: Sequence[float], level: float = 0.95) -> Interval:
    """Mean, and Student's t interval of it.

    Examples
    --------
    >>> [round(value, 3) for value in interval([0.1, 0.2, 0.3])]
    [0.2, -0.048, 0.448]
    """
    mean, n = float(np.mean(values)), len(values)
    half = student.ppf((1 + level) / 2, n - 1) * np.std(values, ddof=1) / np.sqrt(n)
    return mean, float(mean - half), float(mean + half)


def said(path: Path) -> Said:
    """Read what ``numpy.savez`` kept of it: ``prob`` and ``counts``."""
    with np.load(path) as kept:
        return kept["prob"], kept["counts"]


def paired(
    ours: list[Said], theirs: list[Said], masks: list[NDArray[Any]]
) -> tuple[Interval, Interval]:
    """Mean differences over seeds in r and in span F1, with their 95 % intervals.

    Of each seed a paired bootstrap over its test windows. Pooled over seeds, r would also tell how
    alike their probabilities are scaled, which nobody asks.
    """
    r, f1 = [], []
    for (prob, counts), (other, others), mask in zip(ours, theirs, masks, strict=True):
        units = np.arange(len(mask))
        r.append(paired_interval(prob, other, mask, units))
        f1.append(f1_paired_interval(counts, others, units))
    return mean_of(r), mean_of(f1)


def mean_of(intervals: Sequence[Interval]) -> Interval:
    """Mean of independent estimates: their half-widths add up in squares.

    Examples
    --------
    >>> mean_of([(0.1, 0.0, 0.2), (0.3, 0.2, 0.4)])
    (0.2, 0.129..., 0.270...)
    """
    middle, low, high = np.array(intervals).T
    mean, half = float(middle.mean()), float(np.hypot.reduce(high - low)) / 2 / len(middle)
    return mean, mean - half, mean + half
