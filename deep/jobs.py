"""What the commands do: whole jobs, from a data set to the files of a run."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

from sklearn.base import clone

from deep import checkpoint, gain, tables, verdict
from deep.detector import SpanDetector
from deep.diagnostics import Recorder
from deep.place import left_out
from deep.train import Observer, Observers
from proxytools import evaluate, pipeline, rundir
from proxytools.proxies.bars import BarProxy
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
    the diagnostics of every fold and member (see `deep.tables`), ``curves.png``, ``verdict.txt``
    (see `deep.verdict`), ``metrics.json``, ``soft_labels.parquet`` and ``spans.csv``, what was
    said of windows held out in outer or else inner folds (not where these hold parts of windows),
    and ``pretraining.csv``, the loss of every pass of pre-training.

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
        a little. Where it was pre-trained, the same seed without it, ``without_pretraining``, and
        the difference, ``pretraining_gain``: on outer folds with 95 % intervals, paired, by group.
        ``warnings`` are sentences.

    Raises
    ------
    GateError
        The proxy whose soft labels are to be learnt from does not pass the gate.
    """
    from deep import curves  # imports matplotlib

    computed = evaluate.compute(data, [detector])
    own = computed[detector.feature_set]
    options: dict[str, Any] = {
        "n_folds": n_folds,
        "seed": detector.seed,
        "embargo": embargo,
        "features": computed,
        "track": track,
    }
    metrics: dict[str, Any] = {"model": detector.name, "evaluation": "inner folds"}
    also = SpanDetector.anywhere if detector.settings.place else None
    fitted = evaluate.cross_fit(detector, data, **options, also=also) if n_folds else None
    recorder = Recorder(own.names)
    observer = Observers([detector.observer or Observer(), recorder])
    final = clone(detector).set_params(observer=observer).fit(own, data)
    checkpoint.save(checkpoint.model_of(final, data, own), run)
    if fitted:
        pipeline.write_held_out(run, fitted.soft, fitted.spans, "outer folds")
    elif final.inner_ and not final.settings.slide:
        soft, spans = final.inner_
        pipeline.write_held_out(run, soft, spans, "inner folds")
    recorded = tables.of(recorder.rows)
    tables.write(recorded, run)
    curves.draw(recorded, detector.settings.metric, run / "curves.png")
    found = verdict.verdicts(recorded, detector.settings)
    (run / "verdict.txt").write_text("".join(f"{sentence}\n" for sentence in found))
    metrics |= {"evaluation": "outer folds", **fitted.metrics} if fitted else final.held_out_
    if fitted and fitted.also:
        metrics |= left_out(fitted.also.metrics)
    if detector.uses_unlabelled:
        metrics |= _gain(detector, metrics, data, fitted, options)
        minded = gain.warnings(detector.settings.pretrain, metrics["without_pretraining"])
        metrics["warnings"] = final.warnings_ + minded
        tables.write({"pretraining": gain.passes(final.history_)}, run)
    run.write_json("metrics.json", metrics)
    return metrics


def _gain(
    detector: SpanDetector,
    metrics: dict[str, Any],
    data: SpanDataset,
    fitted: evaluate.CrossFit | None,
    options: dict[str, Any],
) -> dict[str, Any]:
    """Do the same without pre-training, and return the comparison."""
    plain = gain.untaught(detector)
    if fitted is None:
        own = options["features"][plain.feature_set]
        found = gain.report(metrics, plain.fit(own, data).held_out_)
    else:
        without = evaluate.cross_fit(plain, data, **options)
        found = gain.report(metrics, without.metrics)
        found["pretraining_gain"] |= gain.intervals(fitted, without, detector.seed)
    return found


def evaluate_model(model: Model, data: SpanDataset) -> dict[str, Any]:
    """Bar and span metrics of a detector on other labelled windows, as those of any proxy.

    Where it has learnt from its windows where spans stand in them, also what is left without that:
    ``pearson_r_without_place`` and ``span_f1_50_without_place``, see `deep.place`.

    Raises
    ------
    InputError
        As `proxytools.pipeline.evaluate_model`.
    """
    metrics = pipeline.evaluate_model(model, data)
    if cast(SpanDetector, model.proxy).settings.place:
        metrics |= left_out(pipeline.evaluate_model(anywhere(model), data))
    return metrics


def anywhere(model: Model) -> Model:
    """Return the model for windows that were cut otherwise than those it learnt from."""
    return replace(model, proxy=cast(BarProxy, cast(SpanDetector, model.proxy).anywhere()))


def load_model(run: Path, device: str = "cpu", threads: int = 0) -> Model:
    """Read the detector of a run directory; safe for one from a stranger."""
    return checkpoint.load(rundir.open_run(run), device, threads)


def diagnose(run: Path) -> dict[str, Any]:
    """Say what the diagnostics of a run tell; safe for one from a stranger, and writes nothing.

    Returns
    -------
    dict
        ``verdicts``, see `deep.verdict`; ``metric``, what chose the passes; ``last_pass``, figures
        of each training's last.

    Raises
    ------
    InputError
        It is no run of a detector, or a file of it is damaged.
    """
    opened = rundir.open_run(run)
    settings, recorded = checkpoint.settings_of(opened), tables.read(opened)
    found = verdict.verdicts(recorded, settings)
    return {
        "verdicts": [asdict(sentence) for sentence in found],
        "metric": settings.metric,
        "last_pass": verdict.last_passes(recorded),
    }
