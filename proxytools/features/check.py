"""Prove what a feature states about itself, on windows made to break it.

For one's own feature as for the package's: finite on every legal bar, no dependence on bars
beyond the stated reach, no dependence on the price unit or the direction where it states none.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from proxytools.errors import InputError
from proxytools.features.registry import Feature, compute_into, describe, table

Windows = NDArray[np.float64]  # (N, T, 4)

LENGTHS = (1, 2, 3, 22, 64)
POWERS_OF_TWO = (0.5, 1024.0, 2.0**-30)
OTHER_FACTORS = (3.0, 1e-5)
TOLERANCE = 1e-3  # of float32 values whose inputs were rounded; a broken promise is far off


def check_all(seed: int = 0) -> None:
    """Check every feature in the table; see `check_feature`."""
    for entry in table():
        check_feature(entry.name, seed=seed)


def check_feature(name: str, ohlc: Windows | None = None, *, seed: int = 0) -> None:
    """Check one feature on hostile windows, or on given ones.

    Parameters
    ----------
    name : str
    ohlc : (N, T, 4) array, optional
        Legal windows to check on, instead of the made ones of several lengths.
    seed : int
        Of the made windows and of the bars that replace those beyond the reach.

    Raises
    ------
    InputError
        With the promise that is broken, and the window and bar where it is.
    """
    entry = describe(name)
    rng = np.random.default_rng(seed)
    for windows in [ohlc] if ohlc is not None else hostile(rng):
        _finite(entry, windows)
        _reach(entry, windows, rng)
        if entry.scale_free:
            _scale(entry, windows)
        if entry.direction_free:
            _direction(entry, windows, 1.0, "no change")
        if entry.signed:
            _direction(entry, windows, -1.0, "a change of sign alone")


def hostile(rng: np.random.Generator) -> Iterator[Windows]:
    """Legal windows of several lengths: walks, flat, constant steps, zero and negative prices."""
    for n_bars in LENGTHS:
        walk = _bars(100.0 + rng.normal(size=(4, n_bars, 6)).cumsum(axis=1))
        around_zero = _bars(rng.normal(size=(2, n_bars, 6)))
        few_prices = _bars(rng.integers(-1, 2, (2, n_bars, 6)).astype(float))  # many ties
        jump = _bars(
            rng.normal(size=(1, n_bars, 6)) + 1e3 * (np.arange(n_bars) > n_bars // 2)[:, None]
        )
        flat = np.full((1, n_bars, 4), 15_000.0)
        ramp = _bars(np.tile(np.arange(float(n_bars))[:, None], (1, 1, 6)))
        half_flat = walk[:1].copy()
        half_flat[:, : n_bars // 2] = half_flat[:, :1, :1]
        dear, cheap = walk[:1] * 1e12, walk[:1] * 1e-12
        zero = np.zeros((1, n_bars, 4))
        yield np.concatenate(
            [walk, around_zero, few_prices, jump, flat, ramp, half_flat, dear, cheap, zero]
        )


def _bars(paths: NDArray[np.float64]) -> Windows:
    """Bars (N, T, 4) over the steps of paths (N, T, K)."""
    return np.stack(
        [paths[..., 0], paths.max(axis=-1), paths.min(axis=-1), paths[..., -1]], axis=-1
    )


def _values(entry: Feature, windows: Windows) -> NDArray[np.float32]:
    values = np.empty((*windows.shape[:2], 1), np.float32)
    compute_into(values, np.ascontiguousarray(windows), (entry.name,))
    return values[:, :, 0]


def _finite(entry: Feature, windows: Windows) -> None:
    values = _values(entry, windows)
    _require(entry, np.isfinite(values), values, "a finite value")


def _reach(entry: Feature, windows: Windows, rng: np.random.Generator) -> None:
    """Replace everything beyond the reach of some bars: their values must stay."""
    values = _values(entry, windows)
    n_bars = windows.shape[1]
    others = _bars(windows[..., :1] + rng.normal(size=(*windows.shape[:2], 6)))
    for t in np.unique(rng.integers(0, n_bars, 6)):
        if entry.lookahead is not None and t + entry.lookahead + 1 < n_bars:
            changed = windows.copy()
            changed[:, t + entry.lookahead + 1 :] = others[:, t + entry.lookahead + 1 :]
            again = _values(entry, changed)
            first = slice(0, t + 1)
            _require(
                entry,
                again[:, first] == values[:, first],
                again,
                f"no change when bars more than {entry.lookahead} ahead change",
            )
        if entry.lookback is not None and t - entry.lookback > 0:
            changed = windows.copy()
            changed[:, : t - entry.lookback] = others[:, : t - entry.lookback]
            again = _values(entry, changed)
            same = np.ones(values.shape, bool)
            same[:, t:] = np.isclose(again[:, t:], values[:, t:], rtol=TOLERANCE, atol=TOLERANCE)
            _require(
                entry, same, again, f"no change when bars more than {entry.lookback} back change"
            )


def _scale(entry: Feature, windows: Windows) -> None:
    values = _values(entry, windows)
    for factor in POWERS_OF_TWO:
        again = _values(entry, windows * factor)
        _require(entry, again == values, again, f"the same bits when prices are times {factor}")
    for factor in OTHER_FACTORS:
        again = _values(entry, windows * factor)
        same = np.isclose(again, values, rtol=TOLERANCE, atol=TOLERANCE)
        _require(entry, same, again, f"no change when prices are times {factor}")


def _direction(entry: Feature, windows: Windows, sign: float, promise: str) -> None:
    values = _values(entry, windows)
    again = _values(entry, -windows[..., [0, 2, 1, 3]])
    same = np.isclose(again, sign * values, rtol=TOLERANCE, atol=TOLERANCE)
    _require(entry, same, again, f"{promise} when the window is turned upside down")


def _require(
    entry: Feature, holds: NDArray[np.bool_], values: NDArray[np.float32], promise: str
) -> None:
    if not holds.all():
        window, bar = np.argwhere(~holds)[0]
        raise InputError(
            f"feature {entry.name}, window {window} of {holds.shape[1]} bars, bar {bar}",
            got=f"{values[window, bar]:.6g}",
            expected=promise,
        )
