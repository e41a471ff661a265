"""What a feature is, and the table of all of them.

A feature is one number per bar. The package's own come in blocks, one compiled kernel for many;
a user's is one function of one window.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from types import ModuleType

import numba
import numpy as np
from numpy.typing import NDArray

from proxytools.errors import InputError

Floats = NDArray[np.float64]
Kernel = Callable[[Floats, NDArray[np.float32], int], None]
WindowFunction = Callable[[Floats, Floats, Floats, Floats], Floats]

Step = Callable[[Floats, NDArray[np.float32]], None]

PART_BYTES = 1 << 20  # of values that stay in a core's cache while all kernels write them
THREADS: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]  # set at run time
WHOLE = None
"""Reach of a feature that reads every bar of its window on that side."""


@dataclass(frozen=True)
class Feature:
    """A row of the describing table.

    Parameters
    ----------
    name : str
        Stable: a saved model finds its columns by it.
    meaning, unit : str
        One line for a reader, and what 1.0 is.
    lookback, lookahead : int or None
        The most bars before and after its own that a value depends on; ``None`` (`WHOLE`) for
        every bar of the window. No feature reads a bar outside its window.
    scale_free : bool
        Unchanged when all prices are multiplied by one positive number.
    direction_free : bool
        Unchanged when the window is turned upside down.
    signed : bool
        Changes its sign then, and nothing else.
    """

    name: str
    meaning: str
    unit: str
    lookback: int | None
    lookahead: int | None = 0
    scale_free: bool = True
    direction_free: bool = True
    signed: bool = False

    @property
    def causal(self) -> bool:
        """Whether no value depends on a later bar."""
        return self.lookahead == 0


@dataclass(frozen=True)
class Block:
    """Features that one kernel computes together.

    ``kernel(ohlc, values, first)`` writes feature ``i`` into ``values[:, :, first + i]``, for as
    many as there are columns left.
    """

    kernel: Kernel
    features: tuple[Feature, ...]


_FEATURES: dict[str, Feature] = {}
_BLOCKS: dict[str, Block] = {}


def add(block: Block) -> None:
    """Enter a block into the table; a name that is taken is refused."""
    for entry in block.features:
        if entry.name in _FEATURES:
            raise InputError(
                "feature", got=f"the name {entry.name!r} twice", expected="one feature a name"
            )
    for entry in block.features:
        _FEATURES[entry.name] = entry
        _BLOCKS[entry.name] = block


def add_module(module: ModuleType) -> tuple[str, ...]:
    """Enter a module's ``FEATURES``, computed by its ``kernel``, and return their names."""
    add(Block(module.kernel, module.FEATURES))
    return tuple(entry.name for entry in module.FEATURES)


def remove(name: str) -> None:
    """Take a feature out of the table again."""
    describe(name)
    del _FEATURES[name], _BLOCKS[name]


def describe(name: str) -> Feature:
    """Look up a feature in the table.

    Raises
    ------
    InputError
        No feature has that name.

    Examples
    --------
    >>> from proxytools import features
    >>> features.describe("momentum_3").lookback
    3
    """
    if name not in _FEATURES:
        near = difflib.get_close_matches(name, _FEATURES, 1)
        raise InputError(
            "features",
            got=repr(name),
            expected="a feature or a set of features",
            fix=f"Did you mean {near[0]!r}" if near else "See proxytools.features.table()",
        )
    return _FEATURES[name]


def table() -> tuple[Feature, ...]:
    """Every known feature, in the order in which they were added."""
    return tuple(_FEATURES.values())


def compute_into(values: NDArray[np.float32], windows: Floats, names: Sequence[str]) -> None:
    """Write the features of ``names`` into the columns of values (N, T, F), on all threads.

    A few windows at a time go through all kernels, while their columns are in the cache.
    """
    steps = _steps(tuple(names))
    size = max(1, PART_BYTES // values[:1].nbytes) if len(values) else 1
    parts = [slice(i, i + size) for i in range(0, len(windows), size)]

    def compute_part(part: slice) -> None:
        for step in steps:
            step(windows[part], values[part])

    if len(parts) < 2:
        for part in parts:
            compute_part(part)
    else:
        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(compute_part, parts))


def _steps(names: tuple[str, ...]) -> list[Step]:
    """One call for each block that ``names`` need, in place where they are in its order."""
    steps: list[Step] = []
    done: set[str] = set()
    for column, name in enumerate(names):
        if name in done:
            continue
        describe(name)
        block = _BLOCKS[name]
        own = [entry.name for entry in block.features]
        room = list(names[column : column + len(own)])
        if room == own[: len(room)]:
            steps.append(partial(_in_place, block.kernel, column))
            done.update(room)
        else:
            chosen = [other for other in names if other in own]
            places = [names.index(other) for other in chosen], [own.index(o) for o in chosen]
            steps.append(partial(_by_copy, block.kernel, len(own), *places))
            done.update(chosen)
    return steps


def _in_place(kernel: Kernel, column: int, windows: Floats, values: NDArray[np.float32]) -> None:
    kernel(windows, values, column)


def _by_copy(
    kernel: Kernel,
    width: int,
    to: list[int],
    source: list[int],
    windows: Floats,
    values: NDArray[np.float32],
) -> None:
    whole = np.empty((*values.shape[:2], width), np.float32)
    kernel(windows, whole, 0)
    values[:, :, to] = whole[:, :, source]


def feature(
    name: str,
    *,
    meaning: str,
    unit: str,
    lookback: int | None,
    lookahead: int | None = 0,
    scale_free: bool = True,
    direction_free: bool = False,
) -> Callable[[WindowFunction], WindowFunction]:
    """Add a feature by writing one function of one window.

    The function takes ``open, high, low, close`` of one window, each (T,), and returns (T,)
    finite numbers. See `Feature` for the parameters; `check_feature` proves what they state.

    Examples
    --------
    >>> from proxytools import features
    >>> @features.feature("upper_half", meaning="close above the bar's middle", unit="0 or 1",
    ...                   lookback=0)
    ... def upper_half(open, high, low, close):
    ...     return (close > (high + low) / 2).astype(float)
    >>> features.check_feature("upper_half")
    >>> features.compute([[[1, 3, 1, 2.5], [2.5, 3, 1, 1]]], ["upper_half"]).values[0, :, 0]
    array([1., 0.], dtype=float32)
    >>> features.remove("upper_half")
    """
    entry = Feature(name, meaning, unit, lookback, lookahead, scale_free, direction_free)

    def enter(function: WindowFunction) -> WindowFunction:
        def kernel(ohlc: Floats, values: NDArray[np.float32], first: int) -> None:
            for n, window in enumerate(ohlc):  # (T, 4)
                made = np.asarray(function(*window.T), np.float64)
                if made.shape != window.shape[:1] or not np.isfinite(made).all():
                    raise InputError(
                        f"feature {name}, window {n}",
                        got=f"shape {made.shape} with {np.sum(~np.isfinite(made))} not finite",
                        expected=f"{len(window)} finite numbers",
                    )
                values[n, :, first] = made

        add(Block(kernel, (entry,)))
        return function

    return enter
