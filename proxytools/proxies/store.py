"""Fitted proxies to files that cannot run code, and back.

A model is two files: ``model.json`` says what it is, and one weights file holds the fitted part:
LightGBM text, XGBoost JSON, formula JSON, or skops for scikit-learn. Weights are found by the
model's kind, never by a path from the file, and are checked against the columns they claim to
read before anything is scored.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from proxytools.decode import Decoder
from proxytools.errors import InputError
from proxytools.features import SETS
from proxytools.proxies.bars import BarProxy
from proxytools.proxies.boosting import LightGBMProxy, XGBoostProxy
from proxytools.proxies.linear import FormulaProxy
from proxytools.rundir import RunDir
from proxytools.types import FeatureSet, SpanDataset

FORMAT = 1
_KINDS: dict[str, type[BarProxy]] = {
    "formula": FormulaProxy,
    "lightgbm": LightGBMProxy,
    "xgboost": XGBoostProxy,
    "classifier": BarProxy,
}


@dataclass(frozen=True, eq=False)
class Model:
    """A fitted proxy with what its user must know.

    Attributes
    ----------
    proxy : BarProxy
        Ready to predict and detect.
    n_bars : int
        Length of the training windows.
    classes : tuple of str
        Names of the span classes it was trained on.
    lookback_bars, lookahead_bars : int
        Reach of its features.
    """

    proxy: BarProxy
    n_bars: int
    classes: tuple[str, ...]
    lookback_bars: int
    lookahead_bars: int

    @classmethod
    def of(cls, proxy: BarProxy, data: SpanDataset, features: FeatureSet) -> Model:
        """Return the model of a proxy just fitted on ``data``."""
        return cls(
            proxy, data.n_bars, data.classes, features.lookback_bars, features.lookahead_bars
        )


def save(model: Model, run: RunDir) -> None:
    """Write ``model.json`` and the weights into a run directory."""
    proxy = model.proxy
    kind = next(name for name, known in _KINDS.items() if type(proxy) is known)
    record = {
        "format": FORMAT,
        "kind": kind,
        "name": proxy.name,
        "feature_set": proxy.feature_set,
        "feature_names": list(proxy.feature_names_),
        "lookback_bars": model.lookback_bars,
        "lookahead_bars": model.lookahead_bars,
        "n_bars": model.n_bars,
        "classes": list(model.classes),
        "positive_weight": proxy.positive_weight,
        "decoder": asdict(proxy.decoder_),
    }
    run.write_json("model.json", record)
    (run / proxy.weights_file).write_bytes(proxy.dump())


def load(run: RunDir) -> Model:
    """Read a model back; safe for a directory from a stranger.

    Raises
    ------
    InputError
        A file is missing or damaged, its format is newer than this version knows, or it reads
        features that are not registered here.
    """
    where = run / "model.json"
    record = _checked(run.read_json("model.json"), where)
    proxy = _KINDS[record["kind"]](name=record["name"])
    if not isinstance(proxy, FormulaProxy):
        proxy.feature_set = record["feature_set"]
        proxy.positive_weight = float(record["positive_weight"])
    names = tuple(record["feature_names"])
    weights = run / proxy.weights_file
    if not weights.is_file():
        raise InputError(str(weights), got="nothing there", expected=f"a {record['kind']} model")
    proxy.restore(weights.read_bytes(), str(weights), len(names))
    known = SETS.get(proxy.feature_set)
    if known != names:
        raise InputError(
            f"{where}, feature_names",
            got=f"{len(names)} features of set {proxy.feature_set!r}",
            expected=f"the {len(known)} that this version has" if known else "a registered set",
            fix="Register the model's own features, or fit again with this version",
        )
    proxy.feature_names_ = names
    proxy.decoder_ = Decoder(**record["decoder"])
    return Model(
        proxy,
        record["n_bars"],
        tuple(record["classes"]),
        record["lookback_bars"],
        record["lookahead_bars"],
    )


def _is_strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


_SCHEMA: dict[str, tuple[Any, str]] = {
    "format": (lambda v: _is_count(v) and v <= FORMAT, f"a format up to {FORMAT}"),
    "kind": (lambda v: isinstance(v, str) and v in _KINDS, f"one of {', '.join(_KINDS)}"),
    "name": (lambda v: isinstance(v, str) and len(v) < 100, "a short name"),
    "feature_set": (lambda v: isinstance(v, str), "a name"),
    "feature_names": (_is_strings, "a list of names"),
    "lookback_bars": (_is_count, "a number of bars"),
    "lookahead_bars": (_is_count, "a number of bars"),
    "n_bars": (lambda v: _is_count(v) and v > 0, "a number of bars"),
    "classes": (_is_strings, "a list of names"),
    "positive_weight": (lambda v: _is_number(v) and v > 0, "a positive number"),
    "decoder": (
        lambda v: (
            isinstance(v, dict)
            and v.keys() == Decoder.__dataclass_fields__.keys()
            and all(map(_is_number, v.values()))
        ),
        "the decoder's settings",
    ),
}


def _checked(record: Any, where: Path) -> dict[str, Any]:
    """Refuse a record that lacks a field or holds something else in it."""
    if not isinstance(record, dict):
        raise InputError(str(where), got=type(record).__name__, expected="an object")
    for name, (legal, expected) in _SCHEMA.items():
        if not legal(record.get(name)):
            got = json.dumps(record.get(name))[:80]
            raise InputError(f"{where}, {name}", got=got, expected=expected)
    return record
