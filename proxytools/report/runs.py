"""Run directories to plain data; safe for one from a stranger."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from proxytools import rundir
from proxytools.errors import InputError
from proxytools.leaderboard import Row
from proxytools.metrics.span import window_counts
from proxytools.report import training
from proxytools.types import SoftLabels, Spans

OUTER, INNER = "outer folds", "inner folds"
_TEXTS = ("data", "spans", "labelled", "embargo", "zone", "gap", "bar_interval")
_COUNTS = ("bars", "stride", "folds")


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What a run said of windows it never saw, and which folds held them out."""

    soft: SoftLabels
    spans: Spans
    folds: str


@dataclass(frozen=True, eq=False)
class Run:
    """One run directory.

    Attributes
    ----------
    path : Path
    label : str
        Its name in the report, unlike those of the others.
    record : dict
        ``run.json``.
    held_out : HeldOut, optional
    rows : list of Row
        Its leaderboard; empty where there is none.
    training : training.Training, optional
        Diagnostics of a detector.
    """

    path: Path
    label: str
    record: dict[str, Any]
    held_out: HeldOut | None
    rows: list[Row]
    training: training.Training | None

    @property
    def config(self) -> dict[str, Any]:
        """The resolved settings of its command."""
        config: dict[str, Any] = self.record["config"]
        return config


def read_all(paths: Sequence[Path]) -> list[Run]:
    """Read run directories, each named by its model, and by its folder too where models repeat.

    Raises
    ------
    InputError
        None is given, one is given twice, one is no run of ours, or a file of it is damaged.
    """
    if not paths:
        raise InputError("runs", got="none", expected="at least one run directory")
    seen = Counter(path.resolve() for path in paths)
    for path in paths:
        if seen[path.resolve()] > 1:
            raise InputError(str(path), got="the same run twice", expected="each run once")
    return _named([_read(path) for path in paths])


def _read(path: Path) -> Run:
    opened = rundir.open_run(path)
    record = _record(opened)
    rows = _rows(opened) if (opened / "leaderboard.json").is_file() else []
    held_out = _held_out(opened) if (opened / "soft_labels.parquet").is_file() else None
    label = held_out.soft.source if held_out else path.resolve().name
    return Run(path, label, record, held_out, rows, training.read(opened))


def _named(runs: list[Run]) -> list[Run]:
    """Give runs of one model their folders' names as well, and numbers if that is not enough."""
    models = Counter(run.label for run in runs)
    folders = [run.path.resolve().name for run in runs]
    names = [
        run.label if folder == run.label or models[run.label] == 1 else f"{run.label} ({folder})"
        for run, folder in zip(runs, folders, strict=True)
    ]
    again = Counter(names)
    return [
        replace(run, label=name if again[name] == 1 else f"{name} {place + 1}")
        for place, (run, name) in enumerate(zip(runs, names, strict=True))
    ]


def _record(run: rundir.RunDir) -> dict[str, Any]:
    record: dict[str, Any] = run.read_json("run.json")
    for name, kind in (("config", dict), ("inputs", dict), ("command", list), ("versions", dict)):
        if not isinstance(record.get(name), kind):
            raise _damaged(run / f"run.json, {name}", repr(record.get(name))[:80], kind.__name__)
    config = record["config"]
    settings = {"seed": (record.get("seed"), type(record.get("seed")) is int)}
    settings |= {n: (config.get(n), isinstance(config.get(n), str | None)) for n in _TEXTS}
    settings |= {n: (config.get(n), type(config.get(n)) in (int, type(None))) for n in _COUNTS}
    for name, (value, legal) in settings.items():
        if not legal:
            raise _damaged(run / f"run.json, {name}", repr(value)[:80], "what a command wrote")
    return record


def _rows(run: rundir.RunDir) -> list[Row]:
    where = run / "leaderboard.json"
    found = run.read_json("leaderboard.json")
    fields = Row.__dataclass_fields__
    needed = ("pearson_r", "ci_low", "ci_high", "gain", "gain_low", "gain_high", "seconds")
    legal = isinstance(found, list) and all(
        isinstance(row, dict)
        and row.keys() == fields.keys()
        and isinstance(row["model"], str)
        and all(isinstance(row[name], float | int) for name in needed)
        and all(isinstance(row[n], float | int | None) for n in fields if n != "model")
        for row in found
    )
    if not legal:
        raise _damaged(where, "something else", "rows of a leaderboard")
    return [Row(**row) for row in found]


def _held_out(run: rundir.RunDir) -> HeldOut:
    where = run / "soft_labels.parquet"
    try:
        table = pq.read_table(where)
        ids = np.array(table["window_id"].to_pylist(), str)
        prob = np.array(table["prob"].to_pylist(), np.float32)  # (M, T)
        held_out = np.array(table["held_out"].to_pylist(), bool)
    except (pa.ArrowException, OSError, KeyError, ValueError, TypeError) as error:
        reason = (str(error).splitlines() or [""])[0][:120]
        raise _damaged(
            where, f"damaged soft labels ({reason})", "those that were written"
        ) from None
    legal = prob.ndim == 2 and bool(((prob >= 0) & (prob <= 1)).all())
    if not legal or len(np.unique(ids)) != len(ids):
        got = "a window twice" if legal else "other numbers"
        raise _damaged(where, got, "probabilities of T bars, a row for each window")
    about = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    ahead = about.get("lookahead_bars", "")
    soft = SoftLabels(
        prob,
        about.get("source", run.path.name),
        held_out,
        ids,
        int(ahead) if ahead.isdecimal() else prob.shape[1] - 1,
    )
    folds = INNER if about.get("folds") == INNER else OUTER
    return HeldOut(soft, _spans(run, soft), folds)


def _spans(run: rundir.RunDir, soft: SoftLabels) -> Spans:
    where = run / "spans.csv"
    if not where.is_file():
        raise InputError(str(where), got="nothing there", expected="detections beside soft labels")
    kinds = {"window_id": "str", "start": "int64", "stop": "int64", "score": "float64"}
    try:
        table = pd.read_csv(where, dtype=kinds, keep_default_na=False)[list(kinds)]
    except (ValueError, KeyError, OverflowError) as error:
        reason = (str(error).splitlines() or [""])[0][:120]
        raise _damaged(where, f"damaged text ({reason})", "columns " + ", ".join(kinds)) from None
    place = {name: i for i, name in enumerate(soft.ids.tolist())}
    unknown = [name for name in table["window_id"] if name not in place]
    if unknown:
        raise _damaged(where, f"the window {unknown[0]!r}", "windows of soft_labels.parquet")
    start, stop = table["start"].to_numpy(), table["stop"].to_numpy()
    score = table["score"].to_numpy()
    n_bars = soft.prob.shape[1]
    if not ((start >= 0) & (start < stop) & (stop <= n_bars) & np.isfinite(score)).all():
        raise _damaged(where, "other numbers", f"spans inside {n_bars} bars, with their score")
    window = np.array([place[name] for name in table["window_id"]], np.int64)
    spans = Spans(window, start, stop, len(soft.ids), score=score)
    window_counts(spans, Spans.of([[]] * len(soft.ids)))  # refuses spans that share bars
    return spans


def _damaged(where: Path | str, got: str, expected: str) -> InputError:
    fix = "Make the run again with this version"
    return InputError(str(where), got=got, expected=expected, fix=fix)
