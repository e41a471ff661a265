from dataclasses import replace

import numpy as np
import pytest
import torch

from deep.device import limited, seeded
from deep.losses import Objective
from deep.model import Ensemble, SpanModel
from deep.reading import BarReader, MatchReader
from deep.settings import Settings
from deep.soft import prior_of
from deep.train import train
from deep.training import Training
from proxytools import features
from proxytools.metrics.span import span_metrics
from tests import small

CPU = torch.device("cpu")
FREE = Settings(
    hidden=8, input_dropout=0.0, dropout=0.0, weight_decay=0.0, learning_rate=0.02, epochs=60
)


@pytest.fixture(autouse=True)
def _one_thread():
    with limited(1):
        yield


def task(settings, n_windows=10, preset="medium"):
    data = small.planted(n_windows, preset=preset)
    values = torch.from_numpy(features.compute(data.windows.ohlc, "full").values)
    l_max = int(data.spans.length.max())
    objective = Objective.of(
        settings, [data.spans], data.mask.astype(np.float32), none=2, device=CPU
    )
    start = prior_of([data.spans], np.arange(n_windows), data.n_bars, l_max)
    with seeded((0,), CPU):
        model = SpanModel(values.shape[2], settings, *start)
    model.standardise(values)
    return data, values, objective, model


def run(settings, learnt=range(10), held=None, seed=1, **given):
    data, values, objective, model = task(settings, **given)
    held = None if held is None else torch.tensor(held)
    with seeded((seed,), CPU):
        training = Training(model, settings)
        best = train(training, objective, values, torch.tensor(list(learnt)), held=held)
    return data, values, objective, best, training.history


@pytest.mark.parametrize("head", ["segmental", "mask"])
def test_overfits_ten_windows(head):
    data, values, _, best, history = run(replace(FREE, head=head))
    ensemble = Ensemble([best])
    reader = MatchReader(int(data.spans.length.max())) if head == "segmental" else BarReader(1.0)
    spans = reader.spans(reader.evidence(ensemble, values))
    assert span_metrics(spans, data.spans)["span_f1_70"] == 1.0
    assert history[-1].loss < history[0].loss / 10


def test_the_checkpoint_is_the_best_on_held_out_windows():
    settings = replace(FREE, epochs=40, patience=5)
    _, values, objective, best, history = run(settings, range(6), [6, 7, 8, 9])
    held = torch.tensor([6, 7, 8, 9])
    highest = max(epoch.held_out for epoch in history)
    with torch.no_grad():
        outputs = best(values[held])
        again = objective.held_out(outputs, objective.losses(outputs, held), held)
    assert again == pytest.approx(highest, rel=1e-6)
    best_at = max(epoch.epoch for epoch in history if epoch.best)
    assert history[best_at - 1].held_out == highest
    assert len(history) == best_at + 5 < 40  # stopped by patience: it overfits


def test_without_held_out_windows_it_runs_to_the_end():
    *_, history = run(replace(FREE, epochs=7, patience=1))
    assert [epoch.epoch for epoch in history] == list(range(1, 8))
    assert all(epoch.held_out is None for epoch in history)


@pytest.mark.parametrize("head", ["segmental", "mask"])
def test_the_same_seed_gives_the_same_bits(head):
    settings = Settings(head=head, hidden=6, epochs=3)
    one, again, other = (run(settings, seed=seed)[3].state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)


def test_windows_left_out_teach_nothing():
    settings = Settings(hidden=6, epochs=3)
    data, values, objective, _ = task(settings)
    span = objective.tasks["span"]
    other = span.observed._replace(start=span.observed.start.clone())
    other.start[7:] = 0
    noise = values.clone()
    noise[7:] = torch.randn(noise[7:].shape, generator=torch.Generator().manual_seed(0))
    weights = []
    for x, observed in ((values, span.observed), (noise, other)):
        span.observed = observed
        with seeded((3,), CPU):
            start = prior_of([data.spans], np.arange(10), data.n_bars, int(data.spans.length.max()))
            fresh = SpanModel(values.shape[2], settings, *start)
            fresh.standardise(x[:7])
            best = train(Training(fresh, settings), objective, x, torch.arange(7))
        weights.append(best.state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_the_average_soon_forgets_the_start():
    """After one step of many to come it keeps an eleventh of where it began."""
    first = task(FREE)[3].state_dict()
    last = run(replace(FREE, epochs=1, average=0.0))[3].state_dict()
    slow = run(replace(FREE, epochs=1, average=0.99))[3].state_dict()
    for name in first:
        mixed = first[name] / 11 + last[name] * 10 / 11
        np.testing.assert_allclose(slow[name], mixed, rtol=1e-5, atol=1e-6)
    assert not torch.equal(first["encoder.weight_hh_l0"], last["encoder.weight_hh_l0"])
