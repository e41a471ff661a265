"""The predecessor's experiment beside its own figures, then one change at a time until it works.

``python -m benchmarks.reproduction`` plants 210 medium windows (168 to learn from, 42 that choose
the pass) for each seed and climbs `LADDER`, each step on top of the one before. What a step gave is
the paired difference on 500 windows that took no part in anything, a mean over seeds. Beside it:
the formula search, what the split of overlapping windows claims, and which of the predecessor's
figures do not follow from its own components. Writes ``benchmarks/results/reproduction.json``, and
goes on where it stopped: ``--again`` names steps to climb anew. ``python -m benchmarks.story``
draws it.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch

from benchmarks.jade import JADE, N_HELD, N_TEST, N_TRAIN, bar_f1, separation, trained
from benchmarks.recomputed import seconds_per_epoch
from benchmarks.record import RESULTS, Cells, Row, paired, said
from deep.augment import children
from deep.detector import SpanDetector
from deep.presets import preset
from deep.settings import Settings
from proxytools import features, synthetic
from proxytools.evaluate import cross_fit
from proxytools.metrics.bar import pearson
from proxytools.metrics.span import window_counts
from proxytools.proxies import make
from proxytools.types import Int, SpanDataset

SEEDS = (1, 2, 3)
EPOCHS = 100
PARENT_BARS, STRIDE = 157, 26  # three windows of 105 bars from each parent

REPORTED: dict[str, Any] = {
    "epoch_1": {
        "raw": {"type": 0.62, "pointers": 0.02, "span": 0.68, "countdown": 10.08},
        "normalised": {"type": 1.14, "pointers": 0.02, "span": 0.67, "countdown": 0.17},
    },
    "countdown_share": {"raw": 0.912, "normalised": 0.13},
    "formula_r": 0.0170,
    "bar_f1": 0.0,
    "separation": 0.002,
}
"""What the predecessor wrote down of itself, on market bars that are not at hand."""

PLAIN = {"type": 0.0, "pointers": 0.0, "countdown": 0.0, "learnt_weights": False}
_RAW = replace(JADE, countdown_target="raw")
_STANDARDISED = replace(JADE, standardise=True)
_DIRECTED = replace(_STANDARDISED, features="directed")
_ALONE = replace(_DIRECTED, **PLAIN)
_WEIGHTED = replace(_ALONE, positive_weight=15.0, choose_by="spans")
_SEGMENTAL = replace(_ALONE, head="segmental", choose_by="spans")
_OURS = preset("segmental")
_ANYWHERE = replace(_OURS, place=False)
_REGULAR = replace(_ANYWHERE, backwards=False, linear=0.0)

LADDER: dict[str, Settings] = {
    "as it was": _RAW,
    "countdown normalised": JADE,
    "features standardised": _STANDARDISED,
    "features that know no direction": _DIRECTED,
    "spans alone": _ALONE,
    "in-span weight 15": _WEIGHTED,
    "segmental head instead": _SEGMENTAL,
    "small, regularised, two directions": _REGULAR,
    "backwards too, and a ridge model": _ANYWHERE,
    "where in a window spans start": _OURS,
    "pre-trained on soft labels": replace(_OURS, pretrain="proxies"),
}
KEY = ("step", "seed")


def drawn(seed: int) -> SpanDataset:
    """Return windows to learn from, to choose the pass on, and to test on, in that order."""
    return synthetic.planted(N_TRAIN + N_HELD + N_TEST, preset="medium", seed=seed).data


def climb(step: str, seed: int, folder: Path) -> Row:
    """Train one step; what it says of the test windows stays in ``folder``, to be paired."""
    settings, data = LADDER[step], drawn(seed)
    own = features.compute(data.windows.ohlc, settings.features)
    learnt, held, tested = np.split(np.arange(len(data)), [N_TRAIN, N_TRAIN + N_HELD])
    begin = perf_counter()
    row: Row = {"step": step, "seed": seed}
    if settings.linear:  # it chooses the pass on folds of its own
        detector = SpanDetector(settings, seed=seed, threads=1, force=True)
        detector.fit(own.take(learnt), data.take(learnt))
        row["seconds"] = perf_counter() - begin
        chosen = detector.predict(own.take(held))
        prob, spans = detector.predict(own.take(tested)), detector.detect(own.take(tested))
    else:
        done = trained(settings, own, data, learnt, held, seed=seed, epochs=EPOCHS)
        row["seconds"] = perf_counter() - begin
        values, first = torch.from_numpy(own.values), done.history[0].losses
        chosen = done.reader.prob(done.best, values[held])
        prob = done.reader.prob(done.best, values[tested])
        spans = done.reader.spans(done.reader.evidence(done.best, values[tested]))
        row["epoch_1"] = first
        row["last"] = done.history[-1].losses
    counts = window_counts(spans, data.spans.take(tested))
    np.savez(_file(folder, step, seed), prob=prob, counts=counts)
    hit, false, missed = counts.sum(0)
    return row | {
        "chosen_r": pearson(chosen, data.mask[held]),
        "chosen_separation": separation(chosen, data.mask[held]),
        "pearson_r": pearson(prob, data.mask[tested]),
        "separation": separation(prob, data.mask[tested]),
        "bar_f1_at_half": bar_f1(prob, data.mask[tested]),
        "span_f1_50": float(2 * hit / max(2 * hit + false + missed, 1)),
    }


def _file(folder: Path, step: str, seed: int) -> Path:
    return folder / f"{step}-{seed}.npz"


def _at_hand(folder: Path, step: str) -> bool:
    return all(_file(folder, step, seed).exists() for seed in SEEDS)


def summary(rows: list[Row], folder: Path, earlier: list[Row]) -> list[Row]:
    """Mean over seeds of every step, and what it gave beside the step before.

    Of steps whose predictions are no longer in ``folder`` it is what ``earlier`` lines say.
    """
    known = {line["step"]: line for line in earlier}
    lines: list[Row] = []
    for step in LADDER:
        own = [row for row in rows if row["step"] == step]
        if len(own) < len(SEEDS):
            break
        names = [name for name, value in own[0].items() if isinstance(value, float)]
        line: Row = {"step": step, **{k: float(np.mean([row[k] for row in own])) for k in names}}
        if lines and _at_hand(folder, step) and _at_hand(folder, lines[-1]["step"]):
            line |= gains(folder, step, lines[-1]["step"])
        elif lines:
            line |= {name: known[step][name] for name in ("r_gain", "f1_gain")}
        lines.append(line)
    return lines


def gains(folder: Path, step: str, before: str) -> Row:
    """Compare two steps on the test windows of each seed."""
    ours, theirs = ([said(_file(folder, name, seed)) for seed in SEEDS] for name in (step, before))
    r, f1 = paired(ours, theirs, [drawn(seed).mask[-N_TEST:] for seed in SEEDS])
    return {"r_gain": r, "f1_gain": f1}


def first_pass(rows: list[Row]) -> Row:
    """Return losses of the first pass and the countdown's share of them, reported and seen."""
    seen = {
        "raw": _means(rows, "as it was"),
        "normalised": _means(rows, "countdown normalised"),
    }
    out: Row = {}
    for name, reported in REPORTED["epoch_1"].items():
        out[name] = {
            "reported": reported,
            "reported_share": REPORTED["countdown_share"][name],
            "share_that_follows": _share(reported),
            "seen": seen[name],
            "seen_share": _share(seen[name]),
        }
    return out


def _means(rows: list[Row], step: str) -> dict[str, float]:
    own = [row["epoch_1"] for row in rows if row["step"] == step]
    return {task: float(np.mean([losses[task] for losses in own])) for task in own[0]}


def _share(losses: dict[str, float]) -> float:
    return losses["countdown"] / sum(losses.values())


def formulas(seed: int) -> Row:
    """Search the formula as it was, where it is then reported, and held out; then ours."""
    data = drawn(seed).take(range(N_TRAIN + N_HELD))
    classic = make("formula-classic", seed=seed)
    own = features.compute(data.windows.ohlc, classic.feature_set)
    best = classic.fit(own, data)
    ours = cross_fit(make("formula", seed=seed), data, seed=seed)
    return {
        "seed": seed,
        "classic, on the windows it was searched on": pearson(best.predict(own), data.mask),
        "classic, held out": cross_fit(make("formula-classic", seed=seed), data, seed=seed).metrics[
            "pearson_r"
        ],
        "directionless, held out": ours.metrics["pearson_r"],
    }


def splits_of(seed: int) -> list[Row]:
    """Train on overlapping windows; held-out ones overlap those learnt from, or they do not."""
    parents = synthetic.planted(
        (N_TRAIN + N_HELD) // 3, preset="medium", seed=seed, n_bars=PARENT_BARS, layout="anywhere"
    ).data
    data, others = children(parents, 105, STRIDE), drawn(seed).take(range(N_TEST))
    rng = np.random.default_rng(seed)
    n_parents = len(parents) * N_HELD // (N_TRAIN + N_HELD)
    ways: dict[str, Callable[[], Int]] = {
        "at random": lambda: np.sort(rng.permutation(len(data))[:N_HELD]),
        "by parent": lambda: np.flatnonzero(
            np.isin(data.windows.parent, rng.permutation(parents.windows.ids)[:n_parents])
        ),
    }
    rows = []
    settings = replace(_WEIGHTED, input_dropout=0.0, dropout=0.0)
    own, other = (features.compute(one.windows.ohlc, settings.features) for one in (data, others))
    for name, draw in ways.items():
        held = draw()
        learnt = np.setdiff1d(np.arange(len(data)), held)
        done = trained(settings, own, data, learnt, held, seed=seed, epochs=EPOCHS)
        claimed = done.reader.prob(done.best, torch.from_numpy(own.values[held]))
        true = done.reader.prob(done.best, torch.from_numpy(other.values))
        rows.append(
            {
                "seed": seed,
                "split": name,
                "claimed_r": pearson(claimed, data.mask[held]),
                "true_r": pearson(true, others.mask),
            }
        )
    return rows


def main() -> None:
    """Measure what is missing, write and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--again", nargs="+", default=[], choices=LADDER, metavar="STEP")
    parser.add_argument("--runs", type=Path, default=Path("runs/reproduction"))
    parser.add_argument("--out", type=Path, default=RESULTS / "reproduction.json")
    given = parser.parse_args()
    given.runs.mkdir(parents=True, exist_ok=True)
    beside: Row = {}

    def report(rows: list[Row]) -> Row:
        climbed = [row for row in rows if row["step"] in LADDER]
        ladder = summary(climbed, given.runs, found.earlier.get("ladder", []))
        seen = {"as it was", "countdown normalised"} <= {row["step"] for row in rows}
        return beside | {"ladder": ladder} | ({"first_pass": first_pass(rows)} if seen else {})

    found = Cells(given.out, KEY, report, again=product(given.again, SEEDS))
    beside["reported"] = REPORTED
    beside["formula"] = [formulas(seed) for seed in SEEDS]
    splits = found.earlier.get("splits")
    beside["splits"] = splits or [row for seed in SEEDS for row in splits_of(seed)]
    ohlc = drawn(1).windows.ohlc[:N_TRAIN]
    beside["recomputed_seconds"] = EPOCHS * seconds_per_epoch(ohlc)
    print(*beside["splits"], *beside["formula"], sep="\n", flush=True)
    for cell in found.missing(product(LADDER, SEEDS)):
        found.add(climb(*cell, given.runs))
    found.write()


if __name__ == "__main__":
    main()
