"""The ``deep`` command, from its flags to exit codes, streams and files."""

import json
import math

import pytest
import torch
from click.testing import CliRunner

from cli.deep import cli
from cli.proxytools import cli as proxytools
from deep import presets
from deep.settings import Settings
from proxytools import io, synthetic
from tests.test_architecture import loaded_by

QUICK = Settings(hidden=4, members=2, epochs=3)
SMALL = ("--features", "directionless", "--threads", "1", "--quiet")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setitem(presets.PRESETS, "segmental", QUICK)


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "windows.parquet"
    io.write(path, synthetic.planted(24, preset="easy", seed=0, n_bars=60).data)
    return path


@pytest.fixture
def others(tmp_path):
    path = tmp_path / "others.parquet"
    io.write(path, synthetic.planted(12, preset="easy", seed=1, n_bars=60).data)
    return path


def call(*words, command=cli, expect=0):
    done = CliRunner().invoke(command, [str(word) for word in words])
    assert done.exit_code == expect, done.output
    return done


def train(data, out, *more, expect=0):
    return call("train", "--data", data, "--out", out, *SMALL, *more, expect=expect)


def test_train_and_evaluate(data, others, tmp_path):
    out = tmp_path / "run"
    printed = json.loads(train(data, out, "--json").stdout)
    saved = json.loads((out / "metrics.json").read_text())
    assert printed == {**saved, "run": str(out)}
    assert saved["evaluation"] == "inner folds"
    assert math.isfinite(saved["pearson_r"])
    record = json.loads((out / "run.json").read_text())
    assert record["command"][0] == "deep"
    assert record["config"]["preset"] == "segmental"
    assert "torch" in record["versions"]

    measured = json.loads(call("evaluate", out, "--data", others, "--json").stdout)
    fitted = call(
        *("fit", "--model", "formula", "--data", data, "--folds", "2", "--out", tmp_path / "f"),
        "--quiet",
        command=proxytools,
    )
    assert fitted.exit_code == 0
    same = call("evaluate", tmp_path / "f", "--data", others, "--json", command=proxytools)
    assert measured.keys() == json.loads(same.stdout).keys()
    assert measured["n_windows"] == 12


def test_train_ends_with_what_the_training_did(data, tmp_path):
    done = train(data, tmp_path / "run")
    assert done.stdout.endswith((tmp_path / "run" / "verdict.txt").read_text())


def test_evaluate_refuses_what_it_learnt_from(data, tmp_path):
    train(data, tmp_path / "run")
    done = call("evaluate", tmp_path / "run", "--data", data, expect=2)
    assert "bars that the model learnt from" in done.stderr


def test_the_same_command_gives_the_same_run(data, tmp_path):
    for name in "ab":
        train(data, tmp_path / name, "--seed", "3")
    train(data, tmp_path / "c", "--seed", "4")
    weights = [torch.load(tmp_path / name / "best_model.pt", weights_only=True) for name in "abc"]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not all(torch.equal(weights[0][name], weights[2][name]) for name in weights[0])
    metrics = [(tmp_path / name / "metrics.json").read_bytes() for name in "ab"]
    assert metrics[0] == metrics[1]


def test_settings_from_flags(data, tmp_path):
    train(data, tmp_path / "run", "--epochs", "2", "--members", "1", "--folds", "2")
    settings = json.loads((tmp_path / "run" / "metadata.json").read_text())["settings"]
    assert (settings["epochs"], settings["members"]) == (2, 1)
    passes = (tmp_path / "run" / "epoch_metrics.csv").read_text().splitlines()
    assert passes[0].startswith("run,epoch,train_loss,val_loss,")
    assert 1 <= sum(line.startswith("member") for line in passes) <= 2
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["evaluation"] == "outer folds"
    assert metrics["ci_low"] <= metrics["pearson_r"] <= metrics["ci_high"]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (("--preset", "singel"), "Did you mean single"),
        (("--epochs", "0"), "--epochs"),
        (("--members", "1000"), "members"),
        (("--device", "tpu"), "--device"),
        (("--features", "ful"), "Did you mean 'full'"),
        (("--folds", "1"), "--folds"),
    ],
)
def test_bad_usage_exits_2_and_leaves_nothing(more, says, data, tmp_path):
    done = train(data, tmp_path / "run", *more, expect=2)
    assert says in done.stderr
    assert not list(tmp_path.glob("*run*"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_an_absent_device_exits_2(data, tmp_path):
    done = train(data, tmp_path / "run", "--device", "cuda", expect=2)
    assert "no CUDA device" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_run_that_is_none_exits_2(data, tmp_path):
    done = call("evaluate", tmp_path / "nowhere", "--data", data, expect=2)
    assert "nothing there" in done.stderr


def test_deep_on_the_leaderboard(data, tmp_path):
    done = call(
        *("correlate", "--models", "formula,deep", "--data", data, "--folds", "2"),
        *("--out", tmp_path / "board", "--json", *SMALL),
        command=proxytools,
    )
    rows = {row["model"]: row for row in json.loads(done.stdout)}
    assert {"deep", "formula", "position-prior"} <= rows.keys()
    assert rows["deep"]["span_f1_50"] is not None


def test_deep_on_an_absent_device_is_refused_before_the_work(data, tmp_path):
    done = call(
        *("correlate", "--models", "deep", "--data", data, "--device", "opencl"),
        command=proxytools,
        expect=2,
    )
    assert "device for deep" in done.stderr


def test_help_loads_no_heavy_library():
    heavy = {"numpy", "pandas", "pyarrow", "sklearn", "scipy", "numba", "matplotlib", "torch"}
    code = "from click.testing import CliRunner\nfrom cli.deep import cli\n"
    code += "assert CliRunner().invoke(cli, ['train', '--help']).exit_code == 0"
    assert not heavy & loaded_by(code)
