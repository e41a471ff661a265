"""Speed of training the detector, against a bare loop and against features made at every access."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.recomputed import loader
from benchmarks.speed_proxies import Line, ratio, timed
from deep.bilstm import BiLSTM, side_by_side
from deep.device import limited, resolve, seeded
from deep.dropout import QuickDropout
from deep.losses import Objective
from deep.memory import reused
from deep.model import SpanModel
from deep.presets import preset
from deep.settings import Settings
from deep.soft import prior_of
from deep.steps import Captured
from deep.train import train
from deep.training import Training
from proxytools import features, synthetic

N_WINDOWS = 168
EPOCHS = 100
BARS = 105
SIZES = {"cpu": 2048, "cuda": 8192}  # of the matrices whose product is the ceiling


class Job:
    """One training of a preset on planted windows: ours, and a bare loop on the same tensors."""

    def __init__(self, settings: Settings, device: str = "cpu", n_windows: int = N_WINDOWS) -> None:
        self.settings, self.device = settings, resolve(device)
        data = synthetic.planted(n_windows, preset="medium", seed=1).data
        self.ohlc, mask = data.windows.ohlc, data.mask.astype(np.float32)
        values = features.compute(self.ohlc, settings.features).values
        self.values = torch.from_numpy(values).to(self.device)  # (N, T, F)
        self.l_max = int(data.spans.length.max())
        self.start = prior_of([data.spans], np.arange(n_windows), data.n_bars, self.l_max)
        self.objective = Objective.of(settings, [data.spans], mask, none=2, device=self.device)
        self.everything = torch.arange(n_windows, device=self.device)
        self.steps: dict[bool, Callable[[Tensor], None]] = {}

    def model(self) -> SpanModel:
        """Build a fresh model, the same every time."""
        with seeded((0,), self.device):
            return SpanModel(self.values.shape[2], self.settings, *self.start).to(self.device)

    def ours(self, epochs: int) -> None:
        """Run the project's loop, as `SpanDetector.fit` does."""
        training = Training(self.model(), replace(self.settings, epochs=epochs, patience=epochs))
        limits = limited(0, hidden=self.settings.hidden)
        with limits as threads, side_by_side(threads), reused():
            train(training, self.objective, self.values, self.everything)
        self._done()

    def bare(self, epochs: int) -> None:
        """Run the loop one would write first: the same model, tensors, losses and optimiser."""
        with limited(0, hidden=self.settings.hidden):  # one thread is faster where it is small
            self._bare(epochs)

    def _bare(self, epochs: int) -> None:
        model, size = plain(self.model()).train(), self.settings.batch_size
        optimizer = torch.optim.AdamW(model.parameters(), lr=self.settings.learning_rate)
        for _ in range(epochs):
            order = torch.randperm(len(self.values)).to(self.device)
            for i in range(0, len(order), size):
                batch = order[i : i + size]
                losses = self.objective.losses(model(self.values[batch]), batch)
                loss = self.objective.total(model, losses)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        self._done()

    def recomputing(self, epochs: int) -> None:
        """Run that loop with every window's features made again by pandas whenever it is read."""
        with limited(0, hidden=self.settings.hidden):
            self._recomputing(epochs)

    def _recomputing(self, epochs: int) -> None:
        model = plain(self.model()).train()
        optimizer = torch.optim.AdamW(model.parameters(), lr=self.settings.learning_rate)
        batches = loader(self.ohlc)
        for _ in range(epochs):
            for values, windows in batches:
                windows = windows.to(self.device)
                losses = self.objective.losses(model(values.to(self.device)), windows)
                loss = self.objective.total(model, losses)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                loss.item()
        self._done()

    def step(self, *, head: bool) -> None:
        """Run the encoder's step on one batch, or that with the segmental head and its loss."""
        if head not in self.steps:
            model = self.model().train()
            run = partial(self._whole_step if head else self._encoder_step, model)
            self.steps[head] = Captured(run) if self.device.type == "cuda" else run
        self.steps[head](self.everything[:32])
        self._done()

    def _whole_step(self, model: SpanModel, batch: Tensor) -> None:
        model.zero_grad(set_to_none=False)
        losses = self.objective.losses(model(self.values[batch]), batch)
        self.objective.total(model, losses).backward()

    def _encoder_step(self, model: SpanModel, batch: Tensor) -> None:
        model.zero_grad(set_to_none=False)
        encoded = model.lstm(self.values[batch])[0]
        functional.mse_loss(encoded, torch.zeros_like(encoded)).backward()

    def _done(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def plain(model: SpanModel) -> SpanModel:
    """Let a model compute with torch's own modules, in place."""
    for module in model.modules():
        if isinstance(module, BiLSTM):
            module.__class__ = torch.nn.LSTM
        if isinstance(module, QuickDropout):
            module.__class__ = torch.nn.Dropout
    return model


def training_lines(device: str = "cpu") -> list[Line]:
    """Time loops and steps; features that are made again are timed for fewer epochs and scaled."""
    with limited(2):
        return [*_loop_lines(device), _jade_line(device), _head_line(device)]


def _loop_lines(device: str) -> list[Line]:
    lines = []
    for name in ("segmental", "jade"):
        job = Job(preset(name), device)
        ours, bare = timed(partial(job.ours, 3), partial(job.bare, 3))
        what = f"training loop, {name}: speed as a share of a bare PyTorch loop"
        lines.append(_line(what, ratio(ours, bare), "{:.2f}", "0.9"))
    rate = flops(job.settings, job.values.shape[2]) * N_WINDOWS * 3 / median(ours)
    what = f"training loop, {name}: FLOP/s as a share of a matrix product's"
    return [*lines, _line(what, rate / product_rate(device), "{:.0%}", "")]


def flops(settings: Settings, n_features: int) -> float:
    """Floating-point operations of the BiLSTM for a window that is learnt from."""
    per_bar = 2 * 4 * settings.hidden * (n_features + settings.hidden)
    return 3.0 * 2 * BARS * per_bar  # forwards once, backwards twice; two ways to read


def product_rate(device: str) -> float:
    """Floating-point operations a second of a large matrix product, on a GPU in TF32."""
    size = SIZES[device]
    torch.backends.cuda.matmul.allow_tf32 = True
    x, y = torch.randn(2, size, size, device=device)

    def product() -> None:
        x @ y
        if device == "cuda":
            torch.cuda.synchronize()

    (seconds,) = timed(product, repeats=20)
    torch.backends.cuda.matmul.allow_tf32 = False
    return 2.0 * size**3 / median(seconds)


def _jade_line(device: str) -> Line:
    job = Job(preset("jade"), device)
    job.ours(1)
    begin = perf_counter()
    values = features.compute(job.ohlc, "jade").values
    assert values.shape == job.values.shape
    job.ours(EPOCHS)
    own = perf_counter() - begin
    job.recomputing(1)
    seconds = []
    for _ in range(3):
        begin = perf_counter()
        job.recomputing(1)
        seconds.append(perf_counter() - begin)
    what = (
        f"jade, {EPOCHS} epochs on {N_WINDOWS} windows: times faster than features at each access"
    )
    return _line(what, EPOCHS * median(seconds) / own, "{:.1f}", "20")


def _head_line(device: str) -> Line:
    settings = replace(preset("segmental"), directions=1, hidden=64, layers=2, skip=False)
    job = Job(settings, device)
    steps = (lambda: job.step(head=False)), (lambda: job.step(head=True))
    encoder, whole = timed(*steps, repeats=15)
    what = "segmental head and loss on top of a BiLSTM's step (2 layers of 64, batch 32)"
    return _line(what, ratio(encoder, whole) - 1, "{:.0%}", "at most 35%")


def _line(what: str, value: float, form: str, aim: str) -> Line:
    shown: dict[str, Any] = {"what": what, "value": value}
    return {**shown, "measured": form.format(value), "aim": aim}


if __name__ == "__main__":
    for line in training_lines():
        print(f"{line['measured']:>10}  {line['what']}  (aim: {line['aim']})", flush=True)
