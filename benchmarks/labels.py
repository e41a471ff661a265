"""How much each method makes of 20, 50, 100, 168 and 500 labels, and whether more would help.

``python -m benchmarks.labels`` fits every method on the first labels of a set, tests it on windows
never seen (500 planted ones, or the third person's saccades), and writes
``benchmarks/results/labels.json`` after every cell: an interrupted run goes on where it stopped.
A detector named ``segmental+masked`` is pre-trained; the windows not labelled yet are its
unlabelled ones. ``--models``, ``--labels``, ``--data`` and ``--seeds`` choose cells. A row's
interval is a bootstrap over its test windows; a mean's is Student's t over seeds, or over persons,
and of fewer than three the mean of their rows'. ``--quick`` takes two or three minutes and exits
with 1 where the methods do not stand in the order they should. ``python -m benchmarks.curves``
draws the learning curves.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.methods import (
    DATA,
    METRICS,
    MODELS,
    MOST,
    REFERENCES,
    SLOW,
    Computed,
    Source,
    make,
    measure,
    source_of,
)
from benchmarks.record import RESULTS, Cell, Cells, Row, interval
from proxytools.errors import InputError

LABELS = (20, 50, 100, 168, MOST)
SEEDS, SLOW_SEEDS, PERSONS = 5, 3, 3
LEAST_SEEDS = 3  # Student's t of two says nothing
FULL: dict[str, Any] = {"models": MODELS, "labels": LABELS, "data": DATA, "seeds": SEEDS}
QUICK: dict[str, Any] = {
    "models": (*REFERENCES, "formula", "logistic", "lightgbm", "xgboost"),
    "labels": (50, 168),
    "data": DATA[:1],
    "seeds": 1,
}
CHANCE = 0.05  # more than noise correlates by on the quick run's windows
KEY = ("data", "seed", "labels", "model")


def plan(
    models: tuple[str, ...], labels: tuple[int, ...], data: tuple[str, ...], seeds: int
) -> Iterator[Cell]:
    """Yield all cells, set by set."""
    for name in data:
        for seed in range(1, (PERSONS if name == "saccades" else seeds) + 1):
            able = [model for model in models if seed <= SLOW_SEEDS or model not in SLOW]
            yield from product([name], [seed], labels, able)


@lru_cache(maxsize=1)
def drawn(name: str, seed: int) -> tuple[Source, Computed, Computed] | None:
    """Return a set and its features; none where its data are not at hand."""
    try:
        source = source_of(name, seed)
    except InputError as error:
        print(f"{name} left out: {error}")
        return None
    return source, Computed(source.train), Computed(source.test)


def summary(rows: list[Row]) -> list[Row]:
    """Mean over seeds of each metric, with intervals of r and of span F1."""
    lines = []
    for key in dict.fromkeys((row["data"], row["labels"], row["model"]) for row in rows):
        own = [row for row in rows if (row["data"], row["labels"], row["model"]) == key]
        line: Row = dict(zip(("data", "labels", "model"), key, strict=True))
        line |= {"seeds": len(own)}
        for name in (*METRICS, "ceiling", "of_ceiling", "seconds"):
            known = [row[name] for row in own if row[name] is not None]
            line[name] = float(np.mean(known)) if known else None
        for name, metric in (("r_interval", "pearson_r"), ("f1_interval", "span_f1_50")):
            values = [row[metric] or 0.0 for row in own]
            few = np.mean([row[name] for row in own], axis=0).tolist()
            line[name] = list(interval(values)[1:]) if len(own) >= LEAST_SEEDS else few
        lines.append(line)
    return lines


def gains(rows: list[Row]) -> list[Row]:
    """Say what going from one number of labels to the next gave in r, paired by seed."""
    lines = []
    r = {tuple(row[name] for name in KEY): row["pearson_r"] for row in rows}
    for data, model in dict.fromkeys((row["data"], row["model"]) for row in rows):
        for few, many in pairwise(LABELS):
            seeds = [key[1] for key in r if (key[0], key[2], key[3]) == (data, few, model)]
            both = [seed for seed in seeds if (data, seed, many, model) in r]
            if len(both) >= LEAST_SEEDS:
                found = [r[data, seed, many, model] - r[data, seed, few, model] for seed in both]
                line = {"data": data, "model": model, "from": few, "to": many}
                lines.append({**line, "r_gain": list(interval(found))})
    return lines


def disorder(lines: list[Row]) -> list[str]:
    """Name what stands where it should not: references, formula, boosted trees, in that order."""
    wrong = []
    for key in dict.fromkeys((line["data"], line["labels"]) for line in lines):
        own = {
            line["model"]: line["pearson_r"]
            for line in lines
            if (line["data"], line["labels"]) == key
        }
        best = max(own[name] for name in REFERENCES)
        boosted = [own[name] for name in ("lightgbm", "xgboost") if name in own]
        if not best < own["formula"] < min(boosted):
            wrong.append(f"{key}: references {best:.3f}, formula {own['formula']:.3f}, {boosted}")
        if abs(own["random"]) > CHANCE:
            wrong.append(f"{key}: noise has r = {own['random']:.3f}")
    return wrong


def shown(line: Row) -> str:
    """Return one cell as a line of text."""
    r, (low, high), f1 = line["pearson_r"], line["r_interval"], line["span_f1_50"]
    share = "" if line["of_ceiling"] is None else f"  {line['of_ceiling']:4.0%} of the ceiling"
    found = f"r {r:.3f} ({low:.3f} to {high:.3f})  F1 {'    -' if f1 is None else f'{f1:.3f}'}"
    return f"{line['data']:15}{line['labels']:4} {line['model']:30}{found}{share}"


def named(known: tuple[str, ...]) -> Callable[[str], tuple[str, ...]]:
    """Read names separated by commas."""

    def read(text: str) -> tuple[str, ...]:
        names = tuple(text.split(","))
        if unknown := set(names) - set(known):
            raise argparse.ArgumentTypeError(f"{sorted(unknown)}: known are {', '.join(known)}")
        return names

    return read


def main() -> None:
    """Measure what is missing, write after every cell, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=named(MODELS))
    parser.add_argument("--labels", type=lambda text: tuple(map(int, text.split(","))))
    parser.add_argument("--data", type=named(DATA))
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--again", action="store_true", help="Measure the chosen cells anew.")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    chosen = dict(QUICK if given.quick else FULL)
    chosen |= {name: value for name in chosen if (value := vars(given)[name])}
    cells = list(plan(**chosen))
    found = Cells(
        given.out or (None if given.quick else RESULTS / "labels.json"),
        KEY,
        lambda rows: {"summary": summary(rows), "gains": gains(rows)},
        again=cells if given.again else (),
    )
    for name, seed, n, model in found.missing(cells):
        at_hand = drawn(name, seed)
        if at_hand and n <= len(at_hand[0].train):
            found.add(measure(at_hand[0], n, make(model, seed, given.threads), *at_hand[1:]))
    lines = summary(found.rows)
    print(*map(shown, sorted(lines, key=_place)), sep="\n")
    if given.quick and (wrong := disorder(lines)):
        print("Out of order:", *wrong, sep="\n  ")
        sys.exit(1)


def _place(line: Row) -> tuple[int, int, float]:
    return DATA.index(line["data"]), line["labels"], -line["pearson_r"]


if __name__ == "__main__":
    main()
