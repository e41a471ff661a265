"""The predecessor's detector, measured beside its own figures, and which single change cures it.

``python -m benchmarks.jade`` trains the preset ``jade`` as the predecessor did (210 planted medium
windows, 168 to learn from and 42 that choose the pass, 100 passes), with the countdown raw and
normalised; then with one thing changed at a time, with three seeds each. Figures are those of the
42 windows, as the predecessor reported them; the last columns are of 500 windows that took no part
in anything. Writes ``benchmarks/results/jade.json`` after every cell: an interrupted run goes on
where it stopped.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
import torch

from benchmarks.record import RESULTS, Cells, Row
from deep.device import resolve, seeded
from deep.fitting import signs_of
from deep.losses import Objective
from deep.model import Ensemble, SpanModel
from deep.number import log_weights
from deep.presets import preset
from deep.reading import BarReader, MatchReader, Reader
from deep.settings import Settings
from deep.soft import prior_of
from deep.train import train
from deep.training import Epoch, Training
from proxytools import features, synthetic
from proxytools.metrics.bar import bar_metrics
from proxytools.metrics.span import span_metrics
from proxytools.types import FeatureSet, Int, SpanDataset

N_TRAIN, N_HELD, N_TEST = 168, 42, 500
SEEDS = (1, 2, 3)
KEY = ("change", "seed")
JADE = preset("jade")
CHANGES: dict[str, Settings] = {
    "jade, raw countdown": replace(JADE, countdown_target="raw"),
    "jade": JADE,
    "span task alone": replace(JADE, type=0.0, pointers=0.0, countdown=0.0, learnt_weights=False),
    "in-span weight 15": replace(JADE, positive_weight=15.0),
    "standardised features": replace(JADE, standardise=True),
    "features directed, standardised": replace(JADE, features="directed", standardise=True),
    "average of the weights": replace(JADE, average=0.95),
    "chosen by span average precision": replace(JADE, choose_by="spans"),
    "segmental head": replace(JADE, head="segmental", choose_by="spans"),
    "segmental, no place": replace(preset("segmental"), backwards=False, place=False),
}


@dataclass(frozen=True, eq=False)
class Trained:
    """A training that is over, and how spans are read off what it gave.

    ``last`` and ``best`` hold the weights after the last pass and after the one that was chosen.
    """

    history: list[Epoch]
    last: Ensemble
    best: Ensemble
    reader: Reader


def trained(
    settings: Settings,
    own: FeatureSet,
    data: SpanDataset,
    learnt: Int,
    held: Int,
    *,
    seed: int,
    epochs: int,
) -> Trained:
    """Train once, on windows ``learnt``; windows ``held`` choose the pass and the reader."""
    values, mask = torch.from_numpy(own.values), data.mask.astype(np.float32)  # (N, T, F), (N, T)
    device, marks = resolve("cpu"), data.spans.take(learnt)
    l_max = int(marks.length.max())
    objective = Objective.of(settings, [data.spans], mask, none=2, device=device)
    settings = replace(settings, epochs=epochs, patience=epochs)
    with seeded((seed,), device):
        start = prior_of([data.spans], learnt, data.n_bars, l_max)
        model = SpanModel(values.shape[2], settings, *start)
        model.signs.copy_(torch.from_numpy(signs_of(own.names, settings.directions)))
        if model.number is not None:
            model.number.copy_(log_weights(marks))
        if settings.standardise:
            model.standardise(values[learnt])
        training = Training(model, settings)
        places = (torch.from_numpy(x) for x in (learnt, held))
        train(training, objective, values, next(places), held=next(places))
    reader: Reader = BarReader(settings.positive_weight)
    if settings.head == "segmental":
        reader = MatchReader(l_max + l_max // 2)
    best = Ensemble([training.best])
    reader = reader.chosen_on(reader.evidence(best, values[held]), data.spans.take(held))
    return Trained(training.history, Ensemble([training.averaged]), best, reader)


def measure(change: str, seed: int, epochs: int) -> Row:
    """Train once, and measure the first pass, the last and the one that was chosen."""
    settings = CHANGES[change]
    data = synthetic.planted(N_TRAIN + N_HELD + N_TEST, preset="medium", seed=seed).data
    own = features.compute(data.windows.ohlc, settings.features)
    learnt, held, tested = np.split(np.arange(len(data)), [N_TRAIN, N_TRAIN + N_HELD])
    done = trained(settings, own, data, learnt, held, seed=seed, epochs=epochs)
    values, mask = torch.from_numpy(own.values), data.mask
    first = done.history[0].losses
    prob = done.reader.prob(done.last, values[held])
    test_prob = done.reader.prob(done.best, values[tested])
    found = done.reader.spans(done.reader.evidence(done.best, values[tested]))
    return {
        "change": change,
        "seed": seed,
        "epoch_1": first,
        "countdown_share": first.get("countdown", 0.0) / sum(first.values()),
        "epoch_100": done.history[-1].losses,
        "bar_f1_at_half": bar_f1(prob, mask[held]),
        "separation": separation(prob, mask[held]),
        "test_r": bar_metrics(test_prob, mask[tested])["pearson_r"],
        "test_separation": separation(test_prob, mask[tested]),
        "test_f1_50": span_metrics(found, data.spans.take(tested))["span_f1_50"],
    }


def bar_f1(prob: np.ndarray, mask: np.ndarray) -> float:
    """F1 over the bars of a window at a threshold of 0.5, mean over windows."""
    said, inside = prob >= 0.5, mask > 0.5
    hit = (said & inside).sum(1)
    return float(np.mean(2 * hit / np.maximum(said.sum(1) + inside.sum(1), 1)))


def separation(prob: np.ndarray, mask: np.ndarray) -> float:
    """Mean probability inside spans minus that outside."""
    return float(prob[mask > 0.5].mean() - prob[mask < 0.5].mean())


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--again", action="store_true", help="Measure all cells anew.")
    parser.add_argument("--out", type=Path, default=RESULTS / "jade.json")
    given = parser.parse_args()
    beside = {"epochs": given.epochs}
    plan = list(product(CHANGES, given.seeds))
    found = Cells(given.out, KEY, lambda _: beside, again=plan if given.again else ())
    for cell in found.missing(plan):
        found.add(measure(*cell, given.epochs))


if __name__ == "__main__":
    main()
