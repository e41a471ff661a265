"""Sums, extrema and averages inside one window, for the kernels.

Bars that a reach would need outside the window are left out, never invented. No sum runs over the
whole window where a short one will do: a running sum would carry the rounding of far bars into a
bar that they do not belong to. Loops walk slices from 0, which is what the compiler vectorises.

Only the outermost kernels are cached on disk, each by the date of its own file: after an edit here
or in a file that a kernel calls, delete ``__pycache__``.
"""

from __future__ import annotations

import numpy as np
from numba import njit

FINITE = 3.0e38  # just below the largest float32

# Division by zero must not be trapped (it keeps loops from being vectorised): `ratio` decides.
compiled = njit(nogil=True, error_model="numpy")
inlined = njit(nogil=True, error_model="numpy", inline="always")
outermost = njit(cache=True, nogil=True, error_model="numpy")


@inlined
def ratio(above, below):  # type: ignore[no-untyped-def]
    """Quotient, 0 where the denominator is not positive."""
    quotient = above / below
    return quotient if below > 0.0 else 0.0


@inlined
def within(x, low, high):  # type: ignore[no-untyped-def]
    """``x`` clipped to ``[low, high]``."""
    return min(max(x, low), high)


@compiled
def emit(rows, values, first):  # type: ignore[no-untyped-def]
    """Write rows (k, T) into values (T, F) from column ``first`` on, as many as there is room for.

    Numbers beyond float32 are clipped.
    """
    flat, limit, zero = rows.reshape(-1), rows.dtype.type(FINITE), rows.dtype.type(0.0)
    for i in range(len(flat)):
        x = flat[i] if flat[i] == flat[i] else zero  # overflow minus overflow, at prices of 1e150
        flat[i] = min(max(x, -limit), limit)
    for t in range(len(values)):
        columns = values[t, first : first + len(rows)]
        for i in range(len(columns)):
            columns[i] = rows[i, t]


@compiled
def split(window, bars):  # type: ignore[no-untyped-def]
    """Copy a window (T, 4) into four contiguous rows (4, T)."""
    for t in range(window.shape[0]):
        bars[0, t] = window[t, 0]
        bars[1, t] = window[t, 1]
        bars[2, t] = window[t, 2]
        bars[3, t] = window[t, 3]


@compiled
def copy(x, out):  # type: ignore[no-untyped-def]
    """Write ``x`` into ``out``; ``out[:] = x`` takes longer by checks for overlap and shape."""
    for i in range(len(out)):
        out[i] = x[i]


@compiled
def closes_before(bars, before):  # type: ignore[no-untyped-def]
    """Price before each bar and after the last, (T+1,): the first open, then every close."""
    before[0] = bars[0, 0]
    copy(bars[3], before[1:])


@compiled
def _add(x, out):  # type: ignore[no-untyped-def]
    for i in range(len(out)):
        out[i] += x[i]


@compiled
def last_sum(x, k, out):  # type: ignore[no-untyped-def]
    """Sum of the last ``k`` values, of fewer at the start.

    What is added to stays in one place while what is added moves: shifted writes would have to
    wait for each other.
    """
    k, total = min(k, len(x)), 0.0
    for t in range(k - 1):
        total += x[t]
        out[t] = total
    rest = out[k - 1 :]
    copy(x, rest)
    for later in range(1, k):
        _add(x[later:], rest)


@compiled
def doubled(x, k, out):  # type: ignore[no-untyped-def]
    """Sum of the last ``2 k`` values, where ``x`` holds the sums of the last ``k``."""
    copy(x, out)
    if k < len(x):
        _add(x[: len(x) - k], out[k:])


@compiled
def per_bar(k, out):  # type: ignore[no-untyped-def]
    """Turn sums of the last ``k`` values, of fewer at the start, into means."""
    for t in range(min(k, len(out))):
        out[t] /= t + 1
    rest = out[k:]
    for i in range(len(rest)):
        rest[i] /= k


@compiled
def around_mean(x, half, out):  # type: ignore[no-untyped-def]
    """Mean of the values at most ``half`` bars away, of fewer at the edges."""
    n = len(x)
    copy(x, out)
    for lag in range(1, min(half + 1, n)):
        _add(x[: n - lag], out[lag:])
        _add(x[lag:], out[: n - lag])
    whole = 2 * half + 1
    for t in range(n):
        out[t] /= whole
    for t in range(min(half, n)):
        out[t] *= whole / (t + 1 + min(half, n - 1 - t))
    for t in range(max(half, n - half), n):
        out[t] *= whole / (n - t + half)


@compiled
def last_max(x, k, out):  # type: ignore[no-untyped-def]
    """Maximum of the last ``k`` values, of fewer at the start; a pass over the bars for each."""
    k, largest = min(k, len(x)), x[0]
    for t in range(k - 1):
        largest = max(largest, x[t])
        out[t] = largest
    rest = out[k - 1 :]
    copy(x, rest)
    for later in range(1, k):
        now = x[later:]
        for i in range(len(rest)):
            rest[i] = max(rest[i], now[i])


@compiled
def longer_max(reach, k, out, spare):  # type: ignore[no-untyped-def]
    """Turn maxima of the last ``reach`` values into those of the last ``k``, by doubling."""
    n = len(out)
    while reach < min(k, n):
        step = min(reach, k - reach)
        copy(out, spare)
        late, early = out[step:], spare[: n - step]
        for i in range(n - step):
            late[i] = max(late[i], early[i])
        reach += step


@compiled
def last_ema(x, weight, out):  # type: ignore[no-untyped-def]
    """Exponential average that starts at the first value and includes the current one."""
    level = x[0]
    for t in range(len(x)):
        level += weight * (x[t] - level)
        out[t] = level


@compiled
def around_sum(x, keep, out):  # type: ignore[no-untyped-def]
    """Sum of the values weighted by ``keep ** |lag|``, to both sides."""
    total = 0.0
    for t in range(len(x)):
        total = total * keep + x[t]
        out[t] = total
    total = 0.0
    for t in range(len(x) - 1, -1, -1):
        out[t] += total
        total = (total + x[t]) * keep


@compiled
def log_growth(extent, level, out):  # type: ignore[no-untyped-def]
    """Log (float32) of a bar's range over the range around it, within a fifth and twenty times."""
    for t in range(len(out)):
        growth = ratio(extent[t], level[t])
        out[t] = within(growth, 0.2, 20.0) if level[t] > 0.0 else 1.0
    for t in range(len(out)):
        out[t] = np.log(out[t])
