"""One column of a file as numpy values; a value that does not fit is refused with its place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from proxytools.errors import InputError

# Names the place of the i-th value of a column: file, row and column.
At = Callable[[int], str]


def present(column: Any, at: At, expected: str) -> Any:
    """Return the column, refused where a value is missing."""
    if column.null_count:
        raise InputError(at(first(column.is_null())), got="a missing value", expected=expected)
    return column


def numbers(column: Any, at: At, expected: str = "a number") -> NDArray[np.float64]:
    """Read a column of numbers, or of text that spells numbers."""
    column = _plain(present(column, at, expected))
    kind = column.type
    if not (_is_number(kind) or _is_text(kind)):
        raise InputError(at(0), got=f"the type {kind}", expected=expected)
    return np.asarray(cast(column, pa.float64(), at, expected))


def integers(column: Any, at: At, expected: str = "a whole number") -> NDArray[np.int64]:
    """Read a column of whole numbers; pandas writes those beside missing ones as floats."""
    column = _plain(column)
    if pa.types.is_integer(column.type):
        return np.asarray(cast(present(column, at, expected), pa.int64(), at, expected))
    values = numbers(column, at, expected)
    wrong = ~(np.isfinite(values) & (values == np.rint(values)) & (np.abs(values) < 2**53))
    if wrong.any():
        raise InputError(at(first(wrong)), got=f"{values[first(wrong)]:g}", expected=expected)
    return values.astype(np.int64)


def texts(column: Any, at: At, expected: str) -> Any:
    """Read a column of names; whole numbers are names too. Returns a pyarrow string array."""
    column = _plain(present(column, at, expected))
    if not (_is_text(column.type) or pa.types.is_integer(column.type)):
        raise InputError(at(0), got=f"the type {column.type}", expected=expected)
    column = column.cast(pa.string())
    blank = pc.equal(column, "")
    if pc.any(blank).as_py():
        raise InputError(at(first(blank)), got="an empty text", expected=expected)
    return column


def names(column: Any) -> NDArray[np.str_]:
    """(n,) a pyarrow string array as numpy text; "" for a missing value."""
    return np.array(_plain(column).cast(pa.string()).fill_null("").to_pylist(), np.str_)


def cast(column: Any, kind: Any, at: At, expected: str) -> Any:
    """Cast a pyarrow array; a value that cannot be cast is refused with its place."""
    try:
        return column.cast(kind)
    except pa.ArrowInvalid as error:
        if len(column) > 1:  # halve until the culprit is alone: only a failure pays for this
            half = len(column) // 2
            cast(column[:half], kind, at, expected)
            cast(column[half:], kind, lambda i: at(i + half), expected)
        raise InputError(at(0), got=repr(column[0].as_py()), expected=expected) from error


def first(flags: Any) -> int:
    """Position of the first true flag."""
    return int(np.argmax(np.asarray(flags)))


def _plain(column: Any) -> Any:
    if pa.types.is_null(column.type):  # nothing but missing values
        return column.cast(pa.string())
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_number(kind: Any) -> bool:
    types = pa.types
    return bool(types.is_floating(kind) or types.is_integer(kind) or types.is_decimal(kind))
