"""What a JSON record that describes a model may hold: each field is checked before it is used."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from proxytools.decode import Decoder
from proxytools.errors import InputError

MOST_BARS = 10**6  # of a window, and so of any reach
Schema = dict[str, tuple[Callable[[Any], Any], str]]  # of each field what is legal, and its name


def is_strings(value: Any) -> bool:
    """Whether it is a list of strings, and no empty one."""
    return isinstance(value, list) and all(isinstance(item, str) for item in value) and value != []


def is_count(value: Any) -> bool:
    """Whether it is a number of bars, or of anything that is no more."""
    return type(value) is int and 0 <= value <= MOST_BARS


def is_positive(value: Any) -> bool:
    """Whether it is such a number, and not 0."""
    return is_count(value) and value > 0


def is_number(value: Any) -> bool:
    """Whether it is a float and finite."""
    return type(value) is float and math.isfinite(value)


def is_decoder(value: Any) -> bool:
    """Whether a `Decoder` can be made of it."""
    return (
        isinstance(value, dict)
        and value.keys() == Decoder.__dataclass_fields__.keys()
        and all(is_number(value[name]) for name in ("high", "low"))
        and all(is_count(value[name]) for name in ("min_length", "max_gap"))
        and value["low"] <= value["high"]
        and value["min_length"] >= 1
    )


COMMON: Schema = {
    "feature_names": (is_strings, "a list of names"),
    "lookback_bars": (is_count, "a number of bars"),
    "lookahead_bars": (is_count, "a number of bars"),
    "n_bars": (is_positive, "a number of bars"),
    "classes": (is_strings, "a list of names"),
}
"""Fields of every model."""


def checked(record: Any, where: Path, schema: Schema, fix: str = "") -> dict[str, Any]:
    """Return a record; refuse one that lacks a field or holds something else in it.

    Examples
    --------
    >>> checked({"n_bars": 0}, Path("a.json"), {"n_bars": COMMON["n_bars"]})
    Traceback (most recent call last):
    proxytools.errors.InputError: a.json, n_bars: got 0, expected a number of bars.

    Raises
    ------
    InputError
        ``fix`` says what to do.
    """
    if not isinstance(record, dict):
        raise InputError(str(where), got=type(record).__name__, expected="an object")
    for name, (legal, expected) in schema.items():
        if not legal(record.get(name)):
            got = json.dumps(record.get(name))[:80]
            raise InputError(f"{where}, {name}", got=got, expected=expected, fix=fix)
    return record
