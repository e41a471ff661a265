"""What the commands do: whole jobs, from a data set to the files of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.base import clone

from proxytools import evaluate, features, io, label, leaderboard, plots, rundir, splits, synthetic
from proxytools.errors import InputError
from proxytools.evaluate import CrossFit
from proxytools.leaderboard import Row
from proxytools.proxies import make, store
from proxytools.proxies.bars import BarProxy
from proxytools.proxies.linear import FormulaProxy
from proxytools.proxies.statistics import calibration_stats, expansion_stats
from proxytools.types import FeatureSet, SoftLabels, SpanDataset, Spans

DEFAULT_DATA = "planted medium, 210 windows, seed 1"


def default_data() -> SpanDataset:
    """Return the embedded data set, for a command without ``--data``."""
    return synthetic.planted(210, preset="medium", seed=1).data


def fit(
    run: rundir.RunDir,
    proxy: BarProxy,
    data: SpanDataset,
    *,
    n_folds: int = 5,
    seed: int = 0,
    embargo: str = "0",
    require_causal: bool = False,
    track: evaluate.Track = iter,
) -> dict[str, Any]:
    """Cross-fit a proxy, refit it on all labelled windows and write everything into a run.

    Files: ``model.json`` and its weights, ``soft_labels.parquet`` (held out for labelled windows;
    for unlabelled ones from the refit), ``spans.csv`` (held-out detections), ``metrics.json``,
    ``expansion_stats.csv``, ``proxy_validation.png``, ``windows.png``; ``proxy_formula.json`` for
    a formula.

    Returns
    -------
    dict
        The content of ``metrics.json``, and the ``seconds`` that the cross-fit took.

    Raises
    ------
    InputError
        ``require_causal`` and the proxy's features look ahead, or the data are unfit.
    """
    computed = evaluate.compute(data, [proxy])
    own = computed[proxy.feature_set]
    if require_causal:
        check_causal(proxy.name, own.lookahead_bars)
    fitted = evaluate.cross_fit(
        proxy, data, n_folds=n_folds, seed=seed, embargo=embargo, features=computed, track=track
    )
    final = clone(proxy).fit(own, data)
    model = store.Model.of(final, data, own)
    store.save(model, run)
    soft = _all_soft(fitted, model, data, own)
    places = np.flatnonzero(data.labelled)
    spans = Spans.concatenate([fitted.spans], [places], len(data))
    write_held_out(run, soft, spans, "outer folds")
    stats = expansion_stats(data)
    stats.to_csv(run / "expansion_stats.csv", index=False)
    averages = calibration_stats(stats)
    metrics = {"model": proxy.name, **fitted.metrics, "span_averages": averages}
    run.write_json("metrics.json", metrics)
    if isinstance(final, FormulaProxy):
        run.write_json("proxy_formula.json", final.report(metrics, averages))
    plots.validation(fitted, run / "proxy_validation.png")
    plots.gallery(fitted, run / "windows.png", seed=seed)
    return {**metrics, "seconds": fitted.seconds}


def correlate(
    run: rundir.RunDir,
    proxies: Sequence[BarProxy],
    data: SpanDataset,
    *,
    gate: float | None = None,
    **options: Any,
) -> list[Row]:
    """Put proxies and references on one leaderboard and write it into a run.

    Files: ``leaderboard.json``, ``leaderboard.csv``, ``leaderboard.png``. Options are those of
    `leaderboard.correlate`.
    """
    rows = leaderboard.correlate(proxies, data, **options)
    table = [asdict(row) for row in rows]
    run.write_json("leaderboard.json", table)
    pd.DataFrame(table).to_csv(run / "leaderboard.csv", index=False)
    plots.leaderboard(
        rows, run / "leaderboard.png", gate=leaderboard.GATE if gate is None else gate
    )
    return rows


def demo(
    run: rundir.RunDir, data: SpanDataset, *, seed: int = 0, threads: int = 0, **options: Any
) -> list[Row]:
    """Correlate every kind of proxy, then fit the boosted one, all into one run.

    Options are those of `leaderboard.correlate`.
    """
    names = ("formula", "formula-classic", "logistic", "lightgbm", "xgboost")
    proxies = [make(name, seed=seed, threads=threads) for name in names]
    rows = correlate(run, proxies, data, seed=seed, **options)
    fit(run, make("lightgbm", seed=seed, threads=threads), data, seed=seed)
    return rows


def check_causal(name: str, lookahead_bars: int) -> None:
    """Refuse what looks ahead.

    Raises
    ------
    InputError
        ``lookahead_bars`` is above 0.
    """
    if lookahead_bars > 0:
        raise InputError(
            f"--require-causal, {name}",
            got=f"features that look {lookahead_bars} bars ahead",
            expected="features that never look ahead",
            fix="Use --features causal",
        )


def evaluate_model(model: store.Model, data: SpanDataset) -> dict[str, Any]:
    """Bar and span metrics of a saved proxy on other labelled windows.

    Returns
    -------
    dict
        Everything `bar_metrics` and `span_metrics` return, the interval of Pearson r
        (``ci_low``, ``ci_high``) and ``n_windows``.

    Raises
    ------
    InputError
        No window is labelled, or some share bars with those that the model learnt from.
    """
    if not data.labelled.any():
        raise InputError("data", got="no labelled window", expected="labelled windows")
    data = data.take(data.labelled)
    known = splits.shares_bars(data.windows.ohlc, model.seen)
    if known.any():
        raise InputError(
            "data",
            got=f"{known.sum()} of {len(data)} windows with bars that the model learnt from, "
            f"{str(data.windows.ids[known][0])!r} the first",
            expected="windows it never saw",
            fix="Leave them out; metrics.json of the run has its own windows' held-out figures",
        )
    own = features.compute(data.windows.ohlc, model.proxy.feature_set)
    soft = SoftLabels(
        model.proxy.predict(own),
        model.proxy.name,
        np.ones(len(data), bool),
        data.windows.ids,
        model.lookahead_bars,
    )
    units = splits.resampling_units(data.windows, splits.groups(data.windows))
    result = CrossFit(data, soft, model.proxy.detect(own), units, 0.0)
    return {"model": model.proxy.name, "n_windows": len(data), **result.metrics}


def load_model(run: Path) -> store.Model:
    """Read the model of a run directory; safe for one from a stranger."""
    return store.load(rundir.open_run(run))


def label_bars(
    run: Path,
    bars: Path,
    out: Path,
    *,
    require_causal: bool = False,
    **options: Any,
) -> int:
    """Write the soft labels of a file of bars with the model of a run; see `label.label`."""
    model = load_model(run)
    if require_causal:
        check_causal(model.proxy.name, model.lookahead_bars)
    fingerprint = io.sha256(run / "model.json") + io.sha256(run / model.proxy.weights_file)
    return label.label(model, bars, out, fingerprint=fingerprint, **options)


def _all_soft(
    fitted: CrossFit, model: store.Model, data: SpanDataset, own: FeatureSet
) -> SoftLabels:
    """Held-out labels of labelled windows; the refit's for the others, which it never saw.

    An unlabelled window that shares bars with a labelled one was seen, and is not held out.
    """
    prob = np.empty((len(data), data.n_bars), np.float32)  # (N, T)
    prob[data.labelled] = fitted.soft.prob
    held_out = np.ones(len(data), bool)
    if not data.labelled.all():
        prob[~data.labelled] = model.proxy.predict(own.take(~data.labelled))
        groups = splits.groups(data.windows)
        held_out = data.labelled | ~np.isin(groups, groups[data.labelled])
    return SoftLabels(
        prob, fitted.soft.source, held_out, data.windows.ids, fitted.soft.lookahead_bars
    )


def write_held_out(run: rundir.RunDir, soft: SoftLabels, spans: Spans, folds: str) -> None:
    """Write what a proxy said of windows it never saw: ``soft_labels.parquet``, ``spans.csv``.

    ``folds`` says which folds held them out: "outer folds", or "inner folds", on which something
    was chosen too.
    """
    table = pa.table(
        {"window_id": soft.ids.tolist(), "prob": list(soft.prob), "held_out": soft.held_out}
    )
    about = {"source": soft.source, "lookahead_bars": str(soft.lookahead_bars), "folds": folds}
    pq.write_table(table.replace_schema_metadata(about), run / "soft_labels.parquet")
    found = {
        "window_id": soft.ids[spans.window],
        "start": spans.start,
        "stop": spans.stop,
        "score": spans.score,
    }
    pd.DataFrame(found).to_csv(run / "spans.csv", index=False)
