"""Marks weighed against the mistakes that could have made them.

A mark is right, or it was put where there is nothing (false span), or an edge of it slipped
(shifted boundary); a stretch without a mark is right, or a span in it was overlooked (missed span).
`proxytools.audit.placement` says how probable each span is from prices alone. A right mark lies
where a span is, a false one anywhere, a shifted one anywhere near a span, and each mistake is taken
to befall 2 spans in 100. A suspect's score is then, by Bayes' rule, the probability of its mistake:
an unlikely place alone does not condemn a mark, since most marks are right. To estimate the rates
too (expectation maximisation, as Dawid and Skene 1979) changes next to nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from proxytools.audit.placement import REACH, Placed, place
from proxytools.types import Bool, Float, Int, Spans

KINDS = ("missed span", "false span", "shifted boundary")
FLAG = 0.5  # more probably wrong than right
RATE = 0.02  # of each mistake
Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Suspects:
    """Possible mistakes, most probable first.

    Attributes
    ----------
    window : (K,) int64
    kind : (K,) int64
        Index into `KINDS`.
    score : (K,) float64
        Probability that it is a mistake, in [0, 1].
    start, stop : (K,) int64
        The mark; -1 for a missed span.
    better_start, better_stop : (K,) int64
        Where the span more probably lies; -1 for a false span.
    """

    window: Int
    kind: Int
    score: Array
    start: Int
    stop: Int
    better_start: Int
    better_stop: Int

    def __len__(self) -> int:
        return len(self.window)

    @property
    def flagged(self) -> Bool:
        """(K,) more probably a mistake than not."""
        flagged: Bool = self.score >= FLAG
        return flagged

    def take(self, rows: ArrayLike) -> Suspects:
        """Return the chosen ones, in that order."""
        chosen = np.asarray(rows)
        return Suspects(*(getattr(self, name)[chosen] for name in self.__dataclass_fields__))

    def worst(self, n_windows: int, kind: str | None = None) -> Array:
        """(N,) highest score of each window, of one kind or of any."""
        rows = slice(None) if kind is None else self.kind == KINDS.index(kind)
        score = np.zeros(n_windows)
        np.maximum.at(score, self.window[rows], self.score[rows])
        return score


def find(prob: Float, spans: Spans) -> Suspects:
    """Score every mark, and every stretch without one, by held-out probabilities.

    Parameters
    ----------
    prob : (N, T) float
        Held-out probability of lying in a span.
    spans : Spans
        The marks of the same windows, at least one.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> true = Spans.of([[(s, s + 5)] for s in rng.integers(2, 33, 80)])
    >>> prob = np.clip(0.1 + 0.6 * true.mask(40) + rng.normal(0, 0.05, (80, 40)), 0, 1)
    >>> start, stop = true.start.copy(), true.stop.copy()
    >>> start[7], stop[7] = (30, 35) if start[7] < 20 else (3, 8)
    >>> suspects = find(prob, Spans(true.window, start, stop, 80))
    >>> suspects.window[:2].tolist(), {KINDS[k] for k in suspects.kind[:2]} == set(KINDS[:2])
    ([7, 7], True)
    """
    regions, placed = place(prob, spans)
    marks = regions.start >= 0
    false, shifted = _mistaken(_take(placed, marks))
    missed = _missed(_take(placed, ~marks))
    n_marks, n_gaps = len(false), len(missed)
    none, mark, better = (
        np.full(n_marks, -1),
        (regions.start[marks], regions.stop[marks]),
        (placed.best_start, placed.best_stop),
    )
    unmarked = np.full(n_gaps, -1)
    columns = (
        np.concatenate([regions.window[~marks], regions.window[marks], regions.window[marks]]),
        np.repeat([0, 1, 2], [n_gaps, n_marks, n_marks]),
        np.concatenate([missed, false, shifted]),
        *(np.concatenate([unmarked, edge, edge]) for edge in mark),
        *(np.concatenate([edge[~marks], none, edge[marks]]) for edge in better),
    )
    found = Suspects(*columns)
    return found.take(np.lexsort((found.start, found.kind, found.window, -found.score)))


def _take(placed: Placed, rows: Bool) -> Placed:
    return Placed(*(getattr(placed, name)[rows] for name in placed.__dataclass_fields__))


def _mistaken(placed: Placed) -> tuple[Array, Array]:
    """(M,) probability that each mark is false, and that it is shifted."""
    slips = (2 * REACH + 1) ** 2 - 1
    right = (1 - 2 * RATE) * placed.marked
    false = RATE * placed.elsewhere / placed.n_candidates
    shifted = RATE * placed.near / slips
    total = np.maximum(right + false + shifted, np.finfo(float).tiny)
    return false / total, shifted / total


def _missed(placed: Placed) -> Array:
    """(G,) probability that a stretch without a mark holds a span."""
    missed = RATE * (1 - placed.none)
    score: Array = missed / np.maximum(missed + placed.none, np.finfo(float).tiny)
    return score
