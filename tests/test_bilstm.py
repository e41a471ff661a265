"""The BiLSTM that learns both ways at once, beside torch's own."""

import copy
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from deep.bilstm import BiLSTM, _both, side_by_side
from deep.device import limited, seeded

CPU = torch.device("cpu")


def lstm(hidden=6, layers=1, dropout=0.0):
    with seeded((0,), CPU):
        given = {"batch_first": True, "bidirectional": True, "dropout": dropout}
        return BiLSTM(5, hidden, layers, **given)


def learnt(model, x):
    """Its states and the gradients of its weights and of x."""
    model.zero_grad()
    x = x.clone().requires_grad_()
    with seeded((1,), CPU):
        states = model(x)[0]
    (states * torch.linspace(-1, 1, states.numel()).view_as(states)).sum().backward()
    return [states.detach(), x.grad, *(p.grad for p in model.parameters())]


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("shape", [(3, 20, 5), (1, 1, 5), (0, 4, 5)])
def test_it_is_an_lstm(shape, layers):
    model, x = lstm(layers=layers).train(), torch.randn(shape, generator=torch.manual_seed(2))
    ours = learnt(model, x)
    model.__class__ = torch.nn.LSTM
    for own, theirs in zip(ours, learnt(model, x), strict=True):
        torch.testing.assert_close(own, theirs)


@pytest.mark.parametrize("hidden", [6, 130])
def test_threads_change_nothing(hidden):
    model, x = lstm(hidden, 2, 0.5).train(), torch.randn(4, 30, 5)
    with limited(1):
        alone = learnt(model, x)
    with limited(2), side_by_side(2):
        together = learnt(model, x)
    assert all(map(torch.equal, alone, together))


def test_gradients_can_be_taken_again():
    model, x = lstm(layers=2).train(), torch.randn(2, 9, 5)
    states, weights = model(x)[0], list(model.parameters())
    once, again = (torch.autograd.grad(states.sum(), weights, retain_graph=True) for _ in range(2))
    assert all(map(torch.equal, once, again))


def test_what_is_frozen_gets_no_gradient():
    model, x = lstm().train(), torch.randn(2, 9, 5)
    model.weight_hh_l0_reverse.requires_grad_(False)
    model(x)[0].sum().backward()
    assert model.weight_hh_l0_reverse.grad is None
    assert model.weight_hh_l0.grad.abs().sum() > 0
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("reverse" in name)
    model.zero_grad()
    model(x)[0].sum().backward()
    assert model.weight_hh_l0.grad is None
    model.requires_grad_(False)
    assert not model(x)[0].requires_grad


def test_what_fails_in_the_other_thread_is_raised():
    with side_by_side(2), pytest.raises(ZeroDivisionError):
        _both(lambda: 0, lambda: 1 / 0)


def test_features_of_another_width_are_refused():
    with pytest.raises(RuntimeError, match="Expected 5, got 4"):
        lstm().train()(torch.randn(2, 9, 4))


def test_fits_in_several_threads_stay_apart():
    model, x = lstm(), torch.randn(3, 9, 5)
    expected = learnt(model.train(), x)
    outside = side_by_side(2)

    def fit(_):
        with side_by_side(2):
            return [learnt(copy.deepcopy(model), x) for _ in range(5)]

    with outside, ThreadPoolExecutor(3) as pool:
        found = [once for five in pool.map(fit, range(6)) for once in five]
    assert all(all(map(torch.equal, once, expected)) for once in found)
    assert all(map(torch.equal, learnt(model, x), expected))


def test_threads_are_given_back():
    before = torch.get_num_threads()
    for threads in (1, 2, 5):
        with side_by_side(threads), side_by_side(threads):
            assert torch.get_num_threads() <= before
        assert torch.get_num_threads() == before
