"""What only a GPU shows: captured steps, the chain's kernel, mixed precision, the ceiling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from statistics import median
from time import perf_counter
from typing import Any
from unittest import mock

import torch

from benchmarks.speed_deep import BARS, EPOCHS, N_WINDOWS, Job, flops, product_rate
from benchmarks.speed_proxies import Line, ratio, timed
from deep import chain_triton, steps, sums
from deep.detector import SpanDetector
from deep.presets import preset
from proxytools import features, synthetic

BATCH = 32
PREDECESSOR = 132  # seconds it reported for the same passes on an RTX 4090


def cuda_lines() -> list[Line]:
    """Time one after the other."""
    return [*_jade_lines(), *_captured_lines(), *_chain_lines(), *_half_lines(), _fit_line()]


def _jade_lines() -> list[Line]:
    job = Job(preset("jade"), "cuda")
    (seconds,) = timed(partial(job.ours, EPOCHS), repeats=3)
    took, rate = median(seconds), product_rate("cuda")
    share = flops(job.settings, job.values.shape[2]) * N_WINDOWS * EPOCHS / took / rate
    what = f"jade, {EPOCHS} epochs on {N_WINDOWS} windows"
    aim = f"under 3 (predecessor, on an RTX 4090: {PREDECESSOR})"
    return [
        _line(f"{what}: seconds", took, "{:.2f}", aim),
        _line("float32 matrix product: TFLOP/s", rate / 1e12, "{:.0f}"),
        _line(f"{what}: share of that rate", share, "{:.2%}"),
    ]


def _captured_lines() -> list[Line]:
    """Time passes whose steps are replayed beside those launched kernel by kernel."""

    def launched(job: Job) -> None:
        with mock.patch.object(steps, "Captured", lambda function: function):
            job.ours(5)

    lines = []
    for name in ("segmental", "jade"):
        job = Job(preset(name), "cuda")
        ours, theirs = timed(partial(job.ours, 5), partial(launched, job))
        what = f"training loop, {name}: captured steps, times faster than launched ones"
        lines.append(_line(what, ratio(ours, theirs), "{:.1f}"))
    return lines


def _chain_lines() -> list[Line]:
    """Time both ways to compute a chain's sums on the device, the default's batch."""
    torch.manual_seed(0)
    e, a, b = torch.randn(3, 2 * BATCH, 2, BARS, device="cuda", dtype=torch.float64)
    reach = torch.randn(2, BARS, BARS + 1, device="cuda", dtype=torch.float64)
    ours, theirs = timed(
        _waited(lambda: chain_triton.sums_of(e, a, b, reach, one=False)),
        _waited(lambda: sums.bar_by_bar(e, a, b, reach, one=False)),
    )
    what = "sums of the chain, 32 windows"
    return [
        _line(f"{what}: milliseconds", 1e3 * median(ours), "{:.2f}"),
        _line(f"{what}: times faster than in tensor operations", ratio(ours, theirs), "{:.0f}"),
    ]


def _half_lines() -> list[Line]:
    """Time a BiLSTM's step in bfloat16 beside float32: what mixed precision could give at most."""
    lines = []
    for hidden in (preset("jade").hidden, preset("single").hidden):
        lstm = torch.nn.LSTM(12, hidden, batch_first=True, bidirectional=True).cuda()
        x = torch.randn(BATCH, BARS, 12, device="cuda")

        def step(dtype: torch.dtype, lstm: torch.nn.LSTM = lstm, x: torch.Tensor = x) -> None:
            with torch.autocast("cuda", dtype, enabled=dtype != torch.float32):
                encoded = lstm(x)[0]
            encoded.float().square().sum().backward()

        half, single = timed(
            *(_waited(partial(step, x)) for x in (torch.bfloat16, torch.float32)), repeats=20
        )
        what = f"BiLSTM of {hidden}, a step: bfloat16, times faster than float32"
        lines.append(_line(what, ratio(half, single), "{:.2f}"))
    return lines


def _fit_line() -> Line:
    """Time a whole fit of the default, here and on a core of the CPU."""
    data = synthetic.planted(N_WINDOWS, preset="medium", seed=1).data
    settings = replace(preset("segmental"), epochs=10)
    own = features.compute(data.windows.ohlc, settings.features)

    def fit(device: str) -> float:
        begin = perf_counter()
        SpanDetector(settings, device=device, threads=1).fit(own, data)
        return perf_counter() - begin

    fit("cuda")
    value = fit("cpu") / fit("cuda")
    return _line("fit, segmental, 10 epochs: times faster than on a core", value, "{:.1f}")


def _waited(call: Callable[[], object]) -> Callable[[], None]:
    """Return a call that ends when the device has done its work."""

    def run() -> None:
        call()
        torch.cuda.synchronize()

    return run


def _line(what: str, value: float, form: str, aim: str = "") -> Line:
    shown: dict[str, Any] = {"what": what, "value": value}
    return {**shown, "measured": form.format(value), "aim": aim}
