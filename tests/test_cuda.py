"""The detector on a GPU, beside the same on the CPU; all of it is left out where there is none."""

import json
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner

from cli.deep import cli as deep
from cli.proxytools import cli as proxytools
from deep import steps, sums
from deep.detector import SpanDetector
from deep.device import limited, seeded
from deep.lengths import LengthPrior
from deep.losses import Objective
from deep.model import SpanModel
from deep.presets import PRESETS, on_features
from deep.segmental import SegmentalHead, SpanChain
from deep.settings import Settings
from deep.soft import prior_of
from deep.sums import compiled_sums, tensor_sums
from deep.train import Observer, train
from deep.training import Training
from proxytools import features, io, synthetic
from tests import small

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
TOLERANCE = {"rtol": 1e-10, "atol": 1e-10}
PLAIN = Settings(hidden=8, input_dropout=0.0, dropout=0.0, epochs=6)


def there(values):
    return type(values)(*(x.cuda() for x in values))


def chain_of(n_windows, directions, n_bars, l_max, spread):
    e, a, b = torch.randn(3, n_windows, directions, n_bars, generator=torch.manual_seed(1))
    head = SegmentalHead(1, LengthPrior.of([2, 3, l_max], l_max), -3.0, directions)
    return [spread * e, a, b], head.length()


@pytest.mark.parametrize("spread", [1.0, 100.0])
@pytest.mark.parametrize("kernel", [True, False])
@pytest.mark.parametrize(
    "sizes", [(1, 1, 1, 3), (3, 1, 2, 3), (5, 2, 50, 12), (40, 2, 105, 30), (2, 1, 700, 40)]
)
def test_sums_equal_those_of_the_cpu(sizes, kernel, spread, monkeypatch):
    if not kernel:
        monkeypatch.setattr(sums, "find_spec", lambda name: None)
    scores, length = chain_of(*sizes, spread)
    for one in (False, True):
        here = compiled_sums(*scores, length, one=one)
        found = tensor_sums(*(x.cuda() for x in scores), there(length), one=one)
        for ours, theirs in zip(found, here, strict=True):
            torch.testing.assert_close(ours.cpu(), theirs, **TOLERANCE)


def test_gradients_equal_those_of_the_cpu():
    def gradients(device):
        scores, length = chain_of(6, 2, 60, 12, 1.0)
        scores = [x.to(device).requires_grad_() for x in scores]
        length = type(length)(*(x.detach().to(device).requires_grad_() for x in length))
        number = torch.tensor([-2.0, 1.0, -2.0], device=device)
        SpanChain(*scores, length, number).log_partition().sum().backward()
        return [x.grad.cpu() for x in (*scores, *length)]

    for ours, theirs in zip(gradients("cuda"), gradients("cpu"), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_posterior_and_decoding_equal_those_of_the_cpu():
    scores, length = chain_of(4, 2, 60, 12, 1.0)
    here = SpanChain(*scores, length)
    found = SpanChain(*(x.cuda() for x in scores), there(length))
    torch.testing.assert_close(found.posterior().cpu(), here.posterior())
    np.testing.assert_array_equal(found.decode().start, here.decode().start)


def trained(settings, device, observer=None, keep=lambda training: None, state=None):
    """Weights and losses after training on 37 windows: a batch of 32 and one of 5."""
    device = torch.device(device)
    data = small.planted(37, preset="medium")
    values = features.compute(data.windows.ohlc, settings.features).values
    values = torch.from_numpy(values).to(device)
    mask = data.mask.astype(np.float32)
    objective = Objective.of(settings, [data.spans], mask, none=2, device=device)
    start = prior_of([data.spans], np.arange(37), data.n_bars, int(data.spans.length.max()))
    with limited(1), seeded((0,), device):
        with seeded((0,), torch.device("cpu")):
            model = SpanModel(values.shape[2], settings, *start).to(device)
        model.standardise(values)
        training = Training(model, settings)
        if state is not None:
            training.load_state_dict(state)
        every = torch.arange(37, device=device)
        train(training, objective, values, every, held=every[:9], observer=observer, keep=keep)
    weights = {name: x.cpu() for name, x in training.averaged.state_dict().items()}
    return weights, [epoch.loss for epoch in training.history]


HEADS = {
    "segmental": replace(PLAIN, number=True, directions=2, features="directed"),
    "mask": replace(PLAIN, head="mask", positive_weight=10.0, focal=2.0),
    "jade": replace(PRESETS["jade"], input_dropout=0.0, dropout=0.0, epochs=6),
}


@pytest.mark.parametrize("name", HEADS)
def test_learns_what_the_cpu_learns(name):
    (ours, losses), (theirs, wanted) = (trained(HEADS[name], x) for x in ("cuda", "cpu"))
    assert losses == pytest.approx(wanted, rel=2e-3)
    for key, value in theirs.items():
        torch.testing.assert_close(ours[key], value, rtol=0.02, atol=0.02, msg=key)


@pytest.mark.parametrize("name", HEADS)
def test_replayed_steps_are_those_launched_one_by_one(name, monkeypatch):
    """With dropout: a replayed graph draws on from where the last draw ended."""
    dropped = replace(HEADS[name], input_dropout=0.4, dropout=0.5)
    _, ours = trained(dropped, "cuda")
    monkeypatch.setattr(steps, "Captured", lambda function: function)
    _, theirs = trained(dropped, "cuda")
    assert ours == pytest.approx(theirs, rel=2e-3)


def test_an_interrupted_training_goes_on_to_the_same_end():
    settings, states = replace(HEADS["segmental"], input_dropout=0.4, dropout=0.5), []
    _, whole = trained(settings, "cuda", keep=lambda x: states.append(deepcopy(x.state_dict())))
    _, resumed = trained(settings, "cuda", state=states[2])
    assert resumed == pytest.approx(whole, rel=2e-3)


class Norms(Observer):
    def __init__(self):
        self.seen = []

    def batch(self, model):
        self.seen.append(sum(float(p.grad.square().sum()) for p in model.parameters()))


def test_gradients_are_seen_between_the_halves_of_a_replayed_step(monkeypatch):
    replayed, launched = Norms(), Norms()
    trained(HEADS["segmental"], "cuda", replayed)
    monkeypatch.setattr(steps, "Captured", lambda function: function)
    trained(HEADS["segmental"], "cuda", launched)
    assert replayed.seen == pytest.approx(launched.seen, rel=1e-2)
    assert len(set(replayed.seen)) == len(replayed.seen) == 12


@pytest.mark.parametrize("name", [*PRESETS, "masked", "contrastive", "proxies", "causal"])
def test_a_detector_of_the_gpu_says_the_same_on_the_cpu(name):
    settings = PRESETS.get(name, PRESETS["segmental"])
    if name in ("masked", "contrastive", "proxies"):
        settings = replace(settings, pretrain=name, pretrain_epochs=2)
    if name == "causal":
        settings = on_features(settings, "causal")
    settings = replace(settings, hidden=min(settings.hidden, 16), epochs=3, members=2)
    data = small.planted(40)
    own = features.compute(data.windows.ohlc, settings.features)
    detector = SpanDetector(settings, device="cuda", threads=1, force=True).fit(own, data)
    prob, spans = detector.predict(own), detector.detect(own)
    detector.ensemble_.cpu()
    np.testing.assert_allclose(prob, detector.predict(own), atol=5e-3)
    again = detector.detect(own)
    assert abs(len(spans) - len(again)) <= 2


def call(command, *words):
    done = CliRunner().invoke(command, [str(word) for word in words])
    assert done.exit_code == 0, done.output
    return done.stdout


def test_commands_on_a_gpu(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    io.write("windows.parquet", small.planted(40))
    io.write("others.parquet", small.planted(20, seed=4))
    bars = synthetic.planted(2, preset="easy", seed=2, n_bars=400).data.windows.ohlc.reshape(-1, 4)
    pd.DataFrame(bars, columns=["open", "high", "low", "close"]).rename_axis("t").to_csv("bars.csv")
    of = ("--data", "windows.parquet")
    few = ("--members", "2", "--epochs", "3")
    call(deep, "train", *of, "--out", "runs/a", "--device", "cuda", *few)
    found = []
    for device in ("cuda", "cpu"):
        on = ("--device", device)
        said = json.loads(
            call(deep, "evaluate", "runs/a", "--data", "others.parquet", *on, "--json")
        )
        call(deep, "detect", "runs/a", "--bars", "bars.csv", "--out", f"{device}.csv", *on)
        found.append([said["pearson_r"], len(pd.read_csv(f"{device}.csv"))])
    assert found[0] == pytest.approx(found[1], abs=0.01)
    call(proxytools, "fit", "--model", "formula", *of, "--device", "cuda", "--out", "runs/f")
