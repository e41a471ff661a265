"""The whole audit of a data set, written into a run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from proxytools import evaluate, plots, rundir
from proxytools.audit import pairs as found_pairs
from proxytools.audit.leaks import leaks
from proxytools.audit.pairs import Pairs, pairs
from proxytools.audit.suspects import KINDS, Suspects, find
from proxytools.errors import GateError, InputError
from proxytools.evaluate import CrossFit
from proxytools.proxies.reference import PositionPrior
from proxytools.types import Proxy, SpanDataset

Table = list[dict[str, Any]]


def audit(
    run: rundir.RunDir,
    proxy: Proxy,
    data: SpanDataset,
    *,
    split: NDArray[np.str_] | None = None,
    n_shown: int = 6,
    n_folds: int = 5,
    seed: int = 0,
    embargo: str = "0",
    track: evaluate.Track = iter,
) -> dict[str, Any]:
    """Judge every mark by predictions that were held out from it, and windows by each other.

    Files: ``audit.csv`` (every mark and every stretch without one, the most suspect first),
    ``pairs.csv`` (duplicates and overlaps), ``audit.json`` (what is returned), ``audit.png`` (the
    most suspect windows).

    Parameters
    ----------
    run : RunDir
    proxy : Proxy
        Cross-fitted on the labelled windows.
    data : SpanDataset
    split : (N,) str, optional
        Name of each window's side of a split, "" for none.
    n_shown : int
        Windows in the picture and rows in ``worst``.
    n_folds, seed, embargo, track
        As in `proxytools.evaluate.cross_fit`.

    Returns
    -------
    dict
        ``flagged``, suspects by kind that are more probably mistakes than not; ``pairs`` by kind;
        ``position_prior``, what the place of a bar in its window explains; ``leaks``, with a split;
        ``notes``, sentences on what to mind; ``worst``, the most suspect as in ``audit.csv``.

    Raises
    ------
    InputError
        The data have no marks, or too few groups to hold one out.
    """
    labelled = data.take(data.labelled)
    if not len(labelled.spans):
        raise InputError("data", got="no marked span", expected="marks to audit")
    options: dict[str, Any] = {"n_folds": n_folds, "seed": seed, "embargo": embargo}
    fitted = evaluate.cross_fit(proxy, labelled, **options, track=track)
    prior = evaluate.cross_fit(PositionPrior(), labelled, **options)
    suspects, related = find(fitted.soft.prob, labelled.spans), pairs(data)
    table = _table(suspects, labelled)
    torn = None if split is None else leaks(data.windows, split)
    kinds = np.bincount(suspects.kind[suspects.flagged], minlength=len(KINDS))
    report = {
        "model": proxy.name,
        "n_windows": len(labelled),
        "n_marks": len(labelled.spans),
        "flagged": dict(zip(KINDS, kinds.tolist(), strict=True)),
        "pairs": _count(related),
        "held_out": _correlation(fitted),
        "position_prior": _correlation(prior),
        "leaks": None if torn is None else len(torn),
        "notes": [*_notes(data, related, prior), *_leak_notes(data, split, torn)],
        "worst": table[:n_shown],
    }
    whole = dict.fromkeys(("start", "end", "better_start", "better_end"), "Int64")
    pd.DataFrame(table).astype(whole).to_csv(run / "audit.csv", index=False)
    pd.DataFrame(_pairs_table(related, data)).to_csv(run / "pairs.csv", index=False)
    run.write_json("audit.json", report)
    _draw(run, fitted, suspects, n_shown)
    return report


def check_split(report: dict[str, Any]) -> None:
    """Refuse a split that has windows of one group on both sides.

    Raises
    ------
    GateError
        In the words of the report's own note.
    """
    if report["leaks"]:
        raise GateError(report["notes"][-1])


def _correlation(fitted: CrossFit) -> dict[str, float]:
    low, high = fitted.interval
    return {"pearson_r": fitted.metrics["pearson_r"], "ci_low": low, "ci_high": high}


def _table(suspects: Suspects, data: SpanDataset) -> Table:
    """One row a suspect; half-open bar indices, None where there is nothing."""
    columns = {
        "window_id": data.windows.ids[suspects.window].tolist(),
        "kind": [KINDS[kind] for kind in suspects.kind],
        "score": suspects.score.round(6).tolist(),
        "flagged": suspects.flagged.tolist(),
        "start": _bars(suspects.start),
        "end": _bars(suspects.stop),
        "better_start": _bars(suspects.better_start),
        "better_end": _bars(suspects.better_stop),
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _bars(edges: Any) -> list[int | None]:
    return [None if edge < 0 else edge for edge in edges.tolist()]


def _pairs_table(related: Pairs, data: SpanDataset) -> dict[str, Any]:
    ids = data.windows.ids
    return {
        "window_id": ids[related.a],
        "other_id": ids[related.b],
        "kind": [found_pairs.KINDS[kind] for kind in related.kind],
        "similarity": related.similarity,
        "same_marks": related.same_marks,
        "apart": related.apart,
    }


def _count(related: Pairs) -> dict[str, int]:
    count = np.bincount(related.kind, minlength=len(found_pairs.KINDS)).tolist()
    return {
        **dict(zip(found_pairs.KINDS, count, strict=True)),
        "marked differently": int((~related.same_marks).sum()),
        "in different groups": int(related.apart.sum()),
    }


def _notes(data: SpanDataset, related: Pairs, prior: CrossFit) -> list[str]:
    """Sentences on what would flatter or confuse a model."""
    notes, ids = [], data.windows.ids
    apart, differ = np.flatnonzero(related.apart), np.flatnonzero(~related.same_marks)
    if len(apart):
        a, b = (str(ids[side[apart[0]]]) for side in (related.a, related.b))
        notes.append(
            f"{len(apart)} pairs of windows are copies or share bars though they are declared "
            f"apart, {a!r} and {b!r} the first: folds may part them; give them one base_window_id."
        )
    if len(differ):
        a, b = (str(ids[side[differ[0]]]) for side in (related.a, related.b))
        notes.append(
            f"{len(differ)} pairs of copies are marked differently, {a!r} and {b!r} the first."
        )
    low, high = prior.interval
    if low > 0:
        notes.append(
            f"Where a bar stands in its window explains marks by itself: r = "
            f"{prior.metrics['pearson_r']:.3f} [{low:.3f}, {high:.3f}]. A model may learn only "
            "that; cut windows without regard to where the span lies, and compare every model "
            "with the row position-prior."
        )
    return notes


def _leak_notes(data: SpanDataset, split: Any, torn: Any) -> Sequence[str]:
    if torn is None or not len(torn):
        return []
    a, b = torn[0]
    ids = data.windows.ids
    return [
        f"The split leaks: {len(torn)} groups of windows that share bars or a parent stand on both "
        f"sides, {str(ids[a])!r} ({split[a]}) and {str(ids[b])!r} ({split[b]}) the first."
    ]


def _draw(run: rundir.RunDir, fitted: CrossFit, suspects: Suspects, n_shown: int) -> None:
    """Draw the most suspect windows, each with its worst suspicion as its title."""
    _, row = np.unique(suspects.window, return_index=True)  # the first, so the worst, of each
    worst = suspects.take(np.sort(row)[:n_shown])
    titles = []
    for k in range(len(worst)):
        start, stop = worst.better_start[k], worst.better_stop[k]
        where = f", better {start} to {stop}" if start >= 0 else ""
        name = fitted.data.windows.ids[worst.window[k]]
        titles.append(f"{name}: {KINDS[worst.kind[k]]}{where}, score {worst.score[k]:.2f}")
    plots.windows(fitted, worst.window, run / "audit.png", titles=titles)
