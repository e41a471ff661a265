"""The model of features alone that counts for half of a detector."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from deep import linear
from deep.detector import SpanDetector
from deep.device import seeded
from deep.lengths import LengthPrior
from deep.linear import fit_linear, without_encoder
from deep.losses import Objective
from deep.model import Ensemble, SpanModel
from deep.settings import Settings
from deep.soft import prior_of
from proxytools import features
from proxytools.errors import InputError
from tests import small

CPU = torch.device("cpu")
HEADS = ("segmental", "mask")


def fitted(head, ridge=1.0, learnt=range(12), noise=False):
    data = small.planted(16)
    settings = without_encoder(Settings(head=head, features="directed", hidden=4))
    values = torch.from_numpy(features.compute(data.windows.ohlc, "directed").values)
    mask, chosen = data.mask.astype(np.float32), torch.tensor(list(learnt))
    objective = Objective.of(settings, [data.spans], mask, none=2, device=CPU)
    if noise:
        rest = torch.Generator().manual_seed(0)
        values[12:] = torch.randn(values[12:].shape, generator=rest)
        objective.tasks["span"].observed.start[12:] = 0
    start = prior_of([data.spans], chosen.numpy(), data.n_bars, int(data.spans.length.max()))
    with seeded((0,), CPU):
        model = SpanModel(values.shape[2], settings, *start)
    model.standardise(values[chosen])
    return fit_linear(model, objective, values, chosen, ridge), objective, values, chosen


@pytest.mark.parametrize("head", HEADS)
def test_its_gradient_vanishes_at_the_penalised_optimum(head):
    model, objective, values, learnt = fitted(head, ridge=0.5)
    linear = model.head if head == "mask" else model.head.scores
    weight = linear.weight.requires_grad_(True)
    loss = objective.losses(model(values[learnt]), learnt)["span"]
    (loss + 0.25 * weight.square().sum()).backward()
    assert weight.grad.abs().max() < 0.02
    with torch.no_grad():
        start = objective.losses({**model(values[learnt]), **zeros(model, values[learnt])}, learnt)
    assert loss < 0.7 * start["span"]


def zeros(model, values):
    """What it says where all weights are 0."""
    linear = model.head if isinstance(model.head, torch.nn.Linear) else model.head.scores
    return {"span": linear.bias.detach().expand(*values.shape[:2], -1)}


@pytest.mark.parametrize("head", HEADS)
def test_it_is_the_same_of_windows_in_parts(head, monkeypatch):
    monkeypatch.setattr(linear, "ITERATIONS", 2)  # more make much of a rounding error
    whole = fitted(head)[0].state_dict()
    monkeypatch.setattr(linear, "AT_ONCE", 5)
    parts = fitted(head)[0].state_dict()
    for name, tensor in whole.items():
        torch.testing.assert_close(parts[name], tensor, rtol=1e-5, atol=1e-6)


def test_a_larger_penalty_gives_smaller_weights():
    sizes = [fitted("segmental", ridge)[0].head.scores.weight.norm() for ridge in (0.1, 1, 10)]
    assert sizes[0] > sizes[1] > sizes[2] > 0


def test_windows_left_out_teach_nothing():
    with seeded((1,), CPU):
        one = fitted("segmental")[0].state_dict()
    with seeded((2,), CPU):  # nor does the random stream
        other = fitted("segmental", noise=True)[0].state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


def prior():
    data = small.planted(16)
    longest = int(data.spans.length.max())
    return LengthPrior(np.full(longest + 1, 1 / (longest + 1)), 0.5), 0.0


def test_it_counts_for_half():
    linear, _, values, _ = fitted("segmental")
    with seeded((0,), CPU):
        settings = Settings(features="directed", hidden=4)
        members = [SpanModel(values.shape[2], settings, *prior()).eval() for _ in range(2)]
    one, two, alone = (model(values)["span"].detach() for model in (*members, linear))
    both = Ensemble(members, linear)(values).detach()
    torch.testing.assert_close(both, ((one + two) / 2 + alone) / 2)
    tables = [model.length().table.detach() for model in (*members, linear)]
    expected = (tables[0] + tables[1]) / 4 + tables[2] / 2
    torch.testing.assert_close(Ensemble(members, linear).length().table.detach(), expected)


def test_a_detector_with_it_is_another_one():
    data = small.planted(12)
    settings = Settings(hidden=4, members=1, epochs=2, features="directionless")
    own = features.compute(data.windows.ohlc, "directionless")
    one, both = (
        SpanDetector(chosen, inner_folds=2).fit(own, data).predict(own)
        for chosen in (settings, replace(settings, linear=1.0))
    )
    assert not np.array_equal(one, both)


def test_heads_must_read_something():
    with pytest.raises(InputError, match="hidden"):
        Settings(hidden=0, skip=False)
