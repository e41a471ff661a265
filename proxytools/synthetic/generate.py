"""Planted data: a random walk with a few bars of drift and raised volatility."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from proxytools.errors import InputError
from proxytools.synthetic.prior import LAYOUTS, SHORTEST, draw_spans, longest_span
from proxytools.types import SpanDataset, Spans, Windows

SUB_STEPS = 8  # Gaussian steps inside a bar
START_PRICE = 15_000.0  # points
BAR_SD = 2.5  # points, the typical standard deviation of a bar's move


@dataclass(frozen=True)
class Preset:
    """What an expansion does to price.

    Parameters
    ----------
    m : float
        Drift a bar, in standard deviations of a bar outside spans.
    v : float
        Factor on the standard deviation.
    """

    m: float
    v: float


PRESETS = {"hard": Preset(0.5, 1.2), "medium": Preset(1.0, 1.3), "easy": Preset(1.5, 1.5)}


@dataclass(frozen=True, eq=False)
class Planted:
    """Planted windows with all that was hidden in making them.

    Parameters
    ----------
    data : SpanDataset
        ``N`` labelled windows and their true spans.
    steps : (N, T, 8) float64
        Price change, in points, of each of a bar's eight sub-steps.
    sigma : (N, T) float64
        Standard deviation, in points, of a bar's move outside spans.
    types : tuple of Preset
        What a span of each class does.
    layout : str
        The law of starts and lengths, see `proxytools.synthetic.prior`.
    empty : float
        Probability that a window was left without a span, whatever the layout.
    """

    data: SpanDataset
    steps: NDArray[np.float64]
    sigma: NDArray[np.float64]
    types: tuple[Preset, ...]
    layout: str
    empty: float


def planted(
    n_windows: int = 210,
    *,
    preset: str | Sequence[str] = "medium",
    seed: int = 1,
    n_bars: int = 105,
    layout: str = "one",
    empty: float = 0.0,
) -> Planted:
    """Windows of a random walk with expansions planted in them.

    A window's level ``exp(N(0, 0.3))`` times a walk ``exp(cumsum N(0, 0.03))`` times 2.5 points
    gives ``sigma_t``. A bar is eight Gaussian sub-steps of mean 0 and standard deviation
    ``sigma_t / sqrt(8)``; inside a span of direction ``d = +-1`` their mean is
    ``d * m * sigma_t / 8`` and their standard deviation is ``v`` times as large. The price starts
    at 15,000; open is the previous close, high and low run over the sub-steps and the open.

    Parameters
    ----------
    n_windows, n_bars : int
        ``N`` and ``T``; at least 6 bars for the layout "one", 3 for the others.
    preset : str or several
        Strength: "hard", "medium" or "easy". Two names plant two types of expansion, equally
        likely, whose names become the classes.
    seed : int
        The same seed gives the same windows.
    layout : str
        "one", "anywhere" or "several", see `proxytools.synthetic.prior`.
    empty : float
        Probability in [0, 1] that a window holds no span.

    Returns
    -------
    Planted

    Raises
    ------
    InputError
        An unknown preset or layout, or sizes in which no span fits.

    Examples
    --------
    >>> sample = planted(3, preset="easy", seed=1)
    >>> sample.data.windows.ohlc.shape
    (3, 105, 4)
    >>> sample.data.windows.ids
    array(['w00000', 'w00001', 'w00002'], dtype='<U6')
    >>> sample.data.spans.count
    array([1, 1, 1])
    >>> planted(3, preset=("hard", "easy"), layout="several").data.classes
    ('hard', 'easy')
    """
    names = (preset,) if isinstance(preset, str) else tuple(preset)
    _check(n_windows, names, n_bars, layout, empty)
    types = tuple(PRESETS[name] for name in names)
    rng = np.random.default_rng(seed)
    spans = _spans(rng, layout, n_windows, n_bars, len(types), empty)
    direction = rng.choice([-1.0, 1.0], len(spans))  # (S,)

    level = np.exp(rng.normal(0, 0.3, (n_windows, 1)))  # (N, 1)
    walk = np.exp(rng.normal(0, 0.03, (n_windows, n_bars)).cumsum(axis=1))  # (N, T)
    # Rounded, because the last bit of exp differs between machines and would reach the prices.
    sigma = np.round(BAR_SD * level * walk, 6)  # (N, T)
    drift, factor = _inside(spans, direction, types, n_bars)
    mean, sd = drift * sigma / SUB_STEPS, factor * sigma / SUB_STEPS**0.5  # (N, T)
    noise = rng.standard_normal((n_windows, n_bars, SUB_STEPS))  # (N, T, 8)
    steps = mean[..., None] + sd[..., None] * noise

    data = SpanDataset(
        Windows(bars(steps), np.array([f"w{i:05d}" for i in range(n_windows)])),
        spans,
        labelled=np.ones(n_windows, bool),
        classes=("expansion",) if len(names) == 1 else names,
    )
    return Planted(data, steps, sigma, types, layout, empty)


def bars(steps: NDArray[np.float64]) -> NDArray[np.float64]:
    """(N, T, 4) open, high, low, close of the path with the price changes ``steps`` (N, T, 8)."""
    n_windows, n_bars, n_steps = steps.shape
    path = START_PRICE + steps.reshape(n_windows, -1).cumsum(axis=1).reshape(steps.shape)
    points = np.empty((n_windows, n_bars, n_steps + 1))  # (N, T, 9) the open, then the path
    points[:, :, 1:] = path
    points[:, 0, 0] = START_PRICE
    points[:, 1:, 0] = path[:, :-1, -1]
    ohlc = (points[..., 0], points.max(axis=2), points.min(axis=2), points[..., -1])
    return np.stack(ohlc, axis=2)  # (N, T, 4)


def _spans(
    rng: np.random.Generator, layout: str, n_windows: int, n_bars: int, n_types: int, empty: float
) -> Spans:
    window, start, stop = draw_spans(rng, layout, n_windows, n_bars)
    kept = (rng.random(n_windows) >= empty)[window]
    label = rng.integers(n_types, size=len(window))
    return Spans(window[kept], start[kept], stop[kept], n_windows, label[kept])


def _inside(
    spans: Spans, direction: NDArray[np.float64], types: tuple[Preset, ...], n_bars: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Signed drift and volatility factor (N, T): 0 and 1 outside spans."""
    drift = np.zeros((spans.n_windows, n_bars))
    factor = np.ones((spans.n_windows, n_bars))
    span = np.repeat(np.arange(len(spans)), spans.length)  # the span of each in-span bar
    first = spans.length.cumsum() - spans.length
    bar = spans.start[span] + np.arange(len(span)) - first[span]
    kind = spans.label[span]
    drift[spans.window[span], bar] = direction[span] * np.array([t.m for t in types])[kind]
    factor[spans.window[span], bar] = np.array([t.v for t in types])[kind]
    return drift, factor


def _check(n_windows: int, names: tuple[str, ...], n_bars: int, layout: str, empty: float) -> None:
    def refuse(argument: str, got: object, expected: str) -> InputError:
        return InputError(f"planted data, {argument}", got=repr(got), expected=expected)

    unknown = [name for name in names if name not in PRESETS]
    if unknown or not names:
        got = unknown[0] if unknown else names
        raise refuse("preset", got, "one of " + ", ".join(PRESETS))
    if len(set(names)) < len(names):
        raise refuse("preset", names, "different names, since each is a class")
    if layout not in LAYOUTS:
        raise refuse("layout", layout, "one of " + ", ".join(LAYOUTS))
    if n_windows < 1:
        raise refuse("n_windows", n_windows, "at least 1")
    if longest_span(layout, n_bars) < SHORTEST:
        raise refuse("n_bars", n_bars, f"room for a span of {SHORTEST} bars in the layout {layout}")
    if not 0 <= empty <= 1:
        raise refuse("empty", empty, "a probability from 0 to 1")
