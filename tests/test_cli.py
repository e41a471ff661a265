"""The commands, from their flags to exit codes, streams and files."""

import hashlib
import json
import os
import pty
import random
import re
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numba
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from cli.proxytools import cli
from proxytools import io, pipeline, synthetic
from proxytools.proxies import NAMES, registry
from proxytools.types import Spans

PROXYTOOLS = Path(sys.executable).with_name("proxytools")
WEIGHTS = {
    "formula": "formula.json",
    "formula-classic": "formula.json",
    "lightgbm": "lightgbm.txt",
    "xgboost": "xgboost.json",
}
QUICK = ("--folds", "2", "--threads", "1")
NOTHING_HEAVY = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Small forests, no figures, and threads that do not wait for each other."""
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    monkeypatch.setitem(
        registry._CLASSIFIERS,
        "random-forest",
        lambda seed, threads: RandomForestClassifier(5, n_jobs=threads, random_state=seed),
    )
    monkeypatch.setitem(
        registry._CLASSIFIERS,
        "hist-gradient-boosting",
        lambda seed, threads: HistGradientBoostingClassifier(max_iter=5, random_state=seed),
    )
    for name in ("validation", "gallery"):
        monkeypatch.setattr(pipeline.plots, name, lambda _, path, **__: path.touch())
    yield
    numba.set_num_threads(before)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty folder to work in, and no settings from the environment."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("PROXYTOOLS_"):
            monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Small planted windows, bars without marks, and a run, figures included."""
    folder = tmp_path_factory.mktemp("made")
    io.write(folder / "windows.parquet", small())
    io.write(folder / "others.parquet", small(seed=8))
    write_bars(folder / "bars.parquet", 400)
    run("fit", "--data", folder / "windows.parquet", "--out", folder / "run", *QUICK)
    return folder


def small(n_windows=30, seed=3):
    return synthetic.planted(n_windows, preset="easy", seed=seed, n_bars=40).data


def write_bars(path, n, zone="UTC"):
    bars = synthetic.planted(1, n_bars=n, seed=5).data.windows.ohlc[0]
    frame = pd.DataFrame(bars, columns=["open", "high", "low", "close"])
    frame.insert(0, "timestamp", pd.date_range("2024-01-01", periods=n, freq="1min", tz=zone))
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path, index=False)


def run(*words, code=0):
    """Run a command in this process; what is not a clean exit is raised again."""
    done = CliRunner().invoke(cli, [str(word) for word in words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, (done.exit_code, done.stderr)
    return done


def contents(folder):
    """Every path below a folder, and the hash of every file."""
    return {
        str(path.relative_to(folder)): path.is_file()
        and hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
    }


def refused(folder, *words, code=2):
    """Run a command that must fail with one line and leave the folder as it is."""
    before = contents(folder)
    done = run(*words, code=code)
    assert contents(folder) == before
    assert done.stdout == ""
    lines = [line for line in done.stderr.splitlines() if not line.startswith("No --data")]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("Error: ")
    return lines[0]


@pytest.mark.parametrize("name", [None, *cli.commands])
def test_help_says_what_it_is_for(name):
    done = run(*([name] if name else []), "--help")
    assert done.stderr == ""
    assert "Usage: " in done.stdout
    assert "proxytools " in done.stdout.split("Usage")[1].split("\n", 1)[1] or name == "demo"


def test_version_is_the_installed_one():
    from importlib.metadata import version

    assert run("--version").stdout == f"proxytools, version {version('proxytools-spans')}\n"


def test_synth_writes_what_it_planted(home):
    done = run("synth", "--preset", "easy", "--windows", "7", "--seed", "9", "--out", "w.parquet")
    assert done.stdout == ""
    back, planted = io.read("w.parquet"), synthetic.planted(7, preset="easy", seed=9).data
    np.testing.assert_array_equal(back.windows.ohlc, planted.windows.ohlc)
    np.testing.assert_array_equal(back.mask, planted.mask)
    assert "existing path" in refused(home, "synth", "--out", "w.parquet")


@pytest.mark.parametrize("model", NAMES)
def test_fit_writes_what_it_promises(home, made, model):
    data = made / "windows.parquet"
    done = run("fit", "--model", model, "--data", data, "--out", "a", "--seed", "4", *QUICK)
    weights = WEIGHTS.get(model, "classifier.skops")
    files = {
        *("run.json", "model.json", weights, "seen.npy", "metrics.json", "soft_labels.parquet"),
        *("spans.csv", "expansion_stats.csv", "proxy_validation.png", "windows.png"),
        *(["proxy_formula.json"] if "formula" in model else []),
    }
    assert set(contents(home / "a")) == files
    assert "pearson_r" in done.stdout
    assert "Wrote a" in done.stderr

    record = json.loads(Path("a/run.json").read_text())
    assert record["inputs"] == {str(data): io.sha256(data)}
    assert (record["seed"], record["threads"], record["device"]) == (4, 1, "cpu")
    assert record["config"]["model"] == model
    assert record["config"]["folds"] == 2
    metrics = json.loads(Path("a/metrics.json").read_text())
    assert metrics["model"] == model
    assert metrics["ci_low"] <= metrics["pearson_r"] <= metrics["ci_high"]
    assert metrics["n_true"] == len(small().spans)

    soft = pq.read_table("a/soft_labels.parquet")
    assert soft["window_id"].to_pylist() == small().windows.ids.tolist()
    assert all(soft["held_out"].to_pylist())
    prob = np.array(soft["prob"].to_pylist())
    assert prob.shape == (30, 40)
    assert prob.min() >= 0
    assert prob.max() <= 1
    assert soft.schema.metadata[b"source"].decode() == model
    if "formula" in model:
        formula = json.loads(Path("a/proxy_formula.json").read_text())
        assert formula["validation_correlation"] == metrics["pearson_r"]
        assert {"type", "equation", "parameters", "calibration_stats"} <= formula.keys()


def test_fit_draws(made):
    for name in ("proxy_validation.png", "windows.png"):
        assert (made / "run" / name).read_bytes().startswith(b"\x89PNG")


def test_fit_prints_what_it_writes_as_json(home, made):
    done = run("fit", "--data", made / "windows.parquet", "--out", "a", "--json", *QUICK)
    printed = json.loads(done.stdout)
    assert printed.pop("run") == "a"
    assert printed.pop("seconds") > 0
    assert printed == json.loads(Path("a/metrics.json").read_text())


def test_the_same_command_and_seed_give_the_same_bits(home, made):
    for attempt in ("first", "second"):
        for model in NAMES:
            words = ("--model", model, "--data", made / "windows.parquet", "--seed", "4")
            run("fit", *words, "--out", f"{attempt}/{model}", *QUICK)
    first, second = contents(home / "first"), contents(home / "second")
    assert first.keys() == second.keys()
    different = {name for name in first if first[name] != second[name]}
    assert {Path(name).name for name in different} <= {"run.json"}, different


def test_another_seed_gives_another_model(home, made):
    for seed in ("1", "2"):
        run("fit", "--data", made / "windows.parquet", "--seed", seed, "--out", seed, *QUICK)
    assert Path("1/lightgbm.txt").read_bytes() != Path("2/lightgbm.txt").read_bytes()


def test_fit_labels_unlabelled_bars_with_their_zone(home, made):
    write_bars(home / "naive.csv", 90, zone=None)
    words = ("--data", made / "windows.parquet", "--unlabelled", "naive.csv", *QUICK)
    assert "zone" in refused(home, "fit", *words, "--out", "a")
    run("fit", *words, "--zone", "Europe/Berlin", "--out", "a")
    soft = pd.read_parquet("a/soft_unlabelled.parquet")
    assert len(soft) == 90
    assert soft.timestamp[0] == pd.Timestamp("2023-12-31T23:00", tz="UTC")
    assert "naive.csv" in json.loads(Path("a/run.json").read_text())["inputs"]


def test_search_tunes_and_saves(home, made):
    words = ("--model", "logistic", "--search", "optuna", "--trials", "2", "--out", "a")
    run("fit", "--data", made / "windows.parquet", *words, *QUICK)
    run("evaluate", "a", "--data", made / "others.parquet")


def test_correlate_prints_pure_json(home, made):
    words = ("--models", "formula,logistic", "--permutations", "3", *QUICK)
    done = run("correlate", "--data", made / "windows.parquet", *words, "--json", "--out", "a")
    rows = json.loads(done.stdout)
    promised = {"model", "pearson_r", "ci_low", "ci_high", "p_value", "average_precision"}
    promised |= {"separation", "span_f1_50", "seconds"}
    assert all(promised <= row.keys() for row in rows)
    names = {"formula", "logistic", "constant", "random", "position-prior"}
    assert {row["model"].replace(" ", "-") for row in rows} == names
    assert [row["pearson_r"] for row in rows] == sorted(
        (row["pearson_r"] for row in rows), reverse=True
    )
    assert done.stderr == "Wrote a\n"
    assert set(contents(home / "a")) == {
        *("run.json", "leaderboard.json", "leaderboard.csv", "leaderboard.png")
    }
    assert json.loads(Path("a/leaderboard.json").read_text()) == rows


def test_the_gate_is_met_by_signal_alone(home, made):
    words = ("--models", "logistic", "--gate", "0.15", "--permutations", "3", "--json", *QUICK)
    run("correlate", "--data", made / "windows.parquet", *words, "--out", "met")
    data = small()
    spans, order = data.spans, np.random.default_rng(0).permutation(len(data))
    dealt = Spans(order[spans.window], spans.start, spans.stop, len(data))
    io.write("dealt.parquet", type(data)(data.windows, dealt, data.labelled))
    done = run("correlate", "--data", "dealt.parquet", *words, "--out", "missed", code=3)
    assert len(json.loads(done.stdout)) == 4
    assert done.stderr.startswith("Wrote missed\nError: No proxy passes the gate")
    assert Path("missed/leaderboard.json").exists()
    assert "Traceback" not in done.stderr


def test_evaluate_measures_other_windows(home, made):
    words = ("evaluate", made / "run", "--data", made / "others.parquet")
    done = run(*words, "--json")
    metrics = json.loads(done.stdout)
    assert {
        *("pearson_r", "average_precision", "roc_auc", "separation", "brier"),
        *("calibration_error", "span_f1_30", "span_f1_50", "span_f1_70", "mean_iou"),
    } <= metrics.keys()
    assert (metrics["model"], metrics["n_windows"]) == ("lightgbm", 30)
    assert metrics["pearson_r"] > 0.5
    assert done.stderr == ""
    assert contents(home) == {}
    assert "roc_auc" in run(*words).stdout


def test_label_end_to_end(home, made):
    words = ("label", made / "run", "--bars", made / "bars.parquet", "--out", "soft.parquet")
    done = run(*words)
    assert (done.stdout, done.stderr) == ("", "Wrote soft.parquet: 400 bars\n")
    soft = pd.read_parquet("soft.parquet")
    assert soft.columns.tolist() == ["series_id", "bar", "timestamp", "prob"]
    assert soft.prob.between(0, 1).all()
    assert soft.prob.nunique() > 20
    assert set(contents(home)) == {"soft.parquet"}
    assert "existing path" in refused(home, *words)


@pytest.mark.parametrize("command", ["fit", "correlate"])
def test_bare_commands_take_the_embedded_data(home, monkeypatch, command):
    monkeypatch.setattr(pipeline, "default_data", small)
    monkeypatch.setenv(f"PROXYTOOLS_{command.upper()}_FOLDS", "2")
    monkeypatch.setenv("PROXYTOOLS_CORRELATE_MODELS", "logistic")
    done = run(command)
    assert "planted medium, 210 windows, seed 1" in done.stderr
    (made,) = Path("runs").iterdir()
    assert re.fullmatch(rf"{command}-\d{{8}}-\d{{6}}", made.name)
    assert f"Wrote {made}" in done.stderr


def test_the_embedded_data_are_what_their_name_says():
    planted = synthetic.planted(210, preset="medium", seed=1).data
    np.testing.assert_array_equal(pipeline.default_data().windows.ohlc, planted.windows.ohlc)
    assert pipeline.DEFAULT_DATA == "planted medium, 210 windows, seed 1"


def test_demo_leaves_figures(home, monkeypatch):
    monkeypatch.setattr(pipeline, "default_data", small)
    monkeypatch.setattr(pipeline.leaderboard, "permutation_p", lambda *_, **__: 0.5)
    run("demo", "--out", "a", "--threads", "1", "--quiet")
    assert {"leaderboard.png", "proxy_validation.png", "windows.png", "model.json"} <= set(
        contents(home / "a")
    )


def synth_windows(*words):
    run("synth", "--out", "w.parquet", *words)
    n_windows = len(io.read("w.parquet"))
    Path("w.parquet").unlink()
    return n_windows


def test_flag_over_environment_over_file(home, monkeypatch):
    Path("a.toml").write_text("windows = 3\nseed = 5\n[fit]\nseed = 6\n")
    Path("b.toml").write_text("windows = 2\n[synth]\nwindows = 4\n")
    assert synth_windows("--config", "a.toml") == 3
    assert synth_windows("--config", "b.toml") == 4
    monkeypatch.setenv("PROXYTOOLS_SYNTH_WINDOWS", "6")
    assert synth_windows("--config", "a.toml") == 6
    assert synth_windows("--config", "a.toml", "--windows", "7") == 7
    monkeypatch.setenv("PROXYTOOLS_SYNTH_CONFIG", "a.toml")
    monkeypatch.delenv("PROXYTOOLS_SYNTH_WINDOWS")
    assert synth_windows() == 3


def test_settings_of_a_file_reach_the_record(home, made):
    text = f"data = '{made / 'windows.parquet'}'\nthreads = 1\n"
    text += "[fit]\nmodel = 'logistic'\nfolds = 2\njson = true\nbar-interval = '1min'\n"
    Path("a.toml").write_text(text)
    done = run("fit", "--config", "a.toml", "--out", "a")
    assert json.loads(done.stdout)["model"] == "logistic"
    config = json.loads(Path("a/run.json").read_text())["config"]
    assert (config["folds"], config["as_json"], config["bar_interval"]) == (2, True, "1min")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[synth]\nwindow = 3",
            r"key 'window', expected an option of synth. Did you mean 'windows",
        ),
        ("windos = 3", r"key 'windos', expected an option of some command. Did you mean 'windows'"),
        ("[snyth]\nwindows = 3", r"key 'snyth', expected the name of a command. Did you mean 'syn"),
        ("[synth]\nzone = 'UTC'", r"key 'zone', expected an option of synth"),
        ("windows = ", r"expected a TOML file"),
        ("\x00", r"expected a TOML file"),
    ],
)
def test_a_bad_file_of_settings(home, text, message):
    Path("a.toml").write_text(text)
    line = refused(home, "synth", "--config", "a.toml", "--out", "w.parquet")
    assert line.startswith("Error: --config a.toml: ")
    assert re.search(message, line), line


@pytest.mark.parametrize("text", ["windows = 'many'", "windows = [1, 2]", "out = 3.5\nwindows = 0"])
def test_a_bad_value_in_a_file_of_settings(home, text):
    Path("a.toml").write_text(text)
    before = contents(home)
    assert "Invalid value" in run("synth", "--config", "a.toml", code=2).stderr
    assert contents(home) == before


MISTAKES = {
    "typo in data": (["fit", "--data", "windws.parquet"], "Did you mean windows.parquet"),
    "typo in run": (["evaluate", "rnu", "--data", "windows.parquet"], "Did you mean run"),
    "typo in bars": (
        ["label", "run", "--bars", "bar.parquet", "--out", "s"],
        "Did you mean bars.parquet",
    ),
    "typo in unlabelled": (
        ["fit", "--data", "windows.parquet", "--unlabelled", "bar.parquet"],
        "Did you mean bars.parquet",
    ),
    "a directory as data": (["fit", "--data", "run"], "got a directory"),
    "a directory as bars": (["label", "run", "--bars", "run", "--out", "s"], "got a directory"),
    "a file as run": (["label", "empty", "--bars", "bars.parquet", "--out", "s"], "got a file"),
    "an empty file": (["correlate", "--data", "empty"], "empty file"),
    "no model": (["correlate", "--data", "windows.parquet", "--models", ", "], "model"),
    "NaN price": (["fit", "--data", "nan.csv", "--zone", "UTC"], "line 6, column high: got nan"),
    "NaN in bars to label": (
        ["label", "run", "--bars", "nan.csv", "--zone", "UTC", "--out", "new/s"],
        "line 6, column high: got nan",
    ),
    "unknown model": (["fit", "--model", "lightgmb"], "Did you mean lightgbm"),
    "unknown model of several": (["correlate", "--models", "formla,xgboost"], "mean formula"),
    "unknown features": (
        ["fit", "--data", "windows.parquet", "--features", "causl", "--out", "new/a"],
        "Did you mean 'causal'",
    ),
    "windows it learnt from": (
        ["evaluate", "run", "--data", "windows.parquet"],
        "30 of 30 windows with bars that the model learnt from, 'w00000' the first",
    ),
    "unknown class": (["evaluate", "run", "--data", "classes.parquet"], "'crash'"),
    "absent device": (["fit", "--model", "logistic", "--device", "cuda"], "got cuda"),
    "absent opencl": (["fit", "--model", "xgboost", "--device", "opencl"], "lightgbm"),
    "looks ahead": (
        ["fit", "--data", "windows.parquet", "--require-causal", "--out", "new/deep/a"],
        "Use --features causal",
    ),
    "a model that looks ahead": (
        ["label", "run", "--bars", "bars.parquet", "--out", "s", "--require-causal"],
        "look",
    ),
    "embargo": (
        ["fit", "--data", "windows.parquet", "--embargo", "soon", "--out", "new/a"],
        "'soon'",
    ),
    "zone": (["fit", "--data", "nan.csv", "--zone", "Europe/Berln"], "Europe/Berlin"),
    "no labelled window": (["evaluate", "run", "--data", "bars.parquet", "--bars", "40"], "label"),
    "an existing run": (["fit", "--data", "windows.parquet", "--out", "run"], "existing path"),
    "nothing to evaluate": (["evaluate", "broken", "--data", "others.parquet"], "model.json"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing(home, made, mistake):
    for path in made.iterdir():
        Path(path.name).symlink_to(path)
    Path("empty").touch()
    Path("broken").mkdir()
    Path("broken/run.json").write_text('{"format": 1}')
    bars = [f"2024-01-01 00:0{i},1,{'nan' if i == 4 else 2},1,1" for i in range(6)]
    Path("nan.csv").write_text("timestamp,open,high,low,close\n" + "\n".join(bars))
    data = small()
    io.write("classes.parquet", type(data)(data.windows, data.spans, data.labelled, ("crash",)))
    words, message = MISTAKES[mistake]
    line = refused(home, *words, *(QUICK if words[0] in ("fit", "correlate") else ()))
    assert message in line


@pytest.mark.parametrize(
    "words",
    [
        ["fit", "--folds", "1"],
        ["fit", "--device", "tpu"],
        ["fit", "--nonsense"],
        ["label", "run"],
        ["nonsense"],
        [],
    ],
)
def test_bad_usage_exits_2_and_points_to_help(home, words):
    done = run(*words, code=2)
    assert "--help" in done.stdout + done.stderr
    assert contents(home) == {}


def test_what_the_system_refuses_exits_1(home, made):
    Path("file").touch()
    words = ("fit", "--data", made / "windows.parquet", "--out", "file/a", *QUICK)
    assert "Not a directory" in refused(home, *words, code=1)


def start(*words, **options):
    return subprocess.Popen(
        [PROXYTOOLS, *map(str, words)],
        stdin=subprocess.DEVNULL,
        env={**os.environ, **NOTHING_HEAVY, **options.pop("env", {})},
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # ignored in background
        **options,
    )


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_fit_leaves_nothing(home, made, how):
    words = ("--data", made / "windows.parquet", "--out", "runs/a", "--threads", "1")
    process = start("fit", *words, "--folds", "30", stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not Path("runs/.a.partial/run.json").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(random.Random(how).uniform(0, 1))
    process.send_signal(how)
    _, stderr = process.communicate(timeout=60)
    assert contents(home) == {}
    assert process.returncode == 1
    assert "Traceback" not in stderr


def test_piped_output_is_plain(home, made):
    process = start(
        *("evaluate", made / "run", "--data", made / "others.parquet"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (0, b"")
    assert stdout.startswith(b"lightgbm on 30 windows\n")
    assert b"\x1b" not in stdout


def on_terminal(*words, env):
    """What a command writes to a terminal as its stderr, and its exit code."""
    ours, theirs = pty.openpty()
    process = start(*words, stderr=theirs, stdout=subprocess.PIPE, env={"TERM": "xterm", **env})
    os.close(theirs)
    written = b""
    try:
        while chunk := os.read(ours, 65536):
            written += chunk
    except OSError:  # how Linux reports that the other end is closed
        pass
    os.close(ours)
    assert process.communicate()[0] == b""
    return written, process.returncode


def test_label_shows_progress_on_a_terminal(home, made):
    words = ("label", made / "run", "--bars", made / "bars.parquet", "--out")
    written, code = on_terminal(*words, "a.parquet", env={})
    assert code == 0
    assert b"bars" in written
    assert b"100%" in written
    assert re.search(rb"\d:\d\d:\d\d", written)  # the time left
    assert re.search(rb"\x1b\[[\d;]*m", written)  # colour
    assert written.rstrip().endswith(b"Wrote a.parquet: 400 bars")
    plain, code = on_terminal(*words, "b.parquet", env={"NO_COLOR": "1"})
    assert code == 0
    assert not re.search(rb"\x1b\[(3|4|9|10)\d", plain)


def test_quiet_is_quiet(home, made):
    done = run("label", made / "run", "--bars", made / "bars.parquet", "--out", "s", "--quiet")
    assert done.stdout + done.stderr == ""
