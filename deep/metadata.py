"""What ``metadata.json`` of a detector may say: every field is checked before it is used."""

from __future__ import annotations

import json
import math
from dataclasses import fields
from pathlib import Path
from typing import Any

from deep.reading import BIASES, BarReader, MatchReader, Reader
from deep.settings import Settings
from proxytools.decode import Decoder
from proxytools.errors import InputError

FORMAT = 1
MOST_BARS = 10**6  # of a window, and so of any reach


def settings_of(record: Any, where: str) -> Settings:
    """Return the settings that a record holds, each of them legal."""
    wanted = {field.name for field in fields(Settings)}
    if not isinstance(record, dict) or record.keys() != wanted:
        raise other(where, record, f"an object of {', '.join(sorted(wanted))}")
    return Settings(**record)


def reader_of(settings: Settings, record: dict[str, Any], where: str) -> Reader:
    """How spans are read off, as a record says."""
    reader = record["reader"]
    if settings.head == "segmental":
        if not (
            isinstance(reader, dict)
            and reader.keys() == {"longest", "threshold", "series_bias"}
            and _is_count(reader["longest"])
            and _is_number(reader["threshold"])
            and reader["longest"] >= 1
            and 0 < reader["threshold"] < 1
            and _is_number(reader["series_bias"])
            and abs(reader["series_bias"]) <= max(BIASES)
        ):
            raise other(where, reader, "a longest candidate, a threshold in (0, 1) and a bias")
        return MatchReader(**reader)
    if not (
        isinstance(reader, dict)
        and reader.keys() == {"positive_weight", "decoder"}
        and reader["positive_weight"] == settings.positive_weight
        and _is_decoder(reader["decoder"])
    ):
        raise other(where, reader, "the weight of the settings and a decoder")
    return BarReader(settings.positive_weight, Decoder(**reader["decoder"]))


def _is_decoder(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and value.keys() == Decoder.__dataclass_fields__.keys()
        and all(_is_number(value[name]) for name in ("high", "low"))
        and all(_is_count(value[name]) for name in ("min_length", "max_gap"))
    )


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= MOST_BARS


def _is_number(value: Any) -> bool:
    return type(value) is float and math.isfinite(value)


def _is_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_name(value: Any) -> bool:
    """Whether a name can stand in a table or a title, and never for a path."""
    return isinstance(value, str) and value.isidentifier() and len(value) <= 100


def _is_metrics(value: Any) -> bool:
    return isinstance(value, dict) and all(
        x is None or _is_count(x) or _is_number(x) for x in value.values()
    )


_SCHEMA: dict[str, tuple[Any, str]] = {
    "format": (lambda v: _is_count(v) and 1 <= v <= FORMAT, f"a format up to {FORMAT}"),
    "name": (_is_name, "a short name of letters and digits"),
    "feature_names": (lambda v: _is_strings(v) and v, "a list of names"),
    "lookback_bars": (_is_count, "a number of bars"),
    "lookahead_bars": (_is_count, "a number of bars"),
    "n_bars": (lambda v: _is_count(v) and v > 0, "a number of bars"),
    "classes": (lambda v: _is_strings(v) and v, "a list of names"),
    "seed": (lambda v: type(v) is int and v >= 0, "an integer from 0"),
    "inner_folds": (lambda v: _is_count(v) and v >= 2, "an integer from 2"),
    "l_max": (lambda v: _is_count(v) and v > 0, "a number of bars"),
    "held_out": (_is_metrics, "an object of numbers"),
}


def checked(record: Any, where: Path) -> dict[str, Any]:
    """Return a record; refuse one that lacks a field or holds something else in it."""
    if not isinstance(record, dict):
        raise InputError(str(where), got=type(record).__name__, expected="an object")
    for name, (legal, expected) in _SCHEMA.items():
        if not legal(record.get(name)):
            raise other(f"{where}, {name}", record.get(name), expected)
    for name in ("settings", "reader"):
        if name not in record:
            raise other(f"{where}, {name}", None, "an object")
    return record


def other(where: str, got: Any, expected: str) -> InputError:
    """Say what a field held in place of what is legal."""
    return InputError(
        where, got=json.dumps(got)[:80], expected=expected, fix="Train again with this version"
    )
