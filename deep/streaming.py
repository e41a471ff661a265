"""Spans of a gap-free run whose scores arrive bit by bit, in memory that does not grow with it.

What comes out is what one pass over the whole run would give: each reader has its stream, which
hands out spans as soon as nothing that is still to come can change them.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numba
import numpy as np
from numpy.typing import NDArray

from deep.candidates import Candidates, candidates
from deep.lengths import LengthScores
from proxytools.decode import Decoder
from proxytools.types import Int

Array = NDArray[np.float64]
BLOCK = 8192  # bars whose spans are read off together
CONTEXT = 1024  # bars on either side of them, at least: what lies further off has no weight
LENGTHS = 16  # of the longest candidate, likewise


class Found(NamedTuple):
    """Spans of a run, in order; bars are counted from its first one."""

    start: Int  # (S,)
    stop: Int  # (S,)
    score: Array  # (S,)


class Stream(Protocol):
    """Spans from what arrives of a run."""

    @property
    def settled(self) -> int:
        """All spans that start before this bar are out, and those to come do not."""
        ...

    def push(self, values: NDArray[np.float32], *, ends: bool) -> Found:
        """Take (n, K) values of the next bars; ``ends`` says that the run ends with them."""
        ...


class ChainStream:
    """The segmental head's: candidates above the threshold, see `deep.matches`.

    The chain is summed over blocks with context on both sides. What a cut hides is taken as a
    window's edge takes it, as an average over all that may be there, and the chain forgets it: at
    each bar outside of spans both sides are independent. The best disjoint candidates are then
    chosen by one dynamic programme, which runs on from block to block.

    Parameters
    ----------
    length : LengthScores
        On the CPU.
    longest, threshold : int and float
        As in `deep.reading.MatchReader`.
    block, context : int
        Bars.
    """

    def __init__(
        self,
        length: LengthScores,
        longest: int,
        threshold: float,
        block: int = BLOCK,
        context: int = CONTEXT,
    ) -> None:
        self.length, self.longest, self.threshold = length, longest, threshold
        self.block, self.context = block, max(context, LENGTHS * longest)
        self._scores = np.empty((0, 0), np.float32)  # (n, 3 D) of the bars from `_first` on
        self._first = self._done = 0  # spans that stop up to `_done` were looked at
        self._selection = Selection(threshold, longest)

    @property
    def settled(self) -> int:
        """Spans that start before this bar are out."""
        return self._selection.origin

    def push(self, values: NDArray[np.float32], *, ends: bool) -> Found:
        """Take the (n, 3 D) scores of the next bars."""
        known = self._scores if len(self._scores) else values[:0]
        self._scores = np.concatenate([known, values])
        n_bars = self._first + len(self._scores)
        found = []
        while self._done < n_bars and (ends or n_bars >= self._done + self.block + self.context):
            stop = min(self._done + self.block, n_bars)
            near = self._candidates(stop, min(stop + self.context, n_bars))
            found.append(self._selection.push(near, stop, ends=ends and stop == n_bars))
            self._done = stop
        keep = max(self._done - self.context, self._first)
        self._scores, self._first = self._scores[keep - self._first :], keep
        return joined(found)

    def _candidates(self, stop: int, end: int) -> Candidates:
        """Candidates that stop in ``(done, stop]``, from the scores of the bars up to ``end``."""
        begin = max(self._done - self.context, 0)
        scores = self._scores[begin - self._first : end - self._first]
        near = candidates(scores, self.length, self.longest, self.threshold)
        own = slice(*np.searchsorted(near.stop, [self._done - begin, stop - begin], side="right"))
        return Candidates(near.start[own] + begin, near.stop[own] + begin, near.match[own])


class Selection:
    """Disjoint candidates of largest summed ``match - threshold``, as they arrive.

    One step a boundary between bars, as in `deep.matches.spans_above`. A choice is out once the
    best paths to all boundaries that a later candidate may start from have passed through it.

    Parameters
    ----------
    threshold : float
    longest : int
        Bars of the longest candidate.
    """

    def __init__(self, threshold: float, longest: int) -> None:
        self.threshold, self.longest, self.origin = threshold, longest, 0
        self._value = np.zeros(1)  # of boundaries from `origin` on
        self._length = np.zeros(1, np.int64)  # of the span chosen to stop there; 0 for none
        self._match = np.zeros(1)

    def push(self, new: Candidates, stop: int, *, ends: bool) -> Found:
        """Take all candidates that stop after those before and up to boundary ``stop``."""
        known = len(self._value)
        room = stop - self.origin + 1 - known
        self._value = np.concatenate([self._value, np.zeros(room)])
        self._length = np.concatenate([self._length, np.zeros(room, np.int64)])
        self._match = np.concatenate([self._match, np.zeros(room)])
        own = new._replace(start=new.start - self.origin, stop=new.stop - self.origin)
        _extend(known, *own, self.threshold, self._value, self._length, self._match)
        sure = int(_common(self._length, 0 if ends else self.longest))
        stops = _path(self._length, sure)
        length, match = self._length[stops], self._match[stops]
        stops += self.origin
        self.origin += sure
        self._value, self._length = self._value[sure:], self._length[sure:]
        self._match = self._match[sure:]
        return Found(stops - length, stops, match)


class BarStream:
    """The mask head's: a decoder reads runs of probable bars.

    Parameters
    ----------
    decoder : Decoder
    """

    def __init__(self, decoder: Decoder) -> None:
        self.decoder, self.settled = decoder, 0
        self._prob = np.empty(0, np.float32)  # of the bars from `settled` on

    def push(self, values: NDArray[np.float32], *, ends: bool) -> Found:
        """Take the (n, 1) probabilities of the next bars."""
        self._prob = np.concatenate([self._prob, values[:, 0]])
        sure = len(self._prob) if ends else self._free()
        spans = self.decoder.spans(self._prob[None, :sure])
        found = Found(spans.start + self.settled, spans.stop + self.settled, spans.score)
        self._prob = self._prob[sure:]
        self.settled += sure
        return found

    def _free(self) -> int:
        """Last place that no span reaches over: more bars below ``low`` than may be bridged."""
        low = np.flatnonzero(self._prob >= self.decoder.low)
        if not len(low):
            return len(self._prob)
        wide = self.decoder.max_gap + 1
        if len(self._prob) - low[-1] > wide:
            return len(self._prob)
        apart = np.flatnonzero(np.diff(low) > wide)
        return int(low[apart[-1] + 1]) if len(apart) else int(low[0])


def joined(parts: list[Found]) -> Found:
    """Put spans behind one another."""
    none = Found(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    return Found(*map(np.concatenate, zip(none, *parts, strict=True)))


@numba.njit(cache=True, nogil=True)
def _extend(
    first: int,
    start: Int,
    stop: Int,
    match: Array,
    threshold: float,
    value: Array,
    length: Int,
    chosen: Array,
) -> None:
    """Run the programme over the boundaries from ``first`` on."""
    k = 0
    for t in range(first, len(value)):
        value[t] = value[t - 1]
        while k < len(stop) and stop[k] == t:
            found = value[start[k]] + match[k] - threshold
            if found > value[t]:
                value[t], length[t], chosen[t] = found, t - start[k], match[k]
            k += 1


@numba.njit(cache=True, nogil=True)
def _common(length: Int, reach: int) -> int:
    """Last boundary on the best paths to all of the last ``reach + 1`` boundaries."""
    n = len(length)
    on_path = np.zeros(n, np.bool_)
    on_path[max(n - 1 - reach, 0) :] = True
    left = int(on_path.sum())
    t = n - 1
    while left > 1:
        if on_path[t]:
            before = t - max(length[t], 1)
            left -= 1 if on_path[before] else 0
            on_path[before] = True
        t -= 1
    while not on_path[t]:
        t -= 1
    return t


@numba.njit(cache=True, nogil=True)
def _path(length: Int, end: int) -> Int:
    """(S,) stops of the spans on the best path to a boundary."""
    stops = [0 for _ in range(0)]
    t = end
    while t > 0:
        if length[t]:
            stops.append(t)
        t -= max(length[t], 1)
    return np.array(stops)[::-1]
