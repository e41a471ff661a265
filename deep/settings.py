"""Everything that can be set about a detector."""

from __future__ import annotations

from dataclasses import dataclass, fields

from proxytools.errors import InputError

_CHOICES: dict[str, tuple[str, ...]] = {
    "head": ("segmental", "mask"),
    "countdown_target": ("normalised", "raw"),
    "pretrain": ("none", "proxies", "masked", "contrastive"),
    "choose_by": ("spans", "loss"),
}
_RANGES: dict[str, tuple[type, float, float]] = {
    "directions": (int, 1, 2),
    "hidden": (int, 0, 4096),
    "linear": (float, 0, 1e6),
    "layers": (int, 1, 8),
    "input_dropout": (float, 0, 0.95),
    "dropout": (float, 0, 0.95),
    "type": (float, 0, 1e3),
    "pointers": (float, 0, 1e3),
    "countdown": (float, 0, 1e3),
    "positive_weight": (float, 1e-3, 1e3),
    "focal": (float, 0, 10),
    "soft_edge": (int, 0, 1000),
    "jitter": (float, 0, 10),
    "slide": (int, 0, 10**6),
    "child_bars": (int, 1, 10**6),
    "pretrain_epochs": (int, 1, 10**6),
    "finetune": (float, 1e-9, 1e3),
    "members": (int, 1, 100),
    "epochs": (int, 1, 10**6),
    "patience": (int, 1, 10**6),
    "batch_size": (int, 1, 10**6),
    "learning_rate": (float, 1e-9, 1e3),
    "weight_decay": (float, 0, 1e3),
    "clip": (float, 0, 1e9),
    "average": (float, 0, 0.99999),
}


@dataclass(frozen=True)
class Settings:
    """Settings of one detector.

    Parameters
    ----------
    head : {"segmental", "mask"}
        How spans are scored: an exact distribution over spans, or one logit a bar.
    directions : int
        2 where a span of ``segmental`` goes up or down all through, which nobody marks: bars then
        add up in one direction. 1 where it has none.
    number : bool
        Whether ``segmental`` learns how often windows hold no span, one, several. Right for windows
        that were all cut in one way; over long series it is left out.
    place : bool
        Whether ``segmental`` learns where in a window spans start; right and left out likewise. See
        `deep.place`.
    features : str
        A name in `proxytools.features.SETS`.
    standardise : bool
        Whether features are standardised, by the windows that are learnt from.
    hidden, layers : int
        Of the BiLSTM, ``hidden`` each way; 0 for none, the heads then read the features alone.
    skip : bool
        Whether the head reads the features beside what the BiLSTM makes of them.
    input_dropout, dropout : float
        Shares of features and of encoded units that are left out.
    whole_columns : bool
        Whether dropout leaves a column out for a whole window, or each bar for itself.
    type, pointers, countdown : float
        Weights of the other tasks' losses beside that of the spans, which is 1; 0 for no such head.
        See `deep.tasks`.
    countdown_target : {"normalised", "raw"}
        Bars until the span starts, as a share of 40 in [0, 1] or as they are in [-20, 20].
    learnt_weights : bool
        Whether a learnt uncertainty of each task weighs its loss further.
    positive_weight : float
        Weight of in-span bars in the loss of ``mask``; its odds are divided by it again.
    focal : float
        Exponent of the focal loss of ``mask``; 0 for plain cross-entropy.
    soft_edge : int
        Bars over which the target of ``mask`` rises at a span's edges.
    backwards, mirror : bool
        Whether to learn from every window read backwards as well, and upside down.
    jitter : float
        Noise on the prices of one more copy of every window, in units of its range; 0 for none.
    slide, child_bars : int
        Bars from one overlapping child of a window to the next, and bars of a child, where children
        are learnt from in place of windows; a ``slide`` of 0 for whole windows.
    pretrain : {"none", "proxies", "masked", "contrastive"}
        What is learnt before the marks, on unlabelled windows as well: soft labels of a boosted
        proxy, what is hidden in windows, or which window is which. See `deep.pretrain`.
    pretrain_epochs : int
        Passes over all those windows.
    finetune : float
        Learning rate on the marks after pre-training, as a share of ``learning_rate``.
    members : int
        Models whose scores are averaged; they differ in their random streams.
    linear : float
        Ridge penalty of one further model, without encoder, that counts for half; 0 for none. It
        stands beside the losses of all windows: the more there are, the less it weighs. See
        `deep.linear`.
    epochs, patience : int
        Passes at most, and passes without a better held-out figure before an inner fold stops.
    choose_by : {"spans", "loss"}
        The held-out figure: how well spans are found (log-likelihood of the segmental head, span
        average precision of the mask), or the plain sum of all tasks' losses.
    batch_size : int
        Windows.
    learning_rate, weight_decay, clip : float
        Of AdamW; ``clip`` bounds the gradient's norm, 0 for no bound.
    decay_all : bool
        Whether weights decay in biases and the like too, or in matrices alone.
    average : float
        Decay a step of the exponential average of the weights, which is what is kept; less in the
        first steps, so that the start is soon forgotten.
    """

    head: str = "segmental"
    directions: int = 1
    number: bool = False
    place: bool = False
    features: str = "full"
    standardise: bool = True
    hidden: int = 16
    layers: int = 1
    skip: bool = True
    input_dropout: float = 0.4
    dropout: float = 0.7
    whole_columns: bool = True

    type: float = 0.0
    pointers: float = 0.0
    countdown: float = 0.0
    countdown_target: str = "normalised"
    learnt_weights: bool = False
    positive_weight: float = 1.0
    focal: float = 0.0
    soft_edge: int = 0

    backwards: bool = True
    mirror: bool = False
    jitter: float = 0.0
    slide: int = 0
    child_bars: int = 64

    pretrain: str = "none"
    pretrain_epochs: int = 5
    finetune: float = 0.1

    members: int = 1
    linear: float = 0.0
    epochs: int = 60
    patience: int = 12
    choose_by: str = "spans"
    batch_size: int = 32
    learning_rate: float = 3e-3
    weight_decay: float = 0.03
    decay_all: bool = False
    clip: float = 1.0
    average: float = 0.95

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value not in choices:
                raise _illegal(name, value, f"one of {', '.join(choices)}")
        for name, (kind, least, most) in _RANGES.items():
            value = getattr(self, name)
            if type(value) not in (kind, int) or not least <= value <= most:
                number = "a number" if kind is float else "an integer"
                raise _illegal(name, value, f"{number} from {least:g} to {most:g}")
        if self.hidden == 0 and not self.skip:
            raise _illegal("hidden", self.hidden, "1 or more for heads that read no features")
        if self.directions > 1 and self.head != "segmental":
            raise _illegal("directions", self.directions, "1 for the head mask")
        if self.place and self.head != "segmental":
            raise _illegal("place", self.place, "false for the head mask")
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "bool" and type(value) is not bool:
                raise _illegal(field.name, value, "true or false")
            if field.type == "str" and type(value) is not str:
                raise _illegal(field.name, value, "a name")

    @property
    def tasks(self) -> dict[str, float]:
        """Weight of each task that is learnt, "span" first."""
        others = {name: getattr(self, name) for name in ("type", "pointers", "countdown")}
        return {"span": 1.0, **{name: weight for name, weight in others.items() if weight > 0}}

    @property
    def metric(self) -> str:
        """Name of the held-out figure that chooses the pass; larger is better."""
        if self.choose_by == "loss":
            return "negated_sum_of_losses"
        return "log_likelihood" if self.head == "segmental" else "span_average_precision"


def _illegal(name: str, value: object, expected: str) -> InputError:
    return InputError(name.replace("_", " "), got=repr(value), expected=expected)
