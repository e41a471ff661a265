"""A detector as an ONNX file, for programs without torch.

Features go in, scores come out; standardisation is inside. The file says in its metadata which
features it reads and how spans are read off. It gets its name only after onnxruntime has computed
with it what torch computes.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deep.detector import SpanDetector
from deep.model import Ensemble
from deep.newfile import new_file
from deep.reading import BarReader, MatchReader
from proxytools import features
from proxytools.errors import InputError
from proxytools.proxies.store import Model

OPSET = 17
TOLERANCE = 1e-4  # most that onnxruntime may differ from torch
BATCHES = (1, 5)  # windows that are checked together
METADATA = "proxytools"  # prefix of the file's metadata


class Scores(nn.Module):
    """What the file computes: named outputs of features (N, T, F).

    ``scores`` (N, T, K), as `deep.tasks.chain` takes them; with the mask head also ``prob`` (N, T),
    calibrated; with the segmental head the constants that a chain needs beside its scores,
    ``length_table`` (4, Lmax + 1) and ``length_log_ratio`` (), see `deep.lengths.LengthScores`.
    """

    def __init__(self, ensemble: Ensemble, reader: Any) -> None:
        super().__init__()
        self.ensemble = ensemble
        self.segmental = isinstance(reader, MatchReader)
        if self.segmental:
            table, log_ratio = (x.detach().clone() for x in ensemble.length())
            self.register_buffer("table", table)
            self.register_buffer("log_ratio", log_ratio)
            self.names = ["scores", "length_table", "length_log_ratio"]
        else:
            self.log_weight = float(np.log(cast(BarReader, reader).positive_weight))
            self.names = ["scores", "prob"]

    def forward(self, values: Tensor) -> tuple[Tensor, ...]:
        """Compute the outputs, in the order of ``names``."""
        scores: Tensor = self.ensemble(values)
        if self.segmental:
            return scores, cast(Tensor, self.table), cast(Tensor, self.log_ratio)
        return scores, torch.sigmoid(scores[..., 0] - self.log_weight)


def export(model: Model, path: Path) -> dict[str, Any]:
    """Write the fitted ensemble as ONNX, any number of windows of any length.

    Parameters
    ----------
    model : Model
        Of a `SpanDetector` on the CPU.
    path : Path
        Must not exist.

    Returns
    -------
    dict
        ``inputs`` and ``outputs`` by name with their shapes, and ``max_abs_difference``: the
        largest from torch, on random bars, over batches of `BATCHES` windows of the training
        length and of half of it.

    Raises
    ------
    InputError
        The path exists or has nowhere to go, the extra ``onnx`` is not installed, or the
        difference is above `TOLERANCE`. Nothing is left behind.
    """
    detector = cast(SpanDetector, model.proxy)
    network = Scores(detector.ensemble_, detector.reader_).eval()
    with new_file(path, "--onnx") as half:
        onnx = _installed("onnx")
        _write(network, torch.from_numpy(_random_features(model, 1, model.n_bars)), half)
        graph = onnx.load(half)
        for name, value in _metadata(model).items():
            entry = graph.metadata_props.add()
            entry.key, entry.value = f"{METADATA}.{name}", json.dumps(value)
        onnx.save(graph, half)
        difference = _difference(network, model, half)
        if not difference <= TOLERANCE:
            raise InputError(
                str(path),
                got=f"outputs that differ from torch by {difference:.2g}",
                expected=f"at most {TOLERANCE:g}",
                fix="Use other versions of torch and onnxruntime",
            )
    return {**_shapes(graph), "max_abs_difference": difference}


def _installed(name: str) -> ModuleType:
    """Import a package of the extra ``onnx``."""
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise InputError(
            "deep export",
            got=f"no package {error.name}",
            expected="the extra onnx",
            fix="Install it: pip install 'proxytools-spans[onnx]'",
        ) from None


def _write(network: Scores, values: Tensor, path: Path) -> None:
    axes = {0: "N", 1: "T"}
    by_bar = [name for name in network.names if not name.startswith("length")]
    with warnings.catch_warnings(
        action="ignore"
    ):  # of the exporter's age; what it makes is checked
        torch.onnx.export(
            network,
            (values,),
            path,
            input_names=["features"],
            output_names=network.names,
            dynamic_axes=dict.fromkeys(["features", *by_bar], axes),
            opset_version=OPSET,
            dynamo=False,  # the newer exporter fixes T, and needs a package more
        )


def _metadata(model: Model) -> dict[str, Any]:
    """Return what a user of the file must know; each value is stored as JSON."""
    detector = cast(SpanDetector, model.proxy)
    reader = cast("MatchReader | BarReader", detector.reader_)
    number, place = detector.ensemble_.number, detector.ensemble_.place
    return {
        "name": detector.name,
        "feature_set": detector.feature_set,
        "feature_names": list(detector.feature_names_),
        "lookback_bars": model.lookback_bars,
        "lookahead_bars": model.lookahead_bars,
        "n_bars": model.n_bars,
        "classes": list(model.classes),
        "head": detector.settings.head,
        "reader": asdict(reader),
        "number": None if number is None else number.tolist(),  # see `deep.number`
        "place": None if place is None else place.tolist(),  # see `deep.place`
    }


def _shapes(graph: Any) -> dict[str, dict[str, list[int | str]]]:
    """Shapes of inputs and outputs, N and T for those that are free."""

    def shape(value: Any) -> list[int | str]:
        return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]

    return {
        "inputs": {value.name: shape(value) for value in graph.graph.input},
        "outputs": {value.name: shape(value) for value in graph.graph.output},
    }


def _difference(network: Scores, model: Model, path: Path) -> float:
    """Largest absolute difference of any output between onnxruntime and torch."""
    session = _installed("onnxruntime").InferenceSession(path, providers=["CPUExecutionProvider"])
    worst: list[float] = []
    for n_windows in BATCHES:
        for n_bars in {model.n_bars, max(model.n_bars // 2, 1)}:
            values = _random_features(model, n_windows, n_bars)
            theirs = session.run(network.names, {"features": values})
            with torch.no_grad():
                ours = network(torch.from_numpy(values))
            for a, b in zip(ours, theirs, strict=True):
                same_shape = tuple(a.shape) == b.shape
                worst.append(np.abs(a.numpy() - b).max() if same_shape else np.inf)
    return float(np.max(worst))  # NaN where there is one


def _random_features(model: Model, n_windows: int, n_bars: int) -> NDArray[np.float32]:
    """(n, T, F) features of random walks."""
    rng = np.random.default_rng(0)
    close = 1000 + rng.normal(size=(n_windows, n_bars)).cumsum(1)  # (n, T)
    opened = close - rng.normal(size=close.shape)
    high = np.maximum(opened, close) + rng.random(close.shape)
    low = np.minimum(opened, close) - rng.random(close.shape)
    ohlc = np.stack([opened, high, low, close], 2)  # (n, T, 4)
    return features.compute(ohlc, cast(SpanDetector, model.proxy).feature_set).values
