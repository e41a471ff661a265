"""Progress that commands show, recorded as if stderr were a terminal."""

import io

from rich.console import Console

from cli import show


def record(monkeypatch):
    """Every progress display that is opened from now on, unless it is quiet."""
    opened, progress = [], show.progress

    def recorded(*, quiet=False):
        shown = progress(quiet=quiet)
        shown.disable = shown.live.auto_refresh = quiet
        shown.live.console = Console(file=io.StringIO(), force_terminal=True, width=60)
        if not quiet:
            opened.append(shown)
        return shown

    monkeypatch.setattr(show, "progress", recorded)
    return opened


def went_to_its_end(shown):
    """Whether the one task of a display was worked through."""
    (task,) = shown.tasks
    return task.completed > 0 and (task.total is None or abs(task.total - task.completed) < 1e-6)
