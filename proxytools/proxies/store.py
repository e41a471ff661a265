"""Fitted proxies to files that cannot run code, and back.

A model is three files: ``model.json`` says what it is, one weights file holds the fitted part
(LightGBM text, XGBoost JSON, formula JSON, or skops for scikit-learn), and ``seen.npy`` the
fingerprint of the bars it learnt from. Weights are found by the
model's kind, never by a path from the file, and are checked against the columns they claim to
read before anything is scored.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from proxytools import features, splits
from proxytools.decode import Decoder
from proxytools.errors import InputError
from proxytools.proxies.bars import BarProxy
from proxytools.proxies.boosting import LightGBMProxy, XGBoostProxy
from proxytools.proxies.linear import FormulaProxy
from proxytools.proxies.record import COMMON, Schema, checked, is_count, is_decoder, is_number
from proxytools.rundir import RunDir
from proxytools.types import FeatureSet, SpanDataset

FORMAT = 1
SEEN = "seen.npy"
_HEADER = 128  # bytes of a .npy file before the numbers
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
    seen : (M,) uint64
        Fingerprint of the bars it learnt from (`proxytools.splits.fingerprint`).
    """

    proxy: BarProxy
    n_bars: int
    classes: tuple[str, ...]
    lookback_bars: int
    lookahead_bars: int
    seen: NDArray[np.uint64]

    @classmethod
    def of(cls, proxy: BarProxy, data: SpanDataset, features: FeatureSet) -> Model:
        """Return the model of a proxy just fitted on ``data``."""
        reach = features.lookback_bars, features.lookahead_bars
        seen = splits.fingerprint(data.windows.ohlc[data.labelled])
        return cls(proxy, data.n_bars, data.classes, *reach, seen)


def save(model: Model, run: RunDir) -> None:
    """Write ``model.json`` and the weights into a run directory.

    Raises
    ------
    InputError
        The model is of a kind, or has settings, that `load` would refuse.
    """
    proxy = model.proxy
    kinds = [kind for kind, known in _KINDS.items() if type(proxy) is known]
    if not kinds:
        raise InputError(
            "model",
            got=f"a {type(proxy).__name__}",
            expected=f"one of {', '.join(known.__name__ for known in _KINDS.values())}",
        )
    record = {
        "format": FORMAT,
        "kind": kinds[0],
        "name": proxy.name,
        "feature_set": proxy.feature_set,
        "feature_names": list(proxy.feature_names_),
        "lookback_bars": model.lookback_bars,
        "lookahead_bars": model.lookahead_bars,
        "n_bars": model.n_bars,
        "classes": list(model.classes),
        "positive_weight": float(proxy.positive_weight),
        "decoder": asdict(proxy.decoder_),
    }
    run.write_json("model.json", record)
    (run / proxy.weights_file).write_bytes(proxy.dump())
    write_seen(run / SEEN, model.seen)
    load(run)  # better refused now than when it is needed


def load(run: RunDir) -> Model:
    """Read a model back; safe for a directory from a stranger.

    Raises
    ------
    InputError
        A file is missing or damaged, its format is newer than this version knows, or it reads
        features that are not registered here.
    """
    where = run / "model.json"
    record = checked(run.read_json("model.json"), where, _SCHEMA)
    proxy = _KINDS[record["kind"]](name=record["name"])
    proxy.feature_names_ = _names(record, where)
    proxy.decoder_ = Decoder(**record["decoder"])
    weights = run / proxy.weights_file
    if not weights.is_file():
        raise InputError(str(weights), got="nothing there", expected=f"a {record['kind']} model")
    proxy.restore(weights.read_bytes(), str(weights))
    if not isinstance(proxy, FormulaProxy):
        proxy.feature_set = record["feature_set"]
        proxy.positive_weight = float(record["positive_weight"])
    elif proxy.feature_set != record["feature_set"]:
        raise InputError(
            f"{where}, feature_set", got=record["feature_set"], expected=proxy.feature_set
        )
    reach = record["lookback_bars"], record["lookahead_bars"]
    return Model(proxy, record["n_bars"], tuple(record["classes"]), *reach, read_seen(run / SEEN))


def write_seen(path: Path, seen: NDArray[np.uint64]) -> None:
    """Write the fingerprint of training bars."""
    path.write_bytes(_npy(seen))


def read_seen(path: Path) -> NDArray[np.uint64]:
    """Read a fingerprint, if it is to the byte what `write_seen` writes: no header is parsed."""
    raw = path.read_bytes() if path.is_file() else b""
    body = raw[_HEADER:]
    seen = np.frombuffer(body[: len(body) // 8 * 8], "<u8").astype(np.uint64)
    if _npy(seen) != raw:
        raise InputError(
            str(path),
            got="damaged bytes" if raw else "nothing there",
            expected="the fingerprint of the training bars",
            fix="Fit again",
        )
    return seen


def _npy(seen: NDArray[np.uint64]) -> bytes:
    held = BytesIO()
    np.save(held, seen.astype("<u8"))
    return held.getvalue()


def _names(record: dict[str, Any], where: Path) -> tuple[str, ...]:
    """Return the model's features, which must be those registered here, with their reach."""
    name = record["feature_set"]
    if name not in features.SETS:
        raise InputError(
            f"{where}, feature_set",
            got=repr(name),
            expected=f"one of {', '.join(features.SETS)}",
            fix="Register the model's own features, or fit again with this version",
        )
    known = features.compute(np.empty((0, record["n_bars"], 4)), name)
    for field, expected in (
        ("feature_names", list(known.names)),
        ("lookback_bars", known.lookback_bars),
        ("lookahead_bars", known.lookahead_bars),
    ):
        if record[field] != expected:
            raise InputError(
                f"{where}, {field}",
                got=str(record[field])[:80],
                expected=f"{str(expected)[:80]}, as in the set {name!r} of this version",
                fix="Fit again with this version",
            )
    return known.names


def _is_name(value: Any) -> bool:
    """Whether a name can stand in a table or a title, and never for a path."""
    return isinstance(value, str) and re.fullmatch(r"\w[\w .+-]{0,99}", value) is not None


_SCHEMA: Schema = {
    "format": (lambda v: is_count(v) and v <= FORMAT, f"a format up to {FORMAT}"),
    "kind": (lambda v: isinstance(v, str) and v in _KINDS, f"one of {', '.join(_KINDS)}"),
    "name": (_is_name, "a short name of letters, digits, spaces and -.+"),
    "feature_set": (_is_name, "a name"),
    **COMMON,
    "positive_weight": (lambda v: is_number(v) and v > 0, "a positive number"),
    "decoder": (is_decoder, "the decoder's settings"),
}
