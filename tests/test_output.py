"""What commands write to people, pipes and logs, and what the shell completes."""

import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from cli import complete, options, show
from cli.deep import cli as deep
from cli.proxytools import cli as proxytools
from deep import presets
from proxytools import io, plots, synthetic
from proxytools.features import SETS
from proxytools.proxies import NAMES
from tests import shown
from tests.test_architecture import loaded_by

PROGRAMS = {"proxytools": proxytools, "deep": deep}
ROWS = [
    {"model": "position-prior", "pearson_r": 0.1425, "ci_low": None, "average_precision": 0.5},
    {"model": "formula", "pearson_r": -0.07, "ci_low": -0.1, "average_precision": 12.0},
]
COLOUR = re.compile(r"\x1b\[[\d;]*(3|4|9|10)\d")


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


# --- completion ---


def completed(program, *words):
    *before, begun = words
    found = ShellComplete(PROGRAMS[program], {}, program, "").get_completions(before, begun)
    return [item.value for item in found]


def test_completed_names_are_those_that_exist():
    assert complete.MODELS == NAMES
    assert tuple(SETS) == complete.FEATURES
    assert tuple(presets.PRESETS) == complete.PRESETS


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("proxytools sug", ["suggest"]),
        ("proxytools fit --model l", ["logistic", "lightgbm"]),
        ("proxytools fit --feat", ["--features"]),
        ("proxytools fit --features d", ["directionless", "directed"]),
        ("proxytools correlate --models formula,deep,x", ["formula,deep,xgboost"]),
        ("proxytools correlate --models d", ["deep"]),
        ("proxytools synth --preset e", ["easy"]),
        ("deep train --preset s", ["segmental", "single", "stones"]),
        ("deep train --features ca", ["causal"]),
        ("deep train --device a", ["auto"]),
    ],
)
def test_names_are_completed(words, expected):
    assert completed(*words.split()) == expected


def test_runs_are_completed(home):
    for name in ("runs/b", "runs/a", "elsewhere/[c]", "elsewhere/d", "top"):
        Path(name).mkdir(parents=True)
        Path(name, "run.json").touch()
    Path("runs/no-run").mkdir()
    assert completed("proxytools", "label", "") == ["runs/a", "runs/b", "top"]
    assert completed("proxytools", "evaluate", "ru") == ["runs/a", "runs/b"]
    assert completed("deep", "diagnose", "runs/b") == ["runs/b"]
    assert completed("deep", "train", "--resume", "./runs/a") == ["./runs/a"]
    assert completed("deep", "detect", "elsewhere/[") == ["elsewhere/[c]"]
    (other,) = options.RUN.shell_complete(None, None, "home")
    assert (other.value, other.type) == ("home", "dir")  # the shell goes on


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_gets_its_script(program, shell, monkeypatch):
    name = f"_{program.upper()}_COMPLETE"
    monkeypatch.setenv(name, f"{shell}_source")
    done = CliRunner().invoke(PROGRAMS[program], prog_name=program)
    assert done.exit_code == 0
    assert f"{name}={shell}_complete" in done.stdout
    assert f"{program}" in done.stdout


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes(home):
    script = """eval "$(_PROXYTOOLS_COMPLETE=bash_source proxytools)"
    COMP_WORDS=(proxytools fit --model light) COMP_CWORD=3
    _proxytools_completion proxytools
    echo "${COMPREPLY[@]}" """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    words = ["bash", "--norc", "-c", script]
    done = subprocess.run(words, env={**os.environ, "PATH": path}, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("lightgbm\n", "")


def test_completion_loads_nothing_heavy():
    code = """import os
os.environ |= {"_PROXYTOOLS_COMPLETE": "zsh_complete", "COMP_CWORD": "3",
               "COMP_WORDS": "proxytools fit --model l"}
from cli.proxytools import cli
try:
    cli(prog_name="proxytools")
except SystemExit:
    pass
"""
    heavy = {"numpy", "pandas", "pyarrow", "sklearn", "numba", "matplotlib", "torch", "rich"}
    assert not heavy & loaded_by(code)


# --- tables ---


def on_terminal(code, **environment):
    """What Python code writes to a terminal as its stdout."""
    ours, theirs = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "34", **environment}
    env = {name: value for name, value in env.items() if value is not None}
    subprocess.run([sys.executable, "-c", code], stdout=theirs, env=env, check=True)
    os.close(theirs)
    written = b""
    try:
        while chunk := os.read(ours, 65536):
            written += chunk
    except OSError:  # how Linux reports that the other end is closed
        pass
    os.close(ours)
    return written.decode().replace("\r\n", "\n")


def test_a_table_fits_its_terminal(home):
    code = f"from cli import show\nshow.table({ROWS!r}, 'title')"
    written = on_terminal(code, NO_COLOR="1")
    assert not COLOUR.search(written)
    assert "\x1b[1m" in written  # bold is no colour
    assert "\x1b" not in on_terminal(code, TERM="dumb")
    lines = re.sub(r"\x1b\[\d*m", "", written).splitlines()
    assert max(map(len, lines)) <= 34
    assert [line.split() for line in lines] == [
        ["title"],
        ["model", "pearson_r", "ci_low"],
        ["position-prior", "0.142", "-"],
        ["formula", "-0.070", "-0.100"],
        ["model", "average_precision"],
        ["position-prior", "0.500"],
        ["formula", "12.000"],
    ]


def test_a_piped_table_is_plain_and_never_folded(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    row = {"model": "x" * 150, **{f"figure_{i}": 0.5 for i in range(30)}}
    show.table([row, row], "a title")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[1].split() == list(row)
    assert lines[2].split() == ["x" * 150, *["0.500"] * 30]
    assert "\x1b" not in "".join(lines)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=9), st.integers(1, 60))
def test_parts_hold_every_column_once_and_fit(widths, room):
    named = {f"c{i}": width for i, width in enumerate(widths)}
    parts = show._parts(named, room)
    assert [name for part in parts for name in part[1:]] == list(named)[1:]
    assert {part[0] for part in parts} == {"c0"}
    for part in parts:
        assert len(part) <= 2 or sum(named[n] + show.GAP for n in part) - show.GAP <= room


@pytest.mark.parametrize(
    "name", ["[/red]", "[bold]x[/bold]", ":smile:", "a\x1b[31mb", "a\nb", "", "日本"]
)
def test_names_from_files_are_only_shown(name, capsys):
    show.table([{"window_id": name, "value": 1}], f"of {name}")
    *_, line = capsys.readouterr().out.splitlines()
    printed = "".join(c if c.isprintable() else "\ufffd" for c in name)
    assert line.split() == [*printed.split(), "1"]


def test_a_table_without_rows_is_its_title(capsys):
    show.table([], "nothing to show")
    assert capsys.readouterr().out == "nothing to show\n"


# --- progress ---


@pytest.mark.parametrize("environment", [{}, {"FORCE_COLOR": "1"}, {"TTY_COMPATIBLE": "1"}])
def test_a_log_holds_no_progress(environment, capsys, monkeypatch):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert list(show.track("folds", quiet=False)([1, 2])) == [1, 2]
    assert list(show.track_bars("bars", quiet=False)([[1], [2, 3]], 3)) == [[1], [2, 3]]
    assert capsys.readouterr() == ("", "")


def test_the_time_left_is_known_after_one_step_however_long(monkeypatch):
    now = 0.0
    display = show.progress()
    display.get_time = lambda: now
    monkeypatch.setattr(show, "progress", lambda quiet: display)
    with show.steps("slow", 4) as advance:
        for expected in (300, 200, 100):
            now += 100.0
            advance()
            assert display.tasks[0].time_remaining == expected


def test_a_search_counts_its_trials_and_quiet_is_quiet(home, monkeypatch):
    for name in ("validation", "gallery"):
        monkeypatch.setattr(plots, name, lambda _, path, **__: path.touch())
    io.write("w.parquet", synthetic.planted(16, preset="easy", seed=3, n_bars=40).data)
    words = [
        "fit",
        "--model",
        "logistic",
        "--features",
        "directionless",
        "--data",
        "w.parquet",
        "--folds",
        "2",
    ]
    words += ["--search", "optuna", "--trials", "2", "--threads", "1"]
    opened = shown.record(monkeypatch)
    done = CliRunner().invoke(proxytools, [*words, "--out", "a"], catch_exceptions=False)
    assert done.stderr == "Wrote a\n"
    (search,) = opened
    assert shown.went_to_its_end(search)
    assert search.tasks[0].total == 2 * (2 + 1)  # two folds, and all windows
    done = CliRunner().invoke(proxytools, [*words, "--out", "b", "--quiet"], catch_exceptions=False)
    assert done.stderr == ""
    assert len(opened) == 1
