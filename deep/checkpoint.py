"""A fitted detector to files that cannot run code, and back.

``best_model.pt`` holds the weights alone, read with ``weights_only=True``; ``metadata.json`` says
what they are, ``seen.npy`` is the fingerprint of the bars they were learnt from. Each is checked
before anything is computed with it.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from deep import archive, metadata
from deep.detector import SpanDetector
from deep.device import resolve
from deep.fitting import n_types
from deep.lengths import LengthPrior
from deep.linear import without_encoder
from deep.model import Ensemble, SpanModel
from deep.settings import Settings
from proxytools import features, splits
from proxytools.errors import InputError
from proxytools.proxies.bars import BarProxy
from proxytools.proxies.store import SEEN, Model, read_seen, write_seen
from proxytools.rundir import RunDir

WEIGHTS, METADATA = "best_model.pt", "metadata.json"
LARGEST = 1e6  # of a weight: no training comes near, and scores stay numbers


def model_of(detector: SpanDetector, data: Any, own: Any) -> Model:
    """Return a detector just fitted on ``data``, features ``own``, as the commands know models.

    Its reach is the whole window. The bars it knows again are those it learnt from, marked or not.
    """
    model = Model.of(cast(BarProxy, detector), data, own)
    reach = data.n_bars - 1
    model = replace(model, lookback_bars=reach, lookahead_bars=reach)
    if detector.uses_unlabelled:
        return replace(model, seen=splits.fingerprint(data.windows.ohlc))
    return model


def save(model: Model, run: RunDir) -> None:
    """Write the three files into a run directory.

    Raises
    ------
    InputError
        `load` would refuse them.
    """
    detector = _detector(model)
    record = {
        "format": metadata.FORMAT,
        "name": detector.name,
        "feature_names": list(detector.feature_names_),
        "lookback_bars": model.lookback_bars,
        "lookahead_bars": model.lookahead_bars,
        "n_bars": model.n_bars,
        "classes": list(model.classes),
        "seed": detector.seed,
        "inner_folds": detector.inner_folds,
        "settings": asdict(detector.settings),
        "l_max": detector.l_max_,
        "reader": asdict(cast(Any, detector.reader_)),
        "held_out": detector.held_out_,
    }
    run.write_json(METADATA, record)
    weights = {name: value.cpu() for name, value in detector.ensemble_.state_dict().items()}
    torch.save(weights, run / WEIGHTS)
    write_seen(run / SEEN, model.seen)
    load(run)  # better refused now than when it is needed


def load(run: RunDir, device: str = "cpu", threads: int = 0) -> Model:
    """Read a model back; safe for a directory from a stranger.

    Raises
    ------
    InputError
        A file is missing or damaged, its format is newer than this version knows, or it reads
        features that are not registered here.
    DeviceError
        The device is not there.
    """
    target = resolve(device)
    where = run / METADATA
    record = metadata.checked(run.read_json(METADATA), where)
    settings = metadata.settings_of(record["settings"], f"{where}, settings")
    detector = SpanDetector(
        settings,
        record["name"],
        inner_folds=record["inner_folds"],
        seed=record["seed"],
        device=device,
        threads=threads,
    )
    detector.feature_names_ = _names(settings.features, record, where)
    detector.l_max_ = record["l_max"]
    detector.reader_ = metadata.reader_of(settings, record, f"{where}, reader")
    detector.held_out_, detector.history_ = record["held_out"], []
    detector.ensemble_ = _ensemble(run / WEIGHTS, settings, record).to(target)
    reach = record["lookback_bars"], record["lookahead_bars"]
    proxy = cast(BarProxy, detector)
    return Model(proxy, record["n_bars"], tuple(record["classes"]), *reach, read_seen(run / SEEN))


def settings_of(run: RunDir) -> Settings:
    """Read the settings alone; as safe as `load`, and with its errors."""
    where = run / METADATA
    record = metadata.checked(run.read_json(METADATA), where)
    return metadata.settings_of(record["settings"], f"{where}, settings")


def _detector(model: Model) -> SpanDetector:
    return cast(SpanDetector, model.proxy)


def _ensemble(path: Path, settings: Settings, record: dict[str, Any]) -> Ensemble:
    """Build the network that the settings describe, and fill it if everything fits."""
    if not path.is_file():
        raise InputError(str(path), got="nothing there", expected="the weights of a detector")
    flat = LengthPrior(np.full(record["l_max"] + 1, 1 / (record["l_max"] + 1)), 0.5)
    n_features = len(record["feature_names"])
    types = n_types(record["classes"])
    members = [SpanModel(n_features, settings, flat, 0.0, types) for _ in range(settings.members)]
    alone = without_encoder(settings)
    linear = SpanModel(n_features, alone, flat, 0.0, types) if settings.linear else None
    place = torch.zeros(record["n_bars"]) if settings.place else None
    ensemble = Ensemble(members, linear, place).eval()
    try:
        weights = archive.read(path)
        _check_weights(weights, ensemble.state_dict())
        ensemble.load_state_dict(weights)
    except archive.DAMAGED as error:
        raise InputError(
            str(path),
            got=f"damaged weights ({archive.reason(error)})",
            expected="the weights that metadata.json describes",
            fix="Train again",
        ) from None
    return ensemble.requires_grad_(False)


def _check_weights(weights: Any, expected: dict[str, Tensor]) -> None:
    if not isinstance(weights, dict) or weights.keys() != expected.keys():
        raise ValueError("other names than those of the network")
    for name, wanted in expected.items():
        found = weights[name]
        if type(found) is not Tensor or found.layout != torch.strided:
            raise ValueError(f"{name} is no tensor")
        if found.shape != wanted.shape or found.dtype != wanted.dtype:
            raise ValueError(f"{name} has another shape or type")
        if not bool((found.abs() <= LARGEST).all()):
            raise ValueError(f"{name} holds a number that is not finite or too large")


def _names(feature_set: str, record: dict[str, Any], where: Path) -> tuple[str, ...]:
    """Return the detector's features, which must be those registered here; it reads a window."""
    known = features.compute(np.empty((0, record["n_bars"], 4)), feature_set)
    for name in ("lookback_bars", "lookahead_bars"):
        if record[name] != record["n_bars"] - 1:
            raise metadata.other(
                f"{where}, {name}", record[name], f"the window, {record['n_bars'] - 1}"
            )
    if tuple(record["feature_names"]) != known.names:
        names = f"the {len(known.names)} of this version's {feature_set!r}"
        raise metadata.other(f"{where}, feature_names", record["feature_names"], names)
    return known.names
