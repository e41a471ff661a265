"""What the commands do: whole jobs, from a data set to the files of a run."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.base import clone

from deep import checkpoint
from deep.detector import SpanDetector
from proxytools import evaluate, rundir
from proxytools.proxies.store import Model
from proxytools.types import SpanDataset


def train(
    run: rundir.RunDir,
    detector: SpanDetector,
    data: SpanDataset,
    *,
    n_folds: int = 0,
    embargo: str = "0",
    track: evaluate.Track = iter,
) -> dict[str, Any]:
    """Train a detector on all labelled windows and write it into a run.

    Files: ``best_model.pt``, ``metadata.json``, ``seen.npy`` (see `deep.checkpoint`),
    ``history.csv`` (one row for each pass of each fold and member), ``metrics.json``.

    Parameters
    ----------
    n_folds : int
        Outer folds to cross-fit on before, for metrics of windows that took no part in anything;
        0 for none.

    Returns
    -------
    dict
        The content of ``metrics.json``: bar and span metrics, and in ``evaluation`` on what:
        ``"outer folds"``, or ``"inner folds"``, which chose stopping and decoding and so flatter
        a little.
    """
    computed = evaluate.compute(data, [detector])
    own = computed[detector.feature_set]
    metrics: dict[str, Any] = {"model": detector.name, "evaluation": "inner folds"}
    outer: dict[str, Any] = {}
    if n_folds:
        fitted = evaluate.cross_fit(
            detector,
            data,
            n_folds=n_folds,
            seed=detector.seed,
            embargo=embargo,
            features=computed,
            track=track,
        )
        outer = {"evaluation": "outer folds", **fitted.metrics}
    final = clone(detector).fit(own, data)
    checkpoint.save(checkpoint.model_of(final, data, own), run)
    pd.json_normalize(list(map(asdict, final.history_))).to_csv(run / "history.csv", index=False)
    metrics |= outer or final.held_out_
    run.write_json("metrics.json", metrics)
    return metrics


def load_model(run: Path, device: str = "cpu", threads: int = 0) -> Model:
    """Read the detector of a run directory; safe for one from a stranger."""
    return checkpoint.load(rundir.open_run(run), device, threads)
