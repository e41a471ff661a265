"""The predecessor's four tasks: their targets, losses and balance."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from deep.device import seeded
from deep.lengths import LengthPrior
from deep.losses import Objective
from deep.model import SpanModel
from deep.presets import preset
from deep.settings import Settings
from deep.tasks import Countdown, Pointers, Types, countdown
from deep.training import Training
from proxytools.types import Spans

CPU = torch.device("cpu")
PRIOR = LengthPrior.of([3], 12)
# several spans, the longest second; none; a whole window; one that starts at bar 0
SPANS = Spans([0, 0, 2, 3], [2, 6, 0, 0], [4, 11, 12, 3], 4, label=[0, 1, 0, 1], score=[1, 1, 1, 1])
T = 12


def objective(settings):
    mask = SPANS.mask(T).astype(np.float32)
    return Objective.of(settings, [SPANS], mask, none=2, device=CPU)


def model(settings, seed=0):
    with seeded((seed,), CPU):
        return SpanModel(12, settings, PRIOR, -3.0)


def values(n=4):
    return torch.randn(n, T, 12, generator=torch.Generator().manual_seed(1))


def test_jade_has_the_predecessors_parameters():
    assert sum(p.numel() for p in model(preset("jade")).parameters()) == 97_547


def test_jade_decays_everything_and_its_uncertainties_start_where_they_did():
    jade = model(preset("jade"))
    decayed, free = Training(jade, preset("jade")).optimizer.param_groups
    assert (len(decayed["params"]), len(free["params"])) == (len(list(jade.parameters())), 0)
    np.testing.assert_allclose(jade.log_sigma.detach(), [0, 0, -0.3, 0])


def naive_countdown(starts, t):
    later = [start for start in starts if start >= t]
    return float(np.clip((later[0] if later else starts[-1]) - t, -20, 20))


def test_countdown_to_the_next_start():
    spans = Spans.of([[(2, 4), (30, 31), (50, 60)], [(0, 60)], []])
    target = countdown(spans, 60)
    for window, starts in enumerate([[2, 30, 50], [0]]):
        expected = [naive_countdown(starts, t) for t in range(60)]
        np.testing.assert_array_equal(target[window], expected)
    assert not target[2].any()


def test_raw_and_normalised_countdown():
    raw = Countdown.of(SPANS, T, "raw", CPU)
    scaled = Countdown.of(SPANS, T, "normalised", CPU)
    np.testing.assert_allclose(
        scaled.target, np.clip((raw.target.numpy() + 20) / 40, 0, 1), rtol=1e-6
    )
    assert raw.counts.tolist() == [1, 0, 1, 1]


def test_pointers_are_the_longest_spans_centre_and_length():
    task = Pointers.of(SPANS, T, CPU)
    expected = [[8 / T, 4 / T], [5.5 / T, 11 / T], [1 / T, 2 / T]]
    np.testing.assert_allclose(task.target[[0, 2, 3]], expected, rtol=1e-6)
    assert task.counts.tolist() == [1, 0, 1, 1]


def test_a_window_has_the_type_of_its_longest_span():
    assert Types.of(SPANS, 2, CPU).code.tolist() == [1, 2, 0, 1]


def naive_huber(x, delta):
    return np.where(abs(x) <= delta, 0.5 * x**2, delta * (abs(x) - 0.5 * delta))


@pytest.mark.parametrize("kind", ["raw", "normalised"])
def test_losses_equal_their_formulas(kind):
    settings = replace(preset("jade"), countdown_target=kind)
    task, network = objective(settings), model(settings).eval()
    with torch.no_grad():
        outputs = network(values())
        got = task.losses(outputs, torch.arange(4))
    found = {name: value.double().numpy() for name, value in outputs.items()}
    p = 1 / (1 + np.exp(-found["span"][..., 0]))
    mask = SPANS.mask(T)
    bce = -(mask * np.log(p) + (1 - mask) * np.log(1 - p)).mean()
    types = found["type"] - np.log(np.exp(found["type"]).sum(1, keepdims=True))
    seen = [0, 2, 3]
    until = countdown(SPANS, T) if kind == "raw" else (countdown(SPANS, T) + 20) / 40
    expected = {
        "span": bce,
        "type": -types[range(4), [1, 2, 0, 1]].mean(),
        "pointers": naive_huber(
            found["pointers"][seen] - task.tasks["pointers"].target[seen].numpy(), 0.08
        ).mean(),
        "countdown": naive_huber((found["countdown"] - until)[seen], 1.0).mean(),
    }
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        assert got[name].item() == pytest.approx(value, rel=1e-5), name
    sigma = np.exp([0, 0, -0.3, 0])
    weighted = sum(
        v / (2 * s**2) + np.log(s) for v, s in zip(expected.values(), sigma, strict=True)
    )
    assert task.total(network, got).item() == pytest.approx(weighted, rel=1e-5)
    assert task.held_out(outputs, got, torch.arange(4)) == pytest.approx(
        -sum(expected.values()), rel=1e-5
    )


def test_parts_of_a_batch_add_up_to_its_losses():
    settings = preset("jade")
    task, network = objective(settings), model(settings).eval()
    batch = torch.arange(4)
    with torch.no_grad():
        whole = task.losses(network(values()), batch)
        parts = [
            task.losses(network(values()[part]), part, batch) for part in batch.tensor_split(3)
        ]
    for name, loss in whole.items():
        assert sum(part[name] for part in parts).item() == pytest.approx(loss.item(), rel=1e-5)


def test_fixed_weights():
    settings = replace(preset("jade"), learnt_weights=False, countdown=0.25, type=0.0)
    task, network = objective(settings), model(settings).eval()
    losses = task.losses(network(values()), torch.arange(4))
    assert list(losses) == ["span", "pointers", "countdown"]
    expected = losses["span"] + losses["pointers"] + 0.25 * losses["countdown"]
    torch.testing.assert_close(task.total(network, losses), expected)


def test_windows_without_spans_have_nothing_to_point_at():
    settings = preset("jade")
    nothing = torch.tensor([1])
    losses = objective(settings).losses(model(settings).eval()(values(1)), nothing)
    assert losses["pointers"] == losses["countdown"] == 0
    assert losses["span"] > 0 < losses["type"]


@pytest.mark.parametrize("tasks", [("type",), ("countdown",), ("pointers", "countdown")])
def test_any_task_beside_the_segmental_head(tasks):
    settings = Settings(hidden=4, **dict.fromkeys(tasks, 1.0))
    losses = objective(settings).losses(model(settings)(values()), torch.arange(4))
    assert tuple(losses) == ("span", *tasks)
    assert all(torch.isfinite(loss) for loss in losses.values())
