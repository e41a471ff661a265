"""Which windows to mark next: those whose marks are worth most, no two of them alike.

A window's value is the squared error that the models expect of themselves on its bars. Taking the
most valuable ones outright fills a round with windows of one sort, on which thresholds are then
learnt that fit no others; so they are drawn at random, the more probably the more valuable, as in
the stochastic batches of Kirsch et al. 2023. Each one drawn puts aside what shares its bars or is a
near copy of it. Windows are cut from long bars one after the other, without regard to what is in
them, so that the place of a span in its window tells nothing; only the best are held, so memory
does not grow with the bars.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from proxytools import exchange, features, io, splits
from proxytools.errors import InputError
from proxytools.pool import Track, joined, unmarked, unseen
from proxytools.proxies.store import Model
from proxytools.splits.similar import ALIKE, shapes
from proxytools.types import Float, SpanDataset, Spans, Windows

KEPT = 20  # windows kept for each one that is asked for
POWER = 4  # of the value, in the odds that a window is drawn
Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Suggestions:
    """Windows to mark, the most valuable first.

    Attributes
    ----------
    data : SpanDataset
        Unlabelled.
    value : (N,) float64
        What each is worth, see `value`.
    spans : Spans
        What the first model detects in them.
    """

    data: SpanDataset
    value: Array
    spans: Spans

    def __len__(self) -> int:
        return len(self.data)


def value(prob: Float) -> Array:
    """(N,) expected squared error of a window's probabilities, summed over its bars.

    Parameters
    ----------
    prob : (M, N, T) float
        Probability of lying in a span, by ``M`` models; where they differ, their mean is unsure.

    Examples
    --------
    >>> value(np.array([[[0.0, 1.0], [0.4, 0.5]]])).round(2)
    array([0.  , 0.49])
    """
    mean = np.asarray(prob, np.float64).mean(axis=0)  # (N, T)
    return np.asarray((mean * (1 - mean)).sum(axis=1))


def priority(worth: Array, rng: np.random.Generator) -> Array:
    """(N,) numbers whose largest are a draw without return, with odds of ``worth**POWER``.

    Parameters
    ----------
    worth : (N,) float
        0 or more.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> first = [priority(np.array([1.0, 1.1]), rng).argmax() for _ in range(2000)]
    >>> round(float(np.mean(first)), 1), round(1.1**POWER / (1 + 1.1**POWER), 1)
    (0.6, 0.6)
    """
    least = np.finfo(float).tiny
    return np.asarray(POWER * np.log(np.maximum(worth, least)) + rng.gumbel(size=len(worth)))


def suggest(
    models: Sequence[Model],
    bars: Path,
    n: int,
    *,
    seed: int = 0,
    zone: str | None = None,
    gap: str | None = None,
    track: Track = lambda pieces, n_bars: pieces,
) -> Suggestions:
    """Choose windows of unlabelled bars to mark next.

    Parameters
    ----------
    models : sequence of Model
        At least one; the first draws the suggested spans. Windows that share bars with those any
        of them learnt from are left out.
    bars : Path
        Long bars, or windows parquet, of which the unlabelled are looked at.
    n : int
        Windows wanted; fewer come where there are no more.
    seed : int
        Of the draw.
    zone, gap : str, optional
        As in `proxytools.io.read`.
    track : callable, optional
        Wraps the pieces of long bars, or of windows, as they are worked through, to show progress;
        it is also given the number of bars, or windows, where the file tells it.

    Raises
    ------
    InputError
        The models read windows of different lengths, or there is no unlabelled window of theirs.
    """
    lengths = sorted({model.n_bars for model in models})
    if len(lengths) > 1:
        raise InputError(
            "models", got=f"windows of {lengths[0]} and {lengths[1]} bars", expected="one length"
        )
    rng = np.random.default_rng(seed)
    best: Windows | None = None
    worth, rank = np.empty(0), np.empty(0)
    for windows in unmarked(bars, lengths[0], zone, gap, track):
        windows = unseen(windows, models)
        if not len(windows):
            continue
        own = value(_prob(models, windows.ohlc))
        worth, rank = np.append(worth, own), np.append(rank, priority(own, rng))
        best = windows if best is None else joined(best, windows)
        order = np.argsort(-rank, kind="stable")[: KEPT * n]
        best, worth, rank = best.take(order), worth[order], rank[order]
    if best is None:
        raise InputError(
            str(bars),
            got="no window that is unlabelled and not learnt from",
            expected=f"{lengths[0]} bars in a row, or more, that nobody marked",
        )
    drawn = np.array(choose(best, rank, n))
    drawn = drawn[np.argsort(-worth[drawn], kind="stable")]
    return _suggestions(models[0], best.take(drawn), worth[drawn])


def choose(windows: Windows, rank: Array, n: int) -> list[int]:
    """Take the highest windows of which no two share bars or are near copies.

    Parameters
    ----------
    windows : Windows
    rank : (N,) float
    n : int
        At most so many are chosen.

    Examples
    --------
    >>> from proxytools import synthetic
    >>> windows = synthetic.planted(4, seed=0).data.windows.take([0, 1, 0, 2])
    >>> choose(windows, np.array([3.0, 1.0, 2.0, 0.0]), 3)
    [0, 1, 3]
    """
    place = replace(windows, time=None)  # at one moment there may be windows of several series
    vectors = shapes(windows.ohlc)
    free, chosen = np.ones(len(windows), bool), list[int]()
    for candidate in np.argsort(-rank, kind="stable").tolist():
        if len(chosen) == n:
            break
        if not free[candidate]:
            continue
        chosen.append(candidate)
        free &= splits.clear_of(place, place.take([candidate]))
        free &= vectors @ vectors[candidate] < ALIKE
        free &= (windows.ohlc != windows.ohlc[candidate]).any(axis=(1, 2))  # flat ones too
    return chosen


def write(found: Suggestions, out: Path) -> Path | None:
    """Write the windows, and beside them the spans to start from.

    The spans are CSV by window (``window_id``, ``start``, ``end``, ``label``, ``score``;
    half-open), as ``proxytools mark --suggestions`` takes them.

    Returns
    -------
    Path or None
        Where the spans stand; None where there are none.
    """
    drawn = spans_beside(out)
    if len(found.spans):
        detected = found.spans.count > 0
        exchange.write(drawn, replace(found.data, spans=found.spans, labelled=detected), "spans")
    io.write(out, found.data)
    return drawn if len(found.spans) else None


def spans_beside(out: Path) -> Path:
    """Return the name of the spans that go with a file of windows."""
    return out.with_name(f"{out.stem}.spans.csv")


def _suggestions(model: Model, windows: Windows, worth: Array) -> Suggestions:
    """Draw what the model detects."""
    own = features.compute(windows.ohlc, model.proxy.feature_set)
    nothing, nobody = Spans.of([[]] * len(windows)), np.zeros(len(windows), bool)
    data = SpanDataset(windows, nothing, nobody, model.classes)
    return Suggestions(data, worth, model.proxy.detect(own))


def _prob(models: Sequence[Model], ohlc: Float) -> NDArray[np.float32]:
    """(M, N, T) probabilities; features that several models read are computed once."""
    sets = dict.fromkeys(model.proxy.feature_set for model in models)
    computed = {name: features.compute(ohlc, name) for name in sets}
    return np.stack([m.proxy.predict(computed[m.proxy.feature_set]) for m in models])
