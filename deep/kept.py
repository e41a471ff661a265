"""Trainings kept on the disk, so that one which was interrupted goes on where it stood.

A training is deterministic, so what it starts from names it: its settings, its first weights and
random streams, and what it learns from. Whoever starts the same training again finds its state,
be it half done or finished, and a training of anything else finds nothing.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from deep import archive, parallel
from deep.training import Training
from proxytools.errors import InputError

if TYPE_CHECKING:
    from deep.train import Observer

SECONDS = 5.0  # between two states of one training at least


class Kept:
    """States of trainings in a folder.

    Parameters
    ----------
    folder : Path, optional
        Where; without one nothing is kept. Of several processes only the first uses it.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder

    def going_on(
        self, training: Training, observer: Observer, *learnt: Any
    ) -> Callable[[Training], None]:
        """Let a new training, and who looks on, go on from what is kept of it, if anything.

        Parameters
        ----------
        learnt : tensors, arrays, plain values, dataclasses, lists and dicts
            Everything that the training reads beside its own state.

        Returns
        -------
        callable
            To be called after every pass: keeps the state, see `deep.train.train`.

        Raises
        ------
        InputError
            The file is damaged.
        """
        if self.folder is None:
            return lambda training: None
        path = self.folder / f"{digest([training.settings, training.state_dict(), *learnt])}.pt"
        state = parallel.agreed(_read(path) if parallel.rank() == 0 else None)
        if state is not None:
            try:
                training.load_state_dict(state["training"])
                observer.load_state_dict(state["observer"])
            except archive.DAMAGED as error:
                raise _damaged(path, error) from None
        return _Keeper(path, observer)


class _Keeper:
    """Writes the state of one training, now and then, and at its end."""

    def __init__(self, path: Path, observer: Observer) -> None:
        self.path, self.observer = path, observer
        self.written = time.monotonic()

    def __call__(self, training: Training) -> None:
        due = parallel.agreed(time.monotonic() - self.written >= SECONDS)
        if not (due or training.finished):
            return
        state = {"training": training.state_dict(), "observer": self.observer.state_dict()}
        if parallel.rank() == 0:
            archive.write(self.path, state)
        self.written = time.monotonic()


def _read(path: Path) -> Any:
    if not path.exists():
        return None
    try:
        return archive.read(path)
    except archive.DAMAGED as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: BaseException) -> InputError:
    return InputError(
        str(path),
        got=f"a damaged state ({archive.reason(error)})",
        expected="the state of a training",
        fix="Remove it, and that training starts anew",
    )


def digest(value: Any) -> str:
    """Hash tensors, arrays, plain values, and dataclasses, lists and dicts of them.

    Examples
    --------
    >>> digest([1, {"a": np.zeros(2)}]) == digest([1, {"a": np.zeros(2)}])
    True
    >>> digest(np.zeros(2)) == digest(np.zeros((2, 1)))
    False
    """
    found = hashlib.sha256()
    _enter(value, found.update)
    return found.hexdigest()[:32]


def _enter(value: Any, update: Callable[[bytes], None]) -> None:
    if isinstance(value, Tensor):
        value = value.numpy(force=True)
    if isinstance(value, np.ndarray):
        update(f"array {value.dtype.str} {value.shape} ".encode())
        update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, dict):
        update(f"dict {len(value)} ".encode())
        for item in value.items():
            _enter(item, update)
    elif isinstance(value, list | tuple):
        update(f"list {len(value)} ".encode())
        for item in value:
            _enter(item, update)
    elif is_dataclass(value) and not isinstance(value, type):
        update(f"{type(value).__qualname__} ".encode())
        _enter({field.name: getattr(value, field.name) for field in fields(value)}, update)
    elif value is None or isinstance(value, bool | int | float | str):
        text = repr(value)
        update(f"{type(value).__name__} {len(text)} {text} ".encode())
    else:
        raise TypeError(f"no hash of a {type(value).__name__}")
