"""A training killed at any moment goes on to the same end."""

import json
import os
import pickle
import random
import signal
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from cli.deep import cli
from deep import archive, curves, kept, presets
from deep.device import seeded
from deep.kept import Kept, digest
from deep.settings import Settings
from deep.train import Observer
from deep.training import Training
from proxytools import io, lock, rundir, synthetic
from tests import processes, test_deep_train

ABOUT = {"command": ["x"], "config": {}, "seed": 0, "inputs": {}}
FEW = ("--features", "directionless", "--members", "1", "--epochs", "2", "--threads", "1")
QUICK = Settings(features="directionless", hidden=4, members=1, epochs=2)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setitem(presets.PRESETS, "segmental", QUICK)
    monkeypatch.setattr(kept, "SECONDS", 0.0)
    monkeypatch.setattr(curves, "draw", lambda *drawn: None)  # longer than all else


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "windows.parquet"
    io.write(path, synthetic.planted(15, preset="easy", seed=0, n_bars=40).data)
    return path


def call(*words, expect=0):
    done = CliRunner().invoke(cli, ["train", *map(str, words), "--quiet"])
    assert done.exit_code == expect, done.output
    return done


def begin(data, out, *more, expect=0):
    return call("--data", data, "--out", out, "--threads", "1", *more, expect=expect)


def assert_same_run(one, other):
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in other.iterdir())
    assert rundir.UNFINISHED not in names
    a, b = (torch.load(run / "best_model.pt", weights_only=True) for run in (one, other))
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)
    for name in ("metrics.json", "metadata.json", *(x for x in names if x.endswith(".csv"))):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def interrupt_at(monkeypatch, write):
    """Interrupt a command when it keeps its next state, having written a part of the file."""
    keep = archive.write

    def torn(path, content):
        write(path, content, keep)
        raise KeyboardInterrupt

    monkeypatch.setattr(archive, "write", torn)


def tear(path, content, keep):
    path.with_name(f"{path.name}.tmp").write_bytes(b"PK\x03\x04 half")


def complete(path, content, keep):
    keep(path, content)


@pytest.fixture
def interrupted(data, tmp_path, monkeypatch):
    """A run with one state kept, that of its first pass."""
    with monkeypatch.context() as patch:
        interrupt_at(patch, complete)
        begin(data, tmp_path / "run", expect=1)
    return tmp_path / "run"


def states(run):
    return sorted((rundir.partial_of(run) / rundir.UNFINISHED).glob("*.pt"))


def killed_after(process, n_states, run, seconds):
    """Kill a process, a little after it has kept so many trainings; its exit code."""
    while len(states(run)) < n_states and process.is_alive():
        process.join(0.01)
    process.join(seconds)
    process.kill()
    process.join()
    return process.exitcode


def test_killed_at_random_moments_it_ends_the_same(data, tmp_path):
    words, log = ("train", "--data", data, *FEW, "--quiet", "--folds", "2"), tmp_path / "log"
    whole, run, draw = tmp_path / "whole", tmp_path / "run", random.Random(0)
    command = (*words, "--out", run)
    for _ in range(3):
        n_states = len(states(run)) + draw.randint(1, 3)
        code = killed_after(processes.start(command, log), n_states, run, draw.uniform(0, 0.1))
        assert code == -signal.SIGKILL, log.read_text()
        command = ("train", "--resume", run, "--quiet")
    for last in ((*words, "--out", whole), command):
        process = processes.start(last, log)
        process.join()
        assert process.exitcode == 0, log.read_text()
    assert_same_run(whole, run)


def test_interrupted_at_every_pass_it_ends_the_same(data, tmp_path, monkeypatch):
    """With pre-training, which draws at random, and the same without it."""
    settings = replace(QUICK, pretrain="contrastive", pretrain_epochs=1)
    monkeypatch.setitem(presets.PRESETS, "segmental", settings)
    keep, passes = archive.write, []
    with monkeypatch.context() as patch:
        patch.setattr(archive, "write", lambda path, state: passes.append(keep(path, state)))
        begin(data, tmp_path / "whole")
    run, draw, written = tmp_path / "run", random.Random(1), 1
    with monkeypatch.context() as patch:
        interrupt_at(patch, complete)
        begin(data, run, expect=1)
    while not run.exists():
        half = draw.random() < 0.3
        with monkeypatch.context() as patch:
            interrupt_at(patch, tear if half else complete)
            done = CliRunner().invoke(cli, ["train", "--resume", str(run), "--quiet"])
        written += not half and done.exit_code == 1
        assert ("Interrupted; continue with: deep train --resume" in done.stderr) == done.exit_code
    assert written == len(passes)  # none was done twice, none was left out
    assert_same_run(tmp_path / "whole", run)
    ours, whole = (json.loads((x / "run.json").read_text()) for x in (run, tmp_path / "whole"))
    for name in ours.keys() - {"created", "config", "command"}:
        assert ours[name] == whole[name]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_orderly_end_says_how_to_go_on(how, data, tmp_path):
    run, log = tmp_path / "a run", tmp_path / "log"
    process = processes.start(("train", "--data", data, "--out", run, *FEW, "--folds", "9"), log)
    deadline = time.monotonic() + 60
    while not states(run) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, how)
    process.join()
    assert process.exitcode == 1
    assert f"Interrupted; continue with: deep train --resume '{run}'\n" in log.read_text()
    assert "Traceback" not in log.read_text()
    assert states(run)


def test_a_refusal_leaves_nothing_to_go_on_with(data, tmp_path):
    done = begin(data, tmp_path / "run", "--features", "ful", expect=2)
    assert "Interrupted" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_what_is_no_interrupted_run_is_refused(data, tmp_path, interrupted):
    nothing = call("--resume", tmp_path / "other", expect=2)
    assert "other: got nothing there, expected a run that was interrupted" in nothing.stderr
    assert not (tmp_path / ".other.partial").exists()
    call("--resume", interrupted)
    finished = call("--resume", interrupted, expect=2)
    assert "got a finished run" in finished.stderr
    (tmp_path / "folder").mkdir()
    assert "no run" in call("--resume", tmp_path / "folder", expect=2).stderr


def test_a_run_that_another_process_writes_is_refused(interrupted):
    with lock.held(rundir.partial_of(interrupted)):
        done = call("--resume", interrupted, expect=2)
    assert "another process is writing" in done.stderr
    assert states(interrupted)


@pytest.mark.parametrize("program", ["deep", "proxytools"])
def test_a_new_run_of_that_name_is_refused(program, data, interrupted):
    if program == "deep":
        done = begin(data, interrupted, expect=2).stderr
    else:
        with pytest.raises(rundir.InputError) as refused, rundir.create(interrupted, **ABOUT):
            pytest.fail("it was opened")
        done = str(refused.value)
    assert f"Continue with --resume {interrupted}, or remove" in done
    assert states(interrupted)


@pytest.mark.parametrize("more", [("--seed", "0"), ("--epochs", "9"), ("--data", "x")])
def test_options_beside_it_are_refused(more, interrupted):
    done = call("--resume", interrupted, *more, expect=2)
    assert f"{more[0]}: got an option beside --resume" in done.stderr


def test_changed_data_are_refused(tmp_path, monkeypatch):
    data = tmp_path / "windows.parquet"
    io.write(data, synthetic.planted(15, preset="easy", seed=0, n_bars=40).data)
    with monkeypatch.context() as patch:
        interrupt_at(patch, complete)
        begin(data, tmp_path / "run", expect=1)
    io.write(data, synthetic.planted(15, preset="easy", seed=1, n_bars=40).data)
    done = call("--resume", tmp_path / "run", expect=2)
    assert "windows.parquet: got another content" in done.stderr
    data.unlink()
    call("--resume", tmp_path / "run", expect=2)
    assert states(tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("versions", {"torch": "1.0"}, "1.0, with which it was begun"),
        ("processes", 2, "torchrun --nproc-per-node 2"),
        ("format", 99, "a format up to"),
        ("config", {"epochs": "many"}, "many"),
    ],
)
def test_what_would_lead_elsewhere_is_refused(name, value, says, interrupted):
    path = rundir.partial_of(interrupted) / "run.json"
    record = json.loads(path.read_text())
    record[name] = {**record[name], **value} if isinstance(value, dict) else value
    path.write_text(json.dumps(record))
    assert says in call("--resume", interrupted, expect=2).stderr
    assert states(interrupted)


class Hostile:
    def __reduce__(self):
        return os.system, ("touch hostile",)


@pytest.mark.parametrize(
    "damage", ["cut", "bit", "empty", "pickle", "hostile", "other content", "other shape"]
)
def test_a_damaged_state_is_refused(damage, interrupted, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (path,) = states(interrupted)
    raw, state = path.read_bytes(), archive.read(path)
    if damage == "cut":
        path.write_bytes(raw[: len(raw) // 2])
    elif damage == "bit":
        place = raw.index(state["training"]["model"]["encoder.weight_ih_l0"].numpy().tobytes())
        path.write_bytes(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "pickle":
        path.write_bytes(pickle.dumps(Hostile()))
    elif damage == "hostile":
        torch.save({"training": Hostile()}, path)
    elif damage == "other content":
        torch.save({"training": 3}, path)
    else:
        state["training"]["model"]["mean"] = torch.zeros(1)
        torch.save(state, path)
    done = call("--resume", interrupted, expect=2)
    assert f"{path.name}: got a damaged state" in done.stderr
    assert "Remove it" in done.stderr
    assert not (tmp_path / "hostile").exists()
    path.unlink()
    call("--resume", interrupted)
    assert interrupted.exists()


def test_a_training_of_anything_else_finds_nothing(tmp_path):
    _, values, _, model = test_deep_train.task(test_deep_train.FREE)

    def start(seed=0, rate=1e-3, values=values, learnt=(0, 1, 2)):
        settings = replace(test_deep_train.FREE, learning_rate=rate)
        with seeded((seed,), torch.device("cpu")):
            training = Training(model, settings)
            keep = Kept(tmp_path).going_on(training, Observer(), values, torch.tensor(learnt))
        return training, keep

    training, keep = start()
    training.steps = 7
    keep(training)
    assert start()[0].steps == 7
    for other in ({"seed": 1}, {"rate": 2e-3}, {"values": values + 1}, {"learnt": (0, 1, 3)}):
        assert start(**other)[0].steps == 0
    model.encoder.weight_ih_l0.data[0, 0] += 1
    assert start()[0].steps == 0


def test_states_are_kept_now_and_then_and_at_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "SECONDS", 3600.0)
    *_, model = test_deep_train.task(test_deep_train.FREE)
    training = Training(model, replace(test_deep_train.FREE, epochs=1))
    keep = Kept(tmp_path).going_on(training, Observer())
    keep(training)
    assert not list(tmp_path.iterdir())
    training.settings = replace(training.settings, epochs=0 + 1, patience=1)
    training.history = [test_deep_train.run(replace(training.settings, epochs=1))[-1][0]]
    keep(training)
    assert len(list(tmp_path.iterdir())) == 1


VALUES = [
    *(None, True, False, 0, 1, -1, 1.0, 0.1, "", "1", "None", [], [[]], [0, 1], [[0], 1], [0, [1]]),
    *({}, {"a": 1}, {"a": 1.0}, {"b": 1}, {"a": 1, "b": 1}, ["a", 1], [["a", 1]], ["a 1", ""]),
    *(np.zeros(2), np.zeros((2, 1)), np.zeros((1, 2)), np.zeros(2, np.float32), np.zeros(2, int)),
    *(np.ones(2), torch.ones(2, 1), torch.ones(1), Settings(), presets.PRESETS["jade"]),
]


def test_different_values_have_different_digests():
    found = [digest(value) for value in VALUES]
    assert len(set(found)) == len(VALUES)
    assert digest(torch.ones(2, dtype=torch.float64)) == digest(np.ones(2))
    assert digest(np.arange(6).reshape(2, 3).T) == digest(
        np.ascontiguousarray([[0, 3], [1, 4], [2, 5]])
    )
    with pytest.raises(TypeError, match="no hash of a set"):
        digest([{1}])
