"""The named choices of settings."""

from __future__ import annotations

import difflib
from dataclasses import replace

from deep.settings import Settings
from proxytools.errors import InputError
from proxytools.features import SETS, describe

PRESETS: dict[str, Settings] = {
    "segmental": Settings(
        directions=2,
        number=True,
        place=True,
        features="directed",
        linear=200.0,
    ),
    # Span detection alone, as one would try it first.
    "single": Settings(
        head="mask",
        features="directed",
        hidden=256,
        positive_weight=15.0,
        soft_edge=1,
        mirror=True,
        linear=20.0,
        epochs=25,
        patience=8,
    ),
    # Where a span is and how far it is away, nothing else.
    "stones": Settings(
        head="mask",
        hidden=96,
        countdown=1.0,
        positive_weight=10.0,
        focal=2.0,
        backwards=False,
        epochs=200,
        patience=30,
        learning_rate=1e-3,
    ),
    # The predecessor as it was: four tasks, each bar for itself, chosen by another loss than
    # the one it learns from. Kept to compare with.
    "jade": Settings(
        head="mask",
        features="jade",
        standardise=False,
        hidden=96,
        skip=False,
        input_dropout=0.3,
        dropout=0.6,
        whole_columns=False,
        type=1.0,
        pointers=1.0,
        countdown=1.0,
        learnt_weights=True,
        backwards=False,
        epochs=100,
        patience=100,
        choose_by="loss",
        learning_rate=1e-3,
        weight_decay=0.01,
        decay_all=True,
        clip=0.0,
        average=0.0,
    ),
}


def preset(name: str) -> Settings:
    """Return settings by name.

    Raises
    ------
    InputError
        No preset has that name.

    Examples
    --------
    >>> preset("single").head
    'mask'
    """
    if name not in PRESETS:
        near = difflib.get_close_matches(name, PRESETS, 1)
        raise InputError(
            "preset",
            got=repr(name),
            expected=f"one of {', '.join(PRESETS)}",
            fix=f"Did you mean {near[0]}" if near else "",
        )
    return PRESETS[name]


def on_features(settings: Settings, name: str) -> Settings:
    """Let settings read another feature set, with two directions only where mirrors allow them.

    Examples
    --------
    >>> on_features(preset("segmental"), "full").directions
    1
    """
    mirrored = all(map(is_mirrored, SETS.get(name, ())))
    return replace(settings, features=name, directions=settings.directions if mirrored else 1)


def is_mirrored(name: str) -> bool:
    """Whether turning a window upside down changes no more than the sign of a feature."""
    entry = describe(name)
    return entry.direction_free or entry.signed
