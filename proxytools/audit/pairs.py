"""Pairs of windows that are one and the same, nearly so, or share bars."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from proxytools import splits
from proxytools.splits.identical import shared_bars
from proxytools.splits.similar import near_copies
from proxytools.types import Bool, Int, SpanDataset

KINDS = ("duplicate", "near duplicate", "overlap")


@dataclass(frozen=True, eq=False)
class Pairs:
    """Pairs of windows, in order of the first, then the second.

    Attributes
    ----------
    a, b : (P,) int64
        The windows, the earlier one first.
    kind : (P,) int64
        Index into `KINDS`.
    similarity : (P,) float32
        Of their shapes, see `proxytools.splits.similar`; 1 for a duplicate.
    same_marks : (P,) bool
        Whether two duplicates are marked alike, so far as both are labelled; true for overlaps.
    apart : (P,) bool
        Whether they stand in different groups, so that folds may part them.
    """

    a: Int
    b: Int
    kind: Int
    similarity: NDArray[np.float32]
    same_marks: Bool
    apart: Bool

    def __len__(self) -> int:
        return len(self.a)


def pairs(data: SpanDataset) -> Pairs:
    """Find duplicates, near duplicates and windows that share bars.

    Shared bars are known by their prices (`proxytools.splits.identical`), whatever the file says
    of places and parents; a chain of overlaps is named by as many pairs as link it. Groups are
    those that folds respect: where a file declares places, they come from these.

    Examples
    --------
    >>> from proxytools import synthetic
    >>> data = synthetic.planted(5, seed=0).data.take([0, 1, 2, 1])
    >>> found = pairs(data)
    >>> [(int(a), int(b), KINDS[k]) for a, b, k in zip(found.a, found.b, found.kind)]
    [(1, 3, 'duplicate')]
    """
    ohlc = data.windows.ohlc
    alike, similarity = near_copies(ohlc)
    shared = np.sort(shared_bars(ohlc), axis=1)
    both = np.concatenate([shared, alike])
    both, place = np.unique(both, axis=0, return_index=True)
    known = np.concatenate([np.full(len(shared), np.nan), similarity])
    a, b = both.T
    same = (ohlc[a] == ohlc[b]).all(axis=(1, 2))
    kind = np.where(same, 0, np.where(place < len(shared), 2, 1))
    degree = np.where(same, 1.0, known[place]).astype(np.float32)
    group = splits.groups(data.windows)
    mask = data.mask
    marked_alike = (mask[a] == mask[b]).all(axis=1) | ~(data.labelled[a] & data.labelled[b])
    return Pairs(a, b, kind, degree, marked_alike | (kind == 2), group[a] != group[b])
