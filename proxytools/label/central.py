"""Which window answers for which bar: overlapping windows, and each bar's most central one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from proxytools import io
from proxytools.types import Int

BARS_A_BATCH = 256 * 105  # bars in the windows that are scored together


@dataclass(frozen=True, eq=False)
class Batch:
    """Windows to score together, and the bars that each of them is asked for.

    Its length is the number of bars it is asked for.

    Attributes
    ----------
    ohlc : (B, T, 4) float64
    window, bar : (n,) int64
        Where in the batch each wanted bar lies, in the order of the series.
    series : str
    first : int
        Index in its series of the first wanted bar; the others follow one by one.
    time : (n,) datetime64[ns] or None
        When the wanted bars open, UTC.
    ends : bool
        Whether its last wanted bar is the last of a gap-free run.
    """

    ohlc: NDArray[np.float64]
    window: Int
    bar: Int
    series: str
    first: int
    time: NDArray[np.datetime64] | None
    ends: bool

    def __len__(self) -> int:
        return len(self.bar)


def batches(pieces: Iterable[io.Piece], n_bars: int, stride: int | None = None) -> Iterator[Batch]:
    """Cut gap-free runs of bars, given piece by piece, into batches of overlapping windows.

    Parameters
    ----------
    pieces : iterable of Piece
    n_bars : int
        Of a window.
    stride : int, optional
        Bars from one window to the next, from 1 to ``n_bars``; by default a third of a window.

    Examples
    --------
    >>> run = io.Piece("es", 0, None, np.ones((7, 4)), first=True, last=True)
    >>> (batch,) = batches([run], n_bars=3)
    >>> batch.window, batch.bar
    (array([0, 0, 1, 2, 3, 4, 4]), array([0, 1, 1, 1, 1, 1, 2]))
    """
    stride = stride or max(1, n_bars // 3)
    width = max(1, BARS_A_BATCH // n_bars)  # windows a batch
    step = width * stride
    run: _Run | None = None
    for piece in pieces:
        run = _Run.of(piece) if piece.first or run is None else run.extended(piece)
        # One window more than a batch must be whole: it ends the last window's share of bars.
        while len(run.ohlc) >= step + n_bars:
            stop = _share(step - stride, step, n_bars)
            yield run.batch(stride * np.arange(width), n_bars, stop=stop)
            run = run.advanced(step, stop)
        if piece.last:
            yield from run.rest(n_bars, stride)
            run = None


Place = TypeVar("Place", int, Int)


def _share(start: Place, following: Place, n_bars: int) -> Place:
    """First bar that is more central in the following window than in the one at ``start``."""
    return (start + following + n_bars - 1) // 2 + 1


@dataclass(frozen=True, eq=False)
class _Run:
    """The bars of a gap-free run from the start of its next window on.

    Those before ``asked`` are answered: windows before were more central to them.
    """

    ohlc: NDArray[np.float64]  # (n, 4)
    time: NDArray[np.datetime64] | None  # (n,)
    series: str
    offset: int
    asked: int

    @classmethod
    def of(cls, piece: io.Piece) -> _Run:
        return cls(piece.ohlc, piece.time, piece.series, piece.offset, 0)

    def extended(self, piece: io.Piece) -> _Run:
        time = None
        if self.time is not None and piece.time is not None:
            time = np.concatenate([self.time, piece.time])
        return replace(self, ohlc=np.concatenate([self.ohlc, piece.ohlc]), time=time)

    def advanced(self, step: int, asked: int) -> _Run:
        """Forget the bars before the next window; all of them are answered."""
        time = None if self.time is None else self.time[step:]
        return _Run(self.ohlc[step:], time, self.series, self.offset + step, asked - step)

    def rest(self, n_bars: int, stride: int) -> Iterator[Batch]:
        """Windows at the end of the run: the last one ends with its last bar."""
        n = len(self.ohlc)
        if n < n_bars:  # the whole run is shorter than a window
            yield self.batch(np.zeros(1, np.int64), n, stop=n, ends=True)
            return
        starts = np.arange(0, n - n_bars + 1, stride)
        if starts[-1] != n - n_bars:
            starts = np.append(starts, n - n_bars)
        yield self.batch(starts, n_bars, stop=n, ends=True)

    def batch(self, starts: Int, n_bars: int, *, stop: int, ends: bool = False) -> Batch:
        """Build the batch of windows at ``starts``, asked for all bars up to ``stop``."""
        shares = _share(starts[:-1], starts[1:], n_bars)  # (B - 1,)
        wanted = np.arange(self.asked, stop)
        window = np.searchsorted(shares, wanted, side="right")
        return Batch(
            self.ohlc[starts[:, None] + np.arange(n_bars)],  # (B, T, 4)
            window,
            wanted - starts[window],
            self.series,
            self.offset + self.asked,
            None if self.time is None else self.time[self.asked : stop],
            ends,
        )
