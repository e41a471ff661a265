"""How Ctrl-C and a polite kill end a command: by an exception, raised where libraries bear one.

Python raises in whatever function a signal falls. A library that reaches C through ctypes keeps
in Python what C has allocated and freed; torn between a call and its note of it, it frees memory
twice, and the process crashes while it unwinds. torch, torn as it writes an archive, closes it and
fails with an error of its own. An ending therefore waits, for a call or so, until none of their
functions is running.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import TraceFunction

_FRAGILE = ("lightgbm.basic", "llvmlite.binding", "torch.serialization", "xgboost.core")
"""What must not be torn. Its users with the long loops, as `lightgbm.engine`, bear an ending."""


def orderly() -> None:
    """Let SIGINT and SIGTERM unwind this process from now on, so that nothing half-written stays.

    Where SIGINT is ignored, as a shell does for what it starts in the background, it stays so.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda _, frame: _end(frame, KeyboardInterrupt()))
    signal.signal(signal.SIGTERM, lambda _, frame: _end(frame, SystemExit(1)))
    sys.unraisablehook = _renew


def _end(frame: FrameType | None, ending: BaseException) -> None:
    """Raise now, or else as soon as may be."""
    if not _is_fragile(frame):
        raise ending
    _raise_later(frame, ending)


def _is_fragile(frame: FrameType | None) -> bool:
    """Whether such a function is running, itself or waiting for others."""
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(_FRAGILE):
            return True
        frame = frame.f_back
    return False


def _raise_later(frame: FrameType | None, ending: BaseException) -> None:
    """Raise at the first line that runs outside of fragile functions.

    Python traces lines for that, as for a debugger, until this raises.
    """

    def trace(frame: FrameType, event: str, _: object) -> TraceFunction:
        # Only what a line raises is sure to spread: a loop drops what the end of its iterator does.
        if event == "line" and not _is_fragile(frame):
            raise ending
        return trace

    while frame is not None:
        frame.f_trace = trace
        frame = frame.f_back
    sys.settrace(trace)


def _renew(lost: sys.UnraisableHookArgs) -> None:
    """Raise an ending again that fell into a finalizer or a callback from C, which drop it."""
    if isinstance(lost.exc_value, KeyboardInterrupt | SystemExit):
        _raise_later(sys._getframe().f_back, lost.exc_value)
    else:
        sys.__unraisablehook__(lost)
