"""What every file must satisfy, whatever its format: sound prices, sound spans, known classes."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from proxytools.errors import InputError
from proxytools.io.column import At, first
from proxytools.types import OHLC, Int

CLASS = "expansion"  # the class of a span that names none


def prices(ohlc: NDArray[np.float64], at: At) -> None:
    """Refuse bars whose prices are not finite or contradict each other.

    Zero and negative prices are legal: spreads have them, and oil had them in April 2020. So is a
    bar without a range. ``at`` names the place of a bar of ``ohlc`` (n, 4).
    """
    opened, high, low, close = ohlc.T
    # A comparison with NaN is false; with high and low finite, all four are.
    sound = (low <= opened) & (opened <= high) & (low <= close) & (close <= high)
    sound &= np.isfinite(high) & np.isfinite(low)
    if sound.all():
        return
    i = first(~sound)
    bar = dict(zip(OHLC, ohlc[i].tolist(), strict=True))
    for name, price in bar.items():
        if not np.isfinite(price):
            raise InputError(f"{at(i)}, column {name}", got=f"{price}", expected="a finite price")
    if bar["high"] < bar["low"]:
        raise InputError(
            f"{at(i)}, column high", got=f"{bar['high']}", expected=f"at least the low {bar['low']}"
        )
    name = next(n for n in ("open", "close") if not bar["low"] <= bar[n] <= bar["high"])
    raise InputError(
        f"{at(i)}, column {name}",
        got=f"{bar[name]}",
        expected=f"a price from the low {bar['low']} to the high {bar['high']}",
    )


def spans(
    owner: Int,
    start: Int,
    stop: Int,
    size: ArrayLike,
    at: At,
    *,
    columns: tuple[str, str],
    inclusive: bool = False,
) -> None:
    """Refuse spans that leave their owner (a window, a series), are empty, or overlap.

    Parameters
    ----------
    owner, start, stop : (S,) int64
        Half-open; touching spans are legal.
    size : int or (S,) int64
        Bars of each span's owner.
    at : callable
        Names the place of a span: file and row or window.
    columns : pair of str
        The file's names for start and end.
    inclusive : bool
        Whether the file's end is a span's last bar, for the message alone.
    """
    size = np.broadcast_to(np.asarray(size, np.int64), start.shape)
    last = stop - inclusive
    for column, value, low, high in (
        (columns[0], start, 0, size - 1),
        (columns[1], last, 0, size - inclusive),
    ):
        wrong = (value < low) | (value > high)
        if wrong.any():
            i = first(wrong)
            raise InputError(
                f"{at(i)}, column {column}",
                got=f"{value[i]}",
                expected=f"a bar from {low} to {high[i]}",
            )
    wrong = stop <= start
    if wrong.any():
        i = first(wrong)
        raise InputError(
            f"{at(i)}, column {columns[1]}",
            got=f"{last[i]}",
            expected=f"{'at least' if inclusive else 'more than'} the {columns[0]} {start[i]}",
        )
    order = np.lexsort((start, owner))
    before, after = order[:-1], order[1:]
    clash = (owner[before] == owner[after]) & (start[after] < stop[before])
    if clash.any():
        i, j = sorted((before[first(clash)], after[first(clash)]))
        raise InputError(
            at(j),
            got=f"the span {start[j]} to {last[j]}, which overlaps {start[i]} to {last[i]}",
            expected="spans that share no bar",
        )


def codes(
    labels: NDArray[np.str_], at: At, classes: Sequence[str] | None
) -> tuple[Int, tuple[str, ...]]:
    """Return the class code of each span, and the class names that the codes index.

    Without known ``classes`` these are the names that occur, sorted.
    """
    if (labels == "").any():
        raise InputError(at(first(labels == "")), got="no class", expected="the span's class")
    found = np.unique(labels).tolist()
    known = tuple(classes) if classes is not None else tuple(found) or (CLASS,)
    for name in found:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            raise InputError(
                at(first(labels == name)),
                got=f"the unknown class {name!r}",
                expected=f"one of {', '.join(known)}",
                fix=f"Did you mean {near[0]}" if near else "",
            )
    position = np.array([known.index(name) for name in found], np.int64)
    return position[np.searchsorted(found, labels)] if found else np.empty(0, np.int64), known
