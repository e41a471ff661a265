"""The tables of a training's diagnostics: their columns, and how they are written and read.

A detector is trained several times over (inner folds, then members), so each row names its ``run``
first. Cells of tasks that are not learnt are empty, as are those without a number. By file:

``loss_components``
    Loss of each task, unweighted, and what is minimised; a row for each phase.
``uncertainty_params``
    Learnt uncertainty of each task, and the weight of its loss.
``probability_stats``
    Probabilities of bars in spans and outside; ``separation`` is the difference of their means.
``feature_stats``
    Of the features as computed, before they are standardised, over all bars; they are the same in
    every pass, so they stand in its first alone.
``gradient_stats``
    Norm of the gradient before it is clipped, mean over the batches of a pass, of all weights and
    by layer.
``epoch_metrics``
    What was minimised, on windows learnt from and held out; ``base_span_loss``, the loss of spans
    where every bar is scored alike; bar F1, precision and recall at a probability of 0.5 in each
    window, averaged over those held out; the metric that chooses the pass, and whether it was, so
    far, the best.
``task_shares``
    Share of each task in the weighted loss, and, every tenth pass, in the gradients of the weights
    that they share, those of the encoder: norm of each task's, over the sum of these norms.
"""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from proxytools.errors import InputError
from proxytools.rundir import RunDir

Rows = dict[str, list[dict[str, Any]]]
Tables = dict[str, pd.DataFrame]

TASKS = {"type": "type", "ptr": "pointers", "span": "span", "countdown": "countdown"}
"""Names of tasks in columns."""
PHASES = ("train", "val")
STATISTICS = ("mean", "std", "min", "max", "median")


def _of(what: str, parts: Any = TASKS) -> list[str]:
    return [f"{what}_{part}" for part in parts]


_PASS = ["run", "epoch"]
COLUMNS: dict[str, list[str]] = {
    "loss_components": [*_PASS, "phase", *_of("loss"), "total_loss"],
    "uncertainty_params": [*_PASS, *_of("sigma"), *_of("weight")],
    "probability_stats": [
        *_PASS,
        "phase",
        *_of("in_span", STATISTICS),
        *_of("out_span", STATISTICS),
        "separation",
    ],
    "feature_stats": [*_PASS, "phase", "feature_name", *STATISTICS],
    "gradient_stats": [*_PASS, "total_grad_norm"],  # and a column a layer
    "epoch_metrics": [
        *_PASS,
        *("train_loss", "val_loss", "base_span_loss"),
        *("span_f1", "span_precision", "span_recall"),
        *("held_out", "best"),
    ],
    "task_shares": [*_PASS, *_of("loss_share"), *_of("gradient_share")],
}
_KINDS = {"run": "str", "phase": "str", "feature_name": "str", "epoch": "int64", "best": "bool"}
_NAMES = {
    "run": re.compile(r"[A-Za-z0-9 _-]{1,40}"),
    "phase": re.compile("|".join(PHASES)),
    "feature_name": re.compile(r"[A-Za-z0-9_.-]{1,80}"),
}
_LAYER = re.compile(r"[A-Za-z0-9_.]{1,80}")
MOST_BYTES = 2**27  # of a file
MOST_PASSES = 10**6


def of(rows: Rows) -> Tables:
    """Return what was recorded as tables."""
    tables = {}
    for name, columns in COLUMNS.items():
        found = pd.DataFrame(rows[name])
        layers = [column for column in found if column not in columns] if _is_open(name) else []
        found = found.reindex(columns=columns + layers)
        kinds: dict[Any, Any] = {column: _KINDS.get(column, "float64") for column in found.columns}
        tables[name] = found.astype(kinds)
    return tables


def write(tables: Tables, run: RunDir) -> None:
    """Write one CSV file a table."""
    for name, table in tables.items():
        table.to_csv(run / f"{name}.csv", index=False)


def read(run: RunDir) -> Tables:
    """Read the tables back; safe for a run from a stranger.

    Raises
    ------
    InputError
        A file is missing, damaged or too large, or disagrees with the others about the passes.
    """
    tables = {name: _read(run / f"{name}.csv", columns) for name, columns in COLUMNS.items()}
    passes = _checked_passes(tables["epoch_metrics"], run / "epoch_metrics.csv")
    held = tables["loss_components"].query("phase == 'val'")["run"].unique()
    for name, table in tables.items():
        by_phase = {phase: table[table["phase"] == phase] for phase in PHASES if "phase" in table}
        for phase, part in (by_phase or {"train": table}).items():
            expected = passes if phase == "train" else passes[passes["run"].isin(held)]
            if name == "feature_stats":  # in the first pass alone, many a pass
                part, expected = part.drop_duplicates(_PASS), expected[expected["epoch"] == 1]
            if sorted(part[_PASS].to_numpy().tolist()) != sorted(expected.to_numpy().tolist()):
                where = f"{run / name}.csv, {phase} rows"
                raise _damaged(where, "other passes", "those of epoch_metrics.csv")
    return tables


def _checked_passes(metrics: pd.DataFrame, path: Path) -> pd.DataFrame:
    counted = metrics.groupby("run").cumcount() + 1
    if metrics.empty or not np.array_equal(counted, metrics["epoch"]):
        got = "no pass" if metrics.empty else "other numbers"
        raise _damaged(f"{path}, epoch", got, "1, 2, 3 and so on in each run")
    return metrics[_PASS]


def _read(path: Path, columns: list[str]) -> pd.DataFrame:
    if not path.is_file():
        raise _damaged(str(path), "nothing there", "diagnostics that `deep train` wrote")
    if path.stat().st_size > MOST_BYTES:
        raise _damaged(str(path), f"{path.stat().st_size} bytes", f"at most {MOST_BYTES}")
    kinds = defaultdict(lambda: "float64", {**_KINDS, "epoch": "float64"})
    try:
        table = pd.read_csv(path, dtype=kinds, encoding="utf-8")
    except (ValueError, OverflowError, TypeError) as error:  # what pandas raises of bad text
        reason = str(error).strip().splitlines()[0][:120]
        raise _damaged(
            str(path), f"damaged text ({reason})", "the table that was written"
        ) from None
    found = list(table.columns)
    layers = found[len(columns) :] if _is_open(path.stem) else []
    if found != columns + layers or not all(map(_LAYER.fullmatch, layers)):
        raise _damaged(str(path), f"the columns {', '.join(found)[:80]!r}", ", ".join(columns))
    epoch = table["epoch"]
    if not (epoch.between(1, MOST_PASSES) & (epoch == epoch.round())).all():
        raise _damaged(f"{path}, column epoch", "other numbers", f"1 to {MOST_PASSES}")
    for name, legal in _NAMES.items():
        if name in table and not table[name].astype(str).str.fullmatch(legal).all():
            raise _damaged(f"{path}, column {name}", "something else", "a short plain name")
    return table.astype({"epoch": "int64"})


def _is_open(name: str) -> bool:
    return name == "gradient_stats"


def _damaged(where: str, got: str, expected: str) -> InputError:
    return InputError(where, got=got, expected=expected, fix="Train again with this version")
