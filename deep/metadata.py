"""What ``metadata.json`` of a detector may say: every field is checked before it is used."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

from deep.reading import BIASES, BarReader, MatchReader, Reader
from deep.settings import Settings
from proxytools.decode import Decoder
from proxytools.errors import InputError
from proxytools.proxies.record import COMMON, Schema, is_count, is_decoder, is_number, is_positive
from proxytools.proxies.record import checked as check

FORMAT = 1
FIX = "Train again with this version"


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
            and is_count(reader["longest"])
            and is_number(reader["threshold"])
            and reader["longest"] >= 1
            and 0 < reader["threshold"] < 1
            and is_number(reader["series_bias"])
            and abs(reader["series_bias"]) <= max(BIASES)
        ):
            raise other(where, reader, "a longest candidate, a threshold in (0, 1) and a bias")
        return MatchReader(**reader)
    if not (
        isinstance(reader, dict)
        and reader.keys() == {"positive_weight", "decoder"}
        and reader["positive_weight"] == settings.positive_weight
        and is_decoder(reader["decoder"])
    ):
        raise other(where, reader, "the weight of the settings and a decoder")
    return BarReader(settings.positive_weight, Decoder(**reader["decoder"]))


def _is_name(value: Any) -> bool:
    """Whether a name can stand in a table or a title, and never for a path."""
    return isinstance(value, str) and value.isidentifier() and len(value) <= 100


def _is_metrics(value: Any) -> bool:
    return isinstance(value, dict) and all(
        x is None or is_count(x) or is_number(x) for x in value.values()
    )


def _is_there(value: Any) -> bool:
    return value is not None


_SCHEMA: Schema = {
    "format": (lambda v: is_count(v) and 1 <= v <= FORMAT, f"a format up to {FORMAT}"),
    "name": (_is_name, "a short name of letters and digits"),
    **COMMON,
    "seed": (lambda v: type(v) is int and v >= 0, "an integer from 0"),
    "inner_folds": (lambda v: is_count(v) and v >= 2, "an integer from 2"),
    "l_max": (is_positive, "a number of bars"),
    "held_out": (_is_metrics, "an object of numbers"),
    "settings": (_is_there, "an object"),
    "reader": (_is_there, "an object"),
}


def checked(record: Any, where: Path) -> dict[str, Any]:
    """Return a record; refuse one that lacks a field or holds something else in it."""
    return check(record, where, _SCHEMA, FIX)


def other(where: str, got: Any, expected: str) -> InputError:
    """Say what a field held in place of what is legal."""
    return InputError(where, got=json.dumps(got)[:80], expected=expected, fix=FIX)
