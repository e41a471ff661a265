"""Finished runs in MLflow, for those who compare their experiments there."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from proxytools import rundir
from proxytools.errors import InputError, ProxytoolsError

_FACTS = ("seed", "device", "threads", "processes")  # as they came to be, whatever was asked for


def check() -> None:
    """Refuse to track where MLflow is not installed, before the work that is to be tracked.

    Raises
    ------
    InputError
        The extra ``mlflow`` is not installed.
    """
    if find_spec("mlflow") is None:
        raise InputError(
            "tracking",
            got="no package mlflow",
            expected="the extra mlflow",
            fix="Install it: pip install '.[mlflow]'",
        )


def log(path: Path) -> str:
    """Log a finished run to MLflow: what was set, the figures, the files.

    The resolved settings become parameters, the numbers of ``metrics.json`` metrics and all files
    artifacts. Each row of a leaderboard becomes a nested run with the same parameters, so that
    MLflow compares models as it compares runs.

    Where to is MLflow's own affair: ``MLFLOW_TRACKING_URI`` and ``MLFLOW_EXPERIMENT_NAME``, else
    ``mlflow.db`` in the working directory and the experiment "Default". Nothing is sent anywhere
    else: MLflow's telemetry is switched off before MLflow is imported. A program that has imported
    it earlier has decided for itself.

    Parameters
    ----------
    path : Path
        A run directory; it is only read.

    Returns
    -------
    str
        MLflow's identifier of the run.

    Raises
    ------
    ProxytoolsError
        MLflow failed. The run directory is as it was.
    """
    run = rundir.open_run(path)
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    failures: tuple[type[Exception], ...] = (ImportError, OSError)
    try:
        failures += (import_module("mlflow.exceptions").MlflowException,)
        failures += (import_module("sqlalchemy.exc").SQLAlchemyError,)
        with redirect_stdout(sys.stderr):  # MLflow says there where to look
            return _log(run)
    except failures as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise ProxytoolsError(f"{path} is written, but not tracked: {reason}") from None


def _log(run: rundir.RunDir) -> str:
    mlflow: Any = import_module("mlflow")
    record = run.read_json("run.json")
    params = {**record["config"], **{name: record[name] for name in _FACTS}}
    metrics = run.read_json("metrics.json") if (run / "metrics.json").exists() else {}
    rows = run.read_json("leaderboard.json") if (run / "leaderboard.json").exists() else []
    with mlflow.start_run(run_name=run.path.name, nested=True) as begun:
        mlflow.log_params(params)
        mlflow.set_tags({"command": shlex.join(record["command"]), **_texts(metrics)})
        mlflow.log_metrics(dict(_numbers(metrics)))
        for row in rows:
            with mlflow.start_run(run_name=row["model"], nested=True):
                mlflow.log_params({**params, "model": row["model"]})
                mlflow.log_metrics(dict(_numbers(row)))
        mlflow.log_artifacts(str(run.path))
    identifier: str = begun.info.run_id
    return identifier


def _numbers(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Find the numbers of nested mappings; what is not known has none.

    Examples
    --------
    >>> dict(_numbers({"model": "deep", "r": 0.5, "gain": {"r": 0.1, "low": None}}))
    {'r': 0.5, 'gain.r': 0.1}
    """
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{name}.")
        elif type(value) in (int, float):
            yield prefix + name, value


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Return what says how the numbers were come by, as ``evaluation``."""
    return {name: value for name, value in values.items() if isinstance(value, str)}
