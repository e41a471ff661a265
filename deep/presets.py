"""Everything that can be set about a detector, and the named choices."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

from proxytools.errors import InputError

HEADS = ("segmental", "mask")
_RANGES: dict[str, tuple[type, float, float]] = {
    "hidden": (int, 1, 4096),
    "layers": (int, 1, 8),
    "input_dropout": (float, 0, 0.95),
    "dropout": (float, 0, 0.95),
    "members": (int, 1, 100),
    "epochs": (int, 1, 10**6),
    "patience": (int, 1, 10**6),
    "batch_size": (int, 1, 10**6),
    "learning_rate": (float, 1e-9, 1e3),
    "weight_decay": (float, 0, 1e3),
    "clip": (float, 1e-9, 1e9),
    "average": (float, 0, 0.99999),
    "positive_weight": (float, 1e-3, 1e3),
    "soft_edge": (int, 0, 1000),
}


@dataclass(frozen=True)
class Settings:
    """Settings of one detector; the defaults are the preset ``segmental``.

    Parameters
    ----------
    head : {"segmental", "mask"}
        An exact distribution over spans, or one logit a bar.
    hidden, layers : int
        Of the BiLSTM, ``hidden`` each way.
    input_dropout, dropout : float
        Shares of features and of encoded units that are left out, each for a whole window.
    members : int
        Models whose scores are averaged; they differ in their random streams.
    epochs, patience : int
        Passes at most, and passes without a better held-out figure before an inner fold stops.
    batch_size : int
        Windows.
    learning_rate, weight_decay, clip : float
        Of AdamW; decay on matrices alone; ``clip`` bounds the gradient's norm.
    average : float
        Decay a step of the exponential average of the weights, which is what is kept; less in the
        first steps, so that the start is soon forgotten.
    positive_weight : float
        Weight of in-span bars in the loss of ``mask``; its odds are divided by it again.
    soft_edge : int
        Bars over which the target of ``mask`` rises at a span's edges.
    backwards : bool
        Whether to learn from every window read backwards as well.
    """

    head: str = "segmental"
    hidden: int = 16
    layers: int = 1
    input_dropout: float = 0.4
    dropout: float = 0.7
    members: int = 5
    epochs: int = 60
    patience: int = 12
    batch_size: int = 32
    learning_rate: float = 3e-3
    weight_decay: float = 0.03
    clip: float = 1.0
    average: float = 0.95
    positive_weight: float = 1.0
    soft_edge: int = 0
    backwards: bool = True

    def __post_init__(self) -> None:
        if self.head not in HEADS:
            raise InputError("head", got=repr(self.head), expected=f"one of {', '.join(HEADS)}")
        for name, (kind, least, most) in _RANGES.items():
            value = getattr(self, name)
            if type(value) not in (kind, int) or not least <= value <= most:
                raise InputError(
                    name.replace("_", " "),
                    got=repr(value),
                    expected=f"{'a number' if kind is float else 'an integer'} "
                    f"from {least:g} to {most:g}",
                )
        if type(self.backwards) is not bool:
            raise InputError("backwards", got=repr(self.backwards), expected="true or false")


PRESETS: dict[str, Settings] = {
    "segmental": Settings(),
    # Span detection alone, as one would try it first.
    "single": Settings(
        head="mask", hidden=256, learning_rate=1e-3, positive_weight=15.0, soft_edge=1
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
