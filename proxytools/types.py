"""The nouns of the project: windows, spans, features, soft labels and the proxy contract.

Shapes: ``N`` windows of ``T`` bars, ``F`` features, ``S`` spans. Everything here is immutable and
already valid: files are checked once, at the door (`proxytools.io`), never again further in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float = NDArray[np.floating]
Int = NDArray[np.int64]
Bool = NDArray[np.bool_]

OHLC = ("open", "high", "low", "close")


@dataclass(frozen=True, eq=False)
class Spans:
    """Half-open bar intervals ``[start, stop)`` inside windows, sorted by window, then start.

    Touching spans are legal and stay distinct. A window has none, one or several.

    Parameters
    ----------
    window, start, stop : (S,) int64
        The window a span lies in, its first bar, and the bar after its last.
    n_windows : int
        How many windows there are, those without a span included.
    label : (S,) int64, optional
        Class code, an index into `SpanDataset.classes`; 0 where not given.
    score : (S,) float64, optional
        Confidence of a detection; 1 where not given (a mark).

    Examples
    --------
    >>> spans = Spans.of([[(1, 3)], [], [(0, 1), (1, 4)]])
    >>> spans.count
    array([1, 0, 2])
    >>> spans.mask(4)
    array([[0, 1, 1, 0],
           [0, 0, 0, 0],
           [1, 1, 1, 1]], dtype=uint8)
    """

    window: Int
    start: Int
    stop: Int
    n_windows: int
    label: Int = None  # type: ignore[assignment]  # filled in __post_init__
    score: NDArray[np.float64] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        size = len(self.window)
        columns = {
            "window": np.asarray(self.window, np.int64),
            "start": np.asarray(self.start, np.int64),
            "stop": np.asarray(self.stop, np.int64),
            "label": np.zeros(size, np.int64) if self.label is None else np.asarray(self.label),
            "score": np.ones(size) if self.score is None else np.asarray(self.score, np.float64),
        }
        order = np.lexsort((columns["start"], columns["window"]))
        for name, values in columns.items():
            object.__setattr__(self, name, values[order])

    @classmethod
    def of(cls, per_window: Sequence[Sequence[tuple[int, int]]]) -> Self:
        """Spans from one list of ``(start, stop)`` a window."""
        rows = [(w, s, e) for w, spans in enumerate(per_window) for s, e in spans]
        window, start, stop = np.array(rows, np.int64).reshape(-1, 3).T
        return cls(window, start, stop, len(per_window))

    def __len__(self) -> int:
        return len(self.window)

    @property
    def length(self) -> Int:
        """(S,) bars in each span."""
        return self.stop - self.start

    @property
    def count(self) -> Int:
        """(N,) spans in each window."""
        return np.bincount(self.window, minlength=self.n_windows)

    def mask(self, n_bars: int) -> NDArray[np.uint8]:
        """(N, n_bars) 1 where a bar lies in a span."""
        edges = np.zeros((self.n_windows, n_bars + 1), np.int32)  # (N, T+1)
        np.add.at(edges, (self.window, self.start), 1)
        np.add.at(edges, (self.window, self.stop), -1)
        return (edges.cumsum(axis=1)[:, :-1] > 0).astype(np.uint8)

    def take(self, windows: ArrayLike) -> Spans:
        """Spans of the chosen windows (an index or a boolean array), renumbered in that order."""
        chosen = np.arange(self.n_windows)[np.asarray(windows)]
        first = np.searchsorted(self.window, chosen)
        count = self.count[chosen]
        within = np.arange(count.sum()) - np.repeat(count.cumsum() - count, count)
        rows = np.repeat(first, count) + within
        return Spans(
            np.repeat(np.arange(len(chosen)), count),
            self.start[rows],
            self.stop[rows],
            len(chosen),
            self.label[rows],
            self.score[rows],
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Spans], windows: Sequence[Int], n_windows: int) -> Self:
        """Join spans of disjoint sets of windows; ``windows[i]`` holds the places of part ``i``.

        Examples
        --------
        >>> a, b = Spans.of([[(0, 2)]]), Spans.of([[], [(1, 3)]])
        >>> Spans.concatenate([a, b], [np.array([1]), np.array([0, 2])], 3).window
        array([1, 2])
        """
        pairs = list(zip(parts, windows, strict=True))
        window = np.concatenate([at[part.window] for part, at in pairs])
        start, stop, label, score = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("start", "stop", "label", "score")
        )
        return cls(window, start, stop, n_windows, label, score)


@dataclass(frozen=True, eq=False)
class Windows:
    """``N`` windows of ``T`` consecutive bars, and where they came from.

    Parameters
    ----------
    ohlc : (N, T, 4) float64
        Open, high, low, close; finite, ``low <= open, close <= high``. Price units are free.
    ids : (N,) str
        One name a window, unique.
    parent : (N,) str, optional
        Windows cut from one parent share its name (``base_window_id``); "" for none.
    series : (N,) str, optional
        The recording or symbol a window was cut from.
    offset : (N,) int64, optional
        Position of the first bar in its series.
    time : (N, T) datetime64[ns], optional
        UTC time at which each bar opens.
    """

    ohlc: NDArray[np.float64]
    ids: NDArray[np.str_]
    parent: NDArray[np.str_] | None = None
    series: NDArray[np.str_] | None = None
    offset: Int | None = None
    time: NDArray[np.datetime64] | None = None

    def __len__(self) -> int:
        return len(self.ohlc)

    @property
    def n_bars(self) -> int:
        """Bars in each window, ``T``."""
        return int(self.ohlc.shape[1])

    def take(self, windows: ArrayLike) -> Windows:
        """Return the chosen windows, in that order."""
        index = np.asarray(windows)
        columns = {f.name: getattr(self, f.name) for f in fields(self)}
        chosen: dict[str, Any] = {k: None if v is None else v[index] for k, v in columns.items()}
        return Windows(**chosen)


@dataclass(frozen=True, eq=False)
class SpanDataset:
    """Windows with what is known of their spans.

    Parameters
    ----------
    windows : Windows
    spans : Spans
        The marks. A window with ``labelled`` false has none.
    labelled : (N,) bool
        Whether someone looked at the window; "labelled, no span" is not "unlabelled".
    classes : tuple of str
        Names of the span classes; ``spans.label`` indexes it.
    """

    windows: Windows
    spans: Spans
    labelled: Bool
    classes: tuple[str, ...] = ("expansion",)

    def __len__(self) -> int:
        return len(self.windows)

    @property
    def n_bars(self) -> int:
        """Bars in each window, ``T``."""
        return self.windows.n_bars

    @property
    def mask(self) -> NDArray[np.uint8]:
        """(N, T) 1 where a bar lies in a marked span."""
        return self.spans.mask(self.n_bars)

    def take(self, windows: ArrayLike) -> SpanDataset:
        """Return the chosen windows and their marks, in that order."""
        index = np.asarray(windows)
        return replace(
            self,
            windows=self.windows.take(index),
            spans=self.spans.take(index),
            labelled=self.labelled[index],
        )


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """One number per bar and feature, computed once for all windows.

    Parameters
    ----------
    values : (N, T, F) float32
        Finite.
    names : tuple of str
        ``F`` stable names.
    lookback_bars, lookahead_bars : int
        The most bars before and after its own that any feature of the set reads.
    """

    values: NDArray[np.float32]
    names: tuple[str, ...]
    lookback_bars: int
    lookahead_bars: int

    def take(self, windows: ArrayLike) -> FeatureSet:
        """Return the features of the chosen windows, in that order."""
        return replace(self, values=self.values[np.asarray(windows)])


@dataclass(frozen=True, eq=False)
class SoftLabels:
    """A proxy's probability for every bar, and whether the proxy had seen the window.

    Parameters
    ----------
    prob : (N, T) float32
        In [0, 1].
    source : str
        Name of the proxy.
    held_out : (N,) bool
        True where the proxy (its search, stopping and threshold included) never saw the window.
    ids : (N,) str
        The windows' names.
    lookahead_bars : int
        The most later bars a probability depends on.
    """

    prob: NDArray[np.float32]
    source: str
    held_out: Bool
    ids: NDArray[np.str_]
    lookahead_bars: int


@runtime_checkable
class Proxy(Protocol):
    """Anything that gives each bar a probability of lying in a span.

    A proxy reads one named feature set (`proxytools.features.SETS`), so that the features of a
    data set are computed once, however many proxies and folds read them. `fit` uses the labelled
    windows of ``data`` alone and whatever it selects (parameters, stopping, thresholds) it selects
    on folds of its own inside them.
    """

    name: str
    feature_set: str

    def fit(self, features: FeatureSet, data: SpanDataset, target: Float | None = None) -> Proxy:
        """Learn from ``data.mask``, or from ``target`` (N, T) in [0, 1] where it is given.

        Returns the fitted proxy, which need not be the one that was asked.
        """
        ...

    def predict(self, features: FeatureSet) -> NDArray[np.float32]:
        """(N, T) probability of lying in a span."""
        ...

    def detect(self, features: FeatureSet) -> Spans:
        """Spans, with scores."""
        ...
