"""Run directories appear whole or not at all, and say how they came to be."""

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from importlib.metadata import version

import pytest

from proxytools import lock, resuming, rundir
from proxytools.errors import GateError, InputError

ABOUT = {
    "command": ["proxytools", "fit", "--seed", "7"],
    "config": {"model": "lightgbm", "seed": 7, "data": None},
    "seed": 7,
    "inputs": {"windows.parquet": "ab" * 32},
}
HOLDER = """
import sys, time
from pathlib import Path
from proxytools import rundir
with rundir.create(Path(sys.argv[1]), command=["x"], config={}, seed=0, inputs={}) as run:
    run.write_json("half.json", [1])
    print("writing", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """A process in the middle of writing ``tmp_path / "run"``."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / "run")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout.readline() == b"writing\n"
    yield process
    process.kill()
    process.communicate()


def everything(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_it_appears_only_at_the_end(tmp_path):
    where = tmp_path / "runs" / "a"
    with rundir.create(where, **ABOUT) as run:
        run.write_json("metrics.json", {"pearson_r": 0.5})
        assert not where.exists()
    assert everything(tmp_path) == ["runs", "runs/a", "runs/a/metrics.json", "runs/a/run.json"]


def test_the_record_says_how_it_came_to_be(tmp_path):
    with rundir.create(tmp_path / "a", **ABOUT, device="cuda", threads=3):
        pass
    record = rundir.open_run(tmp_path / "a").read_json("run.json")
    assert record["format"] == rundir.FORMAT == 1
    assert {name: record[name] for name in ABOUT} == ABOUT
    assert (record["device"], record["threads"]) == ("cuda", 3)
    assert record["python"] == ".".join(map(str, sys.version_info[:3]))
    assert record["versions"]["numpy"] == version("numpy")
    assert {"lightgbm", "xgboost", "scikit-learn", "proxytools-spans"} <= record["versions"].keys()
    assert record["created"].endswith("+00:00")


def test_all_threads_are_counted(tmp_path):
    with rundir.create(tmp_path / "a", **ABOUT) as run:
        assert run.read_json("run.json")["threads"] == os.cpu_count()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit, BlockingIOError])
def test_an_exception_leaves_nothing(tmp_path, error):
    def fail():
        with rundir.create(tmp_path / "runs" / "deep" / "a", **ABOUT) as run:
            run.write_json("half.json", [1])
            (run / "sub").mkdir()
            raise error

    with pytest.raises(error):
        fail()
    assert everything(tmp_path) == []


def test_an_exception_leaves_what_others_made(tmp_path):
    def fail():
        with rundir.create(tmp_path / "runs" / "a", **ABOUT):
            (tmp_path / "runs" / "theirs").mkdir()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert everything(tmp_path) == ["runs", "runs/theirs"]


def test_nan_is_refused_and_leaves_nothing(tmp_path):
    def write():
        with rundir.create(tmp_path / "a", **ABOUT) as run:
            run.write_json("metrics.json", {"pearson_r": float("nan")})

    with pytest.raises(ValueError, match="not JSON compliant"):
        write()
    assert everything(tmp_path) == []


@pytest.mark.parametrize("kind", ["file", "empty directory", "run", "dangling link"])
def test_an_existing_path_is_refused_and_kept(tmp_path, kind):
    where = tmp_path / "a"
    if kind == "file":
        where.write_text("mine")
    elif kind == "dangling link":
        where.symlink_to(tmp_path / "nowhere")
    else:
        where.mkdir()
        if kind == "run":
            (where / "run.json").write_text("{}")
    before = everything(tmp_path)
    with pytest.raises(InputError, match="existing path"), rundir.create(where, **ABOUT):
        pytest.fail("it was opened")
    assert everything(tmp_path) == before


def test_a_second_process_of_the_name_is_refused(tmp_path, holder):
    with (
        pytest.raises(InputError, match="another process is writing"),
        rundir.create(tmp_path / "run", **ABOUT),
    ):
        pytest.fail("it was opened")
    assert (tmp_path / ".run.partial" / "half.json").exists()  # the first goes on undisturbed
    holder.terminate()


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM])
def test_after_a_kill_the_next_run_cleans_up(tmp_path, holder, kill):
    holder.send_signal(kill)
    holder.wait()
    assert not (tmp_path / "run").exists()
    with rundir.create(tmp_path / "run", **ABOUT):
        pass
    assert everything(tmp_path) == ["run", "run/run.json"]


def test_ctrl_c_leaves_nothing(tmp_path, holder):
    holder.send_signal(signal.SIGINT)
    holder.wait()
    assert everything(tmp_path) == []


def test_a_lock_on_what_was_replaced_meanwhile_is_no_lock(tmp_path, monkeypatch):
    def late(handle, how):
        (tmp_path / ".a.partial").rmdir()
        (tmp_path / ".a.partial").mkdir()  # its last holder gave up, and another one came first
        flock(handle, how)

    flock = lock.fcntl.flock
    monkeypatch.setattr(lock.fcntl, "flock", late)
    with (
        pytest.raises(InputError, match="another process is writing"),
        rundir.create(tmp_path / "a", **ABOUT),
    ):
        pytest.fail("it was opened")
    assert everything(tmp_path) == [".a.partial"]


def test_of_many_at_once_one_wins_and_is_whole(tmp_path):
    start, won, lost = threading.Barrier(8), [], []

    def write(number):
        start.wait()
        try:
            with rundir.create(tmp_path / "a", **{**ABOUT, "seed": number}) as run:
                run.write_json("number.json", number)
            won.append(number)
        except InputError:
            lost.append(number)

    for turn in range(40):
        won.clear(), lost.clear()
        threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) + len(lost) == 8
        assert len(won) == 1
        assert everything(tmp_path) == ["a", "a/number.json", "a/run.json"]
        run = rundir.open_run(tmp_path / "a")
        assert [run.read_json("number.json")] == won == [run.read_json("run.json")["seed"]]
        (tmp_path / "a").rename(tmp_path.parent / f"{tmp_path.name}-{turn}")


def test_a_newer_format_is_refused(tmp_path):
    with rundir.create(tmp_path / "a", **ABOUT) as run:
        record = run.read_json("run.json")
    for number in (rundir.FORMAT + 1, 0, True, 1.0, "1", None):
        (tmp_path / "a" / "run.json").write_text(json.dumps({**record, "format": number}))
        with pytest.raises(InputError, match=r"run\.json, format: got .*up to 1"):
            rundir.open_run(tmp_path / "a")


def test_what_is_no_run_is_refused(tmp_path):
    (tmp_path / "first").mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="got a file"):
        rundir.open_run(tmp_path / "file")
    with pytest.raises(InputError, match=r"got nothing there.*Did you mean first"):
        rundir.open_run(tmp_path / "frist")
    with pytest.raises(InputError, match="got nothing there"):
        rundir.open_run(tmp_path / "no" / "such")
    with pytest.raises(InputError, match=r"run\.json: got nothing there"):
        rundir.open_run(tmp_path / "first")


@pytest.mark.parametrize("text", [b"", b"{", b'{"format": 1', b"\xff\xfe", b"[" * 100_000])
def test_damaged_json_is_refused(tmp_path, text):
    (tmp_path / "run.json").write_bytes(text)
    with pytest.raises(InputError, match=r"run\.json: got invalid JSON"):
        rundir.open_run(tmp_path)


@pytest.mark.parametrize("text", ["[]", "1", '"run"', "null", "{}"])
def test_json_that_is_no_record_is_refused(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(InputError, match=r"run\.json, format"):
        rundir.open_run(tmp_path)


def interrupt(where, error=KeyboardInterrupt):
    with suppress(error), rundir.create(where, **ABOUT, resumable=True) as run:
        (run / rundir.UNFINISHED / "state").write_text("half")
        run.write_json("early.json", 1)
        raise error


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit, OSError])
def test_a_resumable_run_is_kept_and_ends_as_any_other(tmp_path, error):
    where = tmp_path / "runs" / "a"
    interrupt(where, error)
    assert not where.exists()
    record = resuming.interrupted(where).read_json("run.json")
    with pytest.raises(error), resuming.resume(where, inputs=ABOUT["inputs"]):
        raise error
    with resuming.resume(where, inputs=ABOUT["inputs"]) as run:
        assert (run / rundir.UNFINISHED / "state").read_text() == "half"
        run.write_json("late.json", 2)
    assert everything(where) == ["early.json", "late.json", "run.json"]
    assert everything(tmp_path / "runs") == ["a", *(f"a/{name}" for name in everything(where))]
    assert rundir.open_run(where).read_json("run.json") == record


@pytest.mark.parametrize("error", [InputError("a", got="b", expected="c"), GateError("d")])
def test_a_refusal_leaves_nothing_to_resume(tmp_path, error):
    with pytest.raises(type(error)), rundir.create(tmp_path / "a", **ABOUT, resumable=True):
        raise error
    assert everything(tmp_path) == []


def test_a_refusal_to_go_on_leaves_it_to_be_resumed(tmp_path):
    interrupt(tmp_path / "a")
    before = everything(tmp_path)
    for inputs in ({}, {"windows.parquet": "cd" * 32}, {**ABOUT["inputs"], "more.csv": "ab" * 32}):
        with (
            pytest.raises(InputError, match="got another content"),
            resuming.resume(tmp_path / "a", inputs=inputs),
        ):
            pytest.fail("it was opened")
    assert everything(tmp_path) == before


def test_a_run_that_was_finished_meanwhile_is_not_made_anew(tmp_path, monkeypatch):
    def late(partial, fix):
        monkeypatch.undo()
        with resuming.resume(tmp_path / "a", inputs=ABOUT["inputs"]):
            pass
        return lock.held(partial, fix)

    interrupt(tmp_path / "a")
    monkeypatch.setattr(resuming, "held", late)
    with (
        pytest.raises(InputError, match="a finished run"),
        resuming.resume(tmp_path / "a", inputs=ABOUT["inputs"]),
    ):
        pytest.fail("it was opened")
    assert everything(tmp_path) == ["a", "a/early.json", "a/run.json"]


def test_scratch_is_thrown_away():
    with rundir.scratch() as run:
        run.write_json("a.json", 1)
    assert not run.path.exists()
