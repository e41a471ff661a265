"""Processes that train together learn what one learns alone."""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from deep import parallel
from deep.device import limited, seeded
from deep.losses import Objective
from deep.model import SpanModel
from deep.presets import PRESETS
from deep.soft import prior_of
from deep.train import train
from deep.training import Training
from proxytools import features, io, rundir, synthetic
from proxytools.errors import InputError
from tests import processes, small
from tests.test_deep_resume import FEW, assert_same_run, states
from tests.test_deep_train import CPU, FREE

N = 11  # windows learnt from: batches of 5, 5 and 1, so one process has none of the last
ALONE = {"dropout": 0.0, "input_dropout": 0.0, "batch_size": 5, "epochs": 3, "hidden": 6}
SETTINGS = {
    "segmental": replace(FREE, **ALONE),
    "mask": replace(FREE, head="mask", soft_edge=1, **ALONE),
    "jade": replace(PRESETS["jade"], **ALONE),
}


def fitted(name):
    """Train on windows of which some have no span, so that their losses are masked."""
    settings = SETTINGS[name]
    data = small.part_labelled(small.planted(15), 9)
    values = torch.from_numpy(features.compute(data.windows.ohlc, settings.features).values)
    mask = data.mask.astype(np.float32)
    objective = Objective.of(settings, [data.spans], mask, none=2, device=CPU)
    start = prior_of([data.spans], np.arange(N), data.n_bars, int(data.spans.length.max()))
    with seeded((0,), CPU), limited(1):
        training = Training(SpanModel(values.shape[2], settings, *start), settings)
        best = train(training, objective, values, torch.arange(N), held=torch.arange(N, 15))
        draws = torch.rand(4), torch.randperm(9, generator=training.order)
    return {
        "best": best.state_dict(),
        "last": training.model.state_dict(),
        "losses": [[past.loss, *past.losses.values()] for past in training.history],
        "held_out": [past.held_out for past in training.history],
        "draws": draws,
    }


def fit_all(folder):
    with parallel.together():
        found = {name: fitted(name) for name in SETTINGS}
        torch.save(found, Path(folder) / f"{parallel.rank()}.pt")


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """What each of two processes has in the end."""
    folder = tmp_path_factory.mktemp("both")
    ended(processes.start_together((str(folder),), folder / "log", fit_all), folder / "log")
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in (0, 1)]


def ended(started, log, code=0):
    for process in started:
        process.join(60)
    logs = [Path(f"{log}{rank}").read_text() for rank in range(len(started))]
    assert [process.exitcode for process in started] == [code] * len(started), logs
    return logs


@pytest.mark.parametrize("name", SETTINGS)
def test_two_learn_what_one_learns(name, both):
    alone, (first, second) = fitted(name), (found[name] for found in both)
    np.testing.assert_allclose(first["losses"], alone["losses"], rtol=1e-4)
    np.testing.assert_allclose(first["held_out"], alone["held_out"], rtol=1e-4)
    for kind in ("best", "last"):
        for key, value in alone[kind].items():
            np.testing.assert_allclose(first[kind][key], value, rtol=1e-3, atol=1e-4, err_msg=key)
            assert torch.equal(first[kind][key], second[kind][key])
    assert first["held_out"] == second["held_out"]
    assert first["losses"] == second["losses"]


@pytest.mark.parametrize("name", SETTINGS)
def test_they_shuffle_alike_and_drop_out_apart(name, both):
    alone, (first, second) = fitted(name), (found[name] for found in both)
    for found in (first, second):
        assert torch.equal(found["draws"][1], alone["draws"][1])
    assert not torch.equal(first["draws"][0], second["draws"][0])


def wait_for_each_other(which):
    with parallel.together():
        if parallel.rank() == which:
            raise InputError("here", got="one thing", expected="another")
        parallel.summed(torch.zeros(1))


@pytest.mark.parametrize("which", [0, 1])
def test_one_that_fails_ends_all_and_alone_says_why(which, tmp_path):
    started = processes.start_together((which,), tmp_path / "log", wait_for_each_other)
    for process in started:
        process.join(30)
    logs = [(tmp_path / f"log{rank}").read_text() for rank in (0, 1)]
    assert all(process.exitcode == 1 for process in started), logs
    assert "InputError: here: got one thing" in logs[which]
    assert "Traceback" not in logs[1 - which]  # torch may add warnings of its own
    assert "got one thing" not in logs[1 - which]


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "windows.parquet"
    io.write(path, synthetic.planted(15, preset="easy", seed=0, n_bars=40).data)
    return path


def test_a_refusal_is_one_sentence(tmp_path):
    words = ("train", "--data", tmp_path / "nowhere.parquet", "--out", tmp_path / "run")
    logs = ended(processes.start_together(words, tmp_path / "log"), tmp_path / "log", code=2)
    assert sorted(log.count("nowhere.parquet") for log in logs) == [0, 1]
    assert "".join(logs).startswith("Error: ")
    assert "".join(logs).count("\n") == 1


def test_killed_together_they_go_on_to_the_end_that_torchrun_reaches(data, tmp_path):
    whole, run, log = (tmp_path / name for name in ("whole", "run", "log"))
    words = ("train", "--data", data, "--json", *FEW)
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m")
    done = subprocess.run(
        [*torchrun, "cli.deep", *words, "--out", whole], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["run"] == str(whole)
    assert done.stderr.count("Wrote") == 1
    assert rundir.open_run(whole).read_json("run.json")["processes"] == 2

    started = processes.start_together((*words, "--out", run), log)
    while len(states(run)) < 2 and all(process.is_alive() for process in started):
        started[0].join(0.01)
    started[1].kill()
    for process in started:
        process.join(30)
    assert [process.exitcode for process in started] == [1, -signal.SIGKILL]
    said = (tmp_path / "log0").read_text()
    assert "Interrupted; continue with: torchrun --nproc-per-node 2 -m cli.deep train" in said
    assert said.endswith("Error: A process that trained with this one was killed.\n")
    assert "Traceback" not in said
    alone = processes.start(("train", "--resume", run), log)
    alone.join()
    assert alone.exitcode == 2
    assert "torchrun --nproc-per-node 2" in log.read_text()
    logs = ended(processes.start_together(("train", "--resume", run, "--quiet"), log), log)
    assert logs[1] == ""
    (whole / "curves.png").unlink()  # not drawn by the others
    assert_same_run(whole, run)
