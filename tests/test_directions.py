"""Which hidden direction is up: a name, on which models that are averaged must agree."""

import copy

import numpy as np
import pytest
import torch

from deep.device import seeded
from deep.directions import agree, swap
from deep.lengths import LengthPrior
from deep.model import Ensemble, SpanModel
from deep.settings import Settings
from deep.tasks import chain

PRIOR = LengthPrior.of([3, 4], l_max=4)
SIGNS = torch.tensor([1.0, -1, 1, -1, -1])


def model(seed=0, **given):
    with seeded((seed,), torch.device("cpu")):
        made = SpanModel(5, Settings(directions=2, **{"hidden": 4, **given}), PRIOR, -3.0).eval()
    made.signs.copy_(SIGNS)
    made.standardise(values() + 1)
    return made


def values(n=6):
    return torch.randn(n, 20, 5, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("given", [{}, {"hidden": 0}, {"skip": False}, {"layers": 2}])
def test_a_swap_changes_names_alone(given):
    one = model(**given)
    other = copy.deepcopy(one)
    swap(other)
    a, b = (m(values())["span"].detach().unflatten(2, (2, 3)) for m in (one, other))
    torch.testing.assert_close(a, b.flip(2))
    assert not torch.allclose(a, b)
    posteriors = [chain(m(values())["span"], m.length()).posterior() for m in (one, other)]
    torch.testing.assert_close(*posteriors)
    swap(other)
    torch.testing.assert_close(other(values())["span"], one(values())["span"])


def test_models_that_agree_are_more_than_their_mean():
    one = model()
    other = copy.deepcopy(one)
    swap(other)
    apart = Ensemble([one, other])(values()).detach()
    agree([one, other], values())
    together = Ensemble([one, other])(values()).detach()
    torch.testing.assert_close(together, one(values())["span"].detach())
    assert not torch.allclose(apart, together)
    before = copy.deepcopy(other.state_dict())
    agree([one, other], values())  # they agree already
    assert all(torch.equal(before[name], x) for name, x in other.state_dict().items())


def test_one_direction_has_nothing_to_agree_on():
    with seeded((0,), torch.device("cpu")):
        models = [SpanModel(5, Settings(hidden=4), PRIOR, -3.0) for _ in range(2)]
    before = [copy.deepcopy(m.state_dict()) for m in models]
    agree(models, values())
    for m, state in zip(models, before, strict=True):
        for name, x in m.state_dict().items():
            np.testing.assert_array_equal(x, state[name])
