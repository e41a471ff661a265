"""Does the audit find marks that are wrong? Planted data with 5 % of its windows spoilt.

``python -m benchmarks.audit`` spoils planted windows (a span unmarked, one marked at random, an
edge or both moved by 3 to 6 bars), audits them and writes ``benchmarks/results/audit.json``. One
window in five holds no span. Compared on the same held-out probabilities with cleanlab's score of
tokens, on tuning seeds better than its score of segmentations (``pip install cleanlab``; left out
where it is not there), and with chance. The audit's settings were chosen on planted seeds from 300
on.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from sklearn.metrics import average_precision_score

from benchmarks.record import RESULTS, Row, write
from proxytools import synthetic
from proxytools.audit import KINDS, find
from proxytools.evaluate import cross_fit
from proxytools.proxies import make
from proxytools.types import SpanDataset, Spans

WINDOWS, EMPTY, SPOILT = 400, 0.2, 0.05
MOVES = (3, 4, 5, 6)


def spoil(data: SpanDataset, share: float, seed: int) -> tuple[SpanDataset, np.ndarray]:
    """Spoil a share of the windows, each of `KINDS` as often.

    Returns
    -------
    data : SpanDataset
    kind : (N,) int
        Index into `KINDS`; -1 where the marks are right.
    """
    rng = np.random.default_rng(seed)
    per_window = [list(zip(s.start.tolist(), s.stop.tolist(), strict=True)) for s in _each(data)]
    kind = np.full(len(data), -1)
    wanted = np.arange(round(share * len(data))) % len(KINDS)
    order = iter(rng.permutation(len(data)).tolist())
    for change in wanted.tolist():
        window = next(w for w in order if per_window[w] or change == 1)
        marks = per_window[window]
        if change == 1:
            marks.append(_anywhere(marks, int(rng.choice(data.spans.length)), data.n_bars, rng))
        else:
            start, stop = marks.pop(int(rng.integers(len(marks))))
            if change == 2:
                marks.append(_moved(start, stop, marks, data.n_bars, rng))
        kind[window] = change
    return replace(data, spans=Spans.of([sorted(marks) for marks in per_window])), kind


def _each(data: SpanDataset) -> list[Spans]:
    return [data.spans.take([window]) for window in range(len(data))]


def _free(start: int, stop: int, marks: list[tuple[int, int]], n_bars: int) -> bool:
    clear = all(stop <= s or start >= e for s, e in marks)
    return clear and start >= 0 and stop <= n_bars and stop - start >= 2


def _anywhere(
    marks: list[tuple[int, int]], length: int, n_bars: int, rng: np.random.Generator
) -> tuple[int, int]:
    while True:
        start = int(rng.integers(n_bars - length + 1))
        if _free(start, start + length, marks, n_bars):
            return start, start + length


def _moved(
    start: int, stop: int, marks: list[tuple[int, int]], n_bars: int, rng: np.random.Generator
) -> tuple[int, int]:
    while True:
        by = int(rng.choice(MOVES) * rng.choice([-1, 1]))
        first, last = [(by, 0), (0, by), (by, by)][rng.integers(3)]
        if _free(start + first, stop + last, marks, n_bars):
            return start + first, stop + last


def cleanlab_score(prob: np.ndarray, data: SpanDataset) -> np.ndarray:
    """(N,) one minus cleanlab's label quality of each window, its bars taken as tokens."""
    from cleanlab.token_classification.rank import get_label_quality_scores

    both = list(np.stack([1 - prob, prob], axis=2))  # N of (T, 2)
    quality, _ = get_label_quality_scores(data.mask.astype(int).tolist(), both)
    return 1 - quality


def measure(preset: str, seed: int) -> list[Row]:
    """Spoil, audit and compare one data set: a row for each kind, and one for all of them."""
    planted = synthetic.planted(WINDOWS, preset=preset, seed=seed, empty=EMPTY).data
    data, truth = spoil(planted, SPOILT, seed)
    prob = cross_fit(make("logistic", seed=seed), data, seed=seed).soft.prob
    suspects = find(prob, data.spans)
    other = {"random": np.random.default_rng(seed).random(WINDOWS)}
    if find_spec("cleanlab"):
        other["cleanlab"] = cleanlab_score(prob, data)
    rows = []
    for code, kind in [*enumerate(KINDS), (None, "any")]:
        wrong = truth >= 0 if code is None else truth == code
        counted = (truth < 0) | wrong
        own = suspects.worst(WINDOWS, None if code is None else kind)
        scores = {"audit": own, **other}
        chosen = suspects.flagged if code is None else suspects.flagged & (suspects.kind == code)
        flagged = np.unique(suspects.window[chosen])
        row = {"preset": preset, "seed": seed, "kind": kind, "spoilt": int(wrong.sum())}
        row |= {"flagged": len(flagged), "right": int(wrong[flagged].sum())}
        row["average_precision"] = {
            name: float(average_precision_score(wrong[counted], score[counted]))
            for name, score in scores.items()
        }
        rows.append(row)
    return rows


def summary(rows: list[Row]) -> list[Row]:
    """Pool the flagged windows and average the average precisions over seeds."""
    lines = []
    for preset, kind in dict.fromkeys((row["preset"], row["kind"]) for row in rows):
        own = [row for row in rows if (row["preset"], row["kind"]) == (preset, kind)]
        spoilt, flagged, right = (sum(r[k] for r in own) for k in ("spoilt", "flagged", "right"))
        lines.append(
            {
                "preset": preset,
                "kind": kind,
                "seeds": len(own),
                "spoilt": spoilt,
                "flagged": flagged,
                "precision": right / flagged if flagged else None,
                "recall": right / spoilt,
                "average_precision": {
                    name: float(np.mean([row["average_precision"][name] for row in own]))
                    for name in own[0]["average_precision"]
                },
            }
        )
    return lines


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS / "audit.json")
    given = parser.parse_args()
    seeds = range(1, given.seeds + 1)
    rows = [r for preset in ("easy", "medium") for seed in seeds for r in measure(preset, seed)]
    report = {
        "data": {"windows": WINDOWS, "empty": EMPTY, "spoilt": SPOILT},
        "summary": summary(rows),
        "rows": rows,
    }
    write(given.out, report)
    for line in report["summary"]:
        scores = "  ".join(f"{k} {v:.2f}" for k, v in line["average_precision"].items())
        precision = "-" if line["precision"] is None else f"{line['precision']:.2f}"
        found = f"precision {precision} recall {line['recall']:.2f}"
        print(f"{line['preset']:7} {line['kind']:17} {found}  {scores}")


if __name__ == "__main__":
    main()
