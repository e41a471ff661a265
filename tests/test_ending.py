"""Where a signal falls, and where the exception that ends the command is raised."""

import io
import signal
import subprocess
import sys
from types import FunctionType

import pytest
import torch

from cli import ending

ENDINGS = [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)]


@pytest.fixture(autouse=True)
def orderly():
    """Endings as in a command, and afterwards those of the tests."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before, hook = [signal.getsignal(number) for number in numbers], sys.unraisablehook
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in background
    ending.orderly()
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)
    sys.unraisablehook = hook


def work(number, done):
    done.append("begun")
    signal.raise_signal(number)
    done.append("noted")


def fail(number):
    signal.raise_signal(number)
    raise ValueError


def of(module, function=work):
    """A function as one of that module."""
    return FunctionType(function.__code__, {"__name__": module, "signal": signal})


@pytest.mark.parametrize(("number", "error"), ENDINGS)
@pytest.mark.parametrize("module", ["lightgbm.engine", "numba.core.codegen", "proxytools.io"])
def test_a_command_ends_at_once(module, number, error):
    done = []
    with pytest.raises(error):
        of(module)(number, done)
    assert done == ["begun"]


@pytest.mark.parametrize(("number", "error"), ENDINGS)
@pytest.mark.parametrize("module", ["lightgbm.basic", "llvmlite.binding.ffi", "xgboost.core"])
def test_what_keeps_pointers_returns_first(module, number, error):
    def caller():
        of(module)(number, done)
        done.append("never")

    done = []
    with pytest.raises(error) as raised:
        caller()
    assert done == ["begun", "noted"]
    assert getattr(raised.value, "code", 1) == 1
    assert sys.gettrace() is None


def test_where_the_caller_returns_as_well_its_own_ends():
    def called():
        return of("lightgbm.basic")(signal.SIGINT, done)

    def caller():
        called()
        done.append("never")

    done = []
    with pytest.raises(KeyboardInterrupt):
        caller()
    assert done == ["begun", "noted"]


def test_an_error_meanwhile_gives_way():
    def caller():
        try:
            of("lightgbm.basic", fail)(signal.SIGINT)
        except ValueError:
            done.append("never")

    done = []
    with pytest.raises(KeyboardInterrupt):
        caller()
    assert not done


def stop(_):
    signal.raise_signal(signal.SIGINT)
    raise StopIteration


class Ended:
    """An iterator over ctypes; a signal falls into its end."""

    __next__ = of("llvmlite.binding.module", stop)

    def __iter__(self):
        return self


def test_the_end_of_a_loop_does_not_drop_it():
    def caller():
        [done.append("never") for _ in Ended()]
        done.append("never")

    done = []
    with pytest.raises(KeyboardInterrupt):
        caller()
    assert not done


@pytest.mark.parametrize(("number", "error"), ENDINGS)
def test_an_ending_that_falls_into_a_finalizer_is_not_lost(number, error, capfd):
    class Dying:
        def __del__(self):
            done.append("begun")
            signal.raise_signal(number)

    def owner():
        owned = Dying()
        done.append(type(owned).__name__)

    def caller():
        owner()
        done.append("never")

    done = []
    with pytest.raises(error):
        caller()
    assert done == ["Dying", "begun"]
    assert capfd.readouterr().err == ""


def test_an_archive_that_is_interrupted_is_written_to_its_end():
    class File(io.BytesIO):
        def write(self, data):
            if not self.tell():
                signal.raise_signal(signal.SIGINT)
            return super().write(data)

    def caller():
        torch.save({"x": torch.zeros(3)}, file)
        file.write(b"never")

    file = File()
    with pytest.raises(KeyboardInterrupt):
        caller()
    assert torch.load(io.BytesIO(file.getvalue()))["x"].shape == (3,)


def test_other_errors_of_finalizers_are_said(capsys):
    class Dying:
        def __del__(self):
            raise ValueError("on the way out")

    Dying()
    assert "on the way out" in capsys.readouterr().err


def test_an_interrupt_that_is_ignored_stays_so():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ending.orderly()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


FALL = """
import signal
from {module} import {library} as library
from cli.proxytools import main

def interrupted(*arguments):
    result = call(*arguments)
    if signals:
        signal.raise_signal(signals.pop())
    return result

signal.signal(signal.SIGINT, signal.default_int_handler)
signals, call = [signal.SIGINT], library.{function}
library.{function} = interrupted
main()
"""
FREE = {
    "lightgbm": ("lightgbm.basic", "_LIB", "LGBM_BoosterFree"),
    "xgboost": ("xgboost.core", "_LIB", "XGBoosterFree"),
    "formula": ("llvmlite.binding.ffi", "lib", "LLVMPY_DisposeString._cfn"),
}


@pytest.mark.parametrize("model", FREE)
def test_a_fit_that_is_interrupted_as_it_frees_memory_ends_in_order(model, tmp_path):
    """Each of these crashed, for it freed the same once more."""
    module, library, function = FREE[model]
    code = FALL.format(module=module, library=library, function=function)
    words = ("fit", "--model", model, "--folds", "2", "--threads", "1", "--out", "a")
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.endswith("\nAborted!\n")
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())
