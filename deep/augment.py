"""More windows to learn from: upside down, backwards, jittered, or cut into overlapping children.

A variant of a window is learnt from wherever the window is, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from deep.settings import Settings
from proxytools import features as feature_sets
from proxytools.errors import InputError
from proxytools.types import FeatureSet, Int, SpanDataset, Spans

OHLC = NDArray[np.float64]


def variants(ohlc: OHLC, settings: Settings, seed: int) -> Iterator[tuple[OHLC, bool]]:
    """Yield bars (N, T, 4) as they are, then every variant of them, and whether time is reversed.

    Each of ``mirror``, ``backwards`` and ``jitter`` doubles what there is.

    Examples
    --------
    >>> settings = Settings(mirror=True, backwards=True)
    >>> [backwards for _, backwards in variants(np.ones((1, 2, 4)), settings, seed=0)]
    [False, False, True, True]
    """
    steps: list[tuple[bool, Callable[[OHLC], OHLC], bool]] = [
        (settings.mirror, upside_down, False),
        (settings.backwards, backwards, True),
        (settings.jitter > 0, lambda x: jittered(x, settings.jitter, seed), False),
    ]
    made = [(ohlc, False)]
    for wanted, change, turns in steps:
        if wanted:
            made += [(change(bars), before != turns) for bars, before in made]
    yield from made


def varied(
    features: FeatureSet, ohlc: OHLC, settings: Settings, seed: int
) -> tuple[NDArray[np.float32], list[bool]]:
    """(V * N, T, F) features of windows and then of every variant, and which are backwards."""
    ways, values = list[bool](), []
    for bars, back in variants(ohlc, settings, seed):
        own = feature_sets.compute(bars, features.names) if ways else features
        values.append(own.values)  # (N, T, F)
        ways.append(back)
    return np.concatenate(values), ways


def turned(target: NDArray[np.float32], ways: Sequence[bool]) -> NDArray[np.float32]:
    """(V * N, T) one number a bar of as many variants of the same windows, true for backwards."""
    return np.concatenate([target[:, ::-1] if back else target for back in ways])


def upside_down(ohlc: OHLC) -> OHLC:
    """Reflect prices about the middle of their window's range: up is down.

    Examples
    --------
    >>> upside_down(np.array([[[1.0, 3, 0, 2], [2, 5, 2, 4]]]))
    array([[[4., 5., 2., 3.],
            [3., 3., 0., 1.]]])
    """
    middle = ohlc.max((1, 2), keepdims=True) + ohlc.min((1, 2), keepdims=True)  # (N, 1, 1)
    turned: OHLC = (middle - ohlc)[..., [0, 2, 1, 3]]
    return turned


def backwards(ohlc: OHLC) -> OHLC:
    """Bars (N, T, 4) in reverse order; a bar opens where it closed.

    Examples
    --------
    >>> backwards(np.array([[[1.0, 3, 0, 2], [2, 5, 2, 4]]]))
    array([[[4., 5., 2., 2.],
            [2., 3., 0., 1.]]])
    """
    return ohlc[:, ::-1, [3, 1, 2, 0]]


def jittered(ohlc: OHLC, scale: float, seed: int) -> OHLC:
    """Add normal noise to every price, ``scale`` times the range of its window.

    High and low are then again the largest and the smallest of their bar.
    """
    extent = ohlc.max((1, 2), keepdims=True) - ohlc.min((1, 2), keepdims=True)  # (N, 1, 1)
    noisy: OHLC = ohlc + scale * extent * np.random.default_rng(seed).standard_normal(ohlc.shape)
    noisy[..., 1], noisy[..., 2] = noisy.max(2), noisy.min(2)
    return noisy


def spans_backwards(spans: Spans, n_bars: int) -> Spans:
    """Spans of the same windows of ``n_bars`` bars read backwards.

    Examples
    --------
    >>> back = spans_backwards(Spans.of([[(1, 3)]]), n_bars=10)
    >>> back.start, back.stop
    (array([7]), array([9]))
    """
    start, stop = n_bars - spans.stop, n_bars - spans.start
    return Spans(spans.window, start, stop, spans.n_windows, spans.label, spans.score)


def repeated(spans: Spans, n_bars: int, ways: Sequence[bool]) -> Spans:
    """Spans of as many variants of the same windows, one after the other, true for backwards."""
    n = spans.n_windows
    parts = [spans_backwards(spans, n_bars) if back else spans for back in ways]
    places = [np.arange(n) + k * n for k in range(len(ways))]
    return Spans.concatenate(parts, places, len(ways) * n)


def children(data: SpanDataset, n_bars: int, stride: int) -> SpanDataset:
    """Cut every window into overlapping ones; children of a window are one group.

    What a child shows of a span is its span, however little: the segmental head knows that a
    window's edge may cut. A child that shows none is labelled, no span.

    Parameters
    ----------
    n_bars, stride : int
        Bars of a child, and from one child's first bar to the next's.

    Raises
    ------
    InputError
        Children would be longer than the windows.

    Examples
    --------
    >>> from proxytools import synthetic
    >>> data = synthetic.planted(2, preset="easy", seed=0, n_bars=60).data
    >>> cut = children(data, n_bars=40, stride=5)
    >>> len(cut), cut.n_bars, cut.windows.parent[:3]
    (10, 40, array(['w00000', 'w00000', 'w00000'], dtype='<U6'))
    """
    windows, spans = data.windows, data.spans
    if n_bars > data.n_bars:
        raise InputError(
            "child bars", got=str(n_bars), expected=f"at most the {data.n_bars} bars of a window"
        )
    parent, offset = _places(len(data), data.n_bars, n_bars, stride)
    bars = offset[:, None] + np.arange(n_bars)  # (N * C, n_bars)
    known = windows.ids if windows.parent is None else windows.parent
    family = np.where(known == "", windows.ids, known)
    cut = replace(
        windows.take(parent),
        ohlc=windows.ohlc[parent[:, None], bars],
        ids=np.array([f"{windows.ids[p]}+{o}" for p, o in zip(parent, offset, strict=True)]),
        parent=family[parent],
        offset=None if windows.offset is None else windows.offset[parent] + offset,
        time=None if windows.time is None else windows.time[parent[:, None], bars],
    )
    own = spans.take(parent)
    start = np.clip(own.start - offset[own.window], 0, n_bars)
    stop = np.clip(own.stop - offset[own.window], 0, n_bars)
    seen = stop > start
    shown = Spans(own.window[seen], start[seen], stop[seen], len(parent), own.label[seen])
    return replace(data, windows=cut, spans=shown, labelled=data.labelled[parent])


def children_of(values: NDArray[np.float32], n_bars: int, stride: int) -> NDArray[np.float32]:
    """Cut one number a bar (N, T) as `children` cuts windows."""
    n, n_parent_bars = values.shape
    parent, offset = _places(n, n_parent_bars, n_bars, stride)
    cut: NDArray[np.float32] = values[parent[:, None], offset[:, None] + np.arange(n_bars)]
    return cut


def _places(n: int, n_parent_bars: int, n_bars: int, stride: int) -> tuple[Int, Int]:
    """(N * C,) parent and first bar of each child."""
    first = np.arange(0, n_parent_bars - n_bars + 1, stride)  # (C,)
    return np.repeat(np.arange(n), len(first)), np.tile(first, n)
