"""The network: features through a BiLSTM into the heads of its tasks."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from deep.bilstm import BiLSTM
from deep.dropout import QuickDropout
from deep.lengths import LengthPrior, LengthScores
from deep.segmental import SegmentalHead
from deep.settings import Settings

LEAST_SCALE = 1e-6  # below it a feature is taken as constant
MOST = 6.0  # standard deviations
AT_ONCE = 256  # windows taken to double precision together
PROJECTED = 64  # units between the mean over time and its heads
LEAST_TYPES = 3  # logits of the type head, however few classes there are


class SpanModel(nn.Module):
    """Scores of every bar, from its features and from what a BiLSTM makes of all bars around it.

    With ``settings.skip`` the head reads the encoder's outputs beside the features themselves, so
    that what a linear model of single bars can do need not pass through the recurrent bottleneck.

    With two directions the same network reads the window and its mirror image, upside down: what it
    says of a span upwards in one it says of a span downwards in the other. Features must then be
    such that a mirror changes no more than their sign (``signs``, -1 where it does).

    Parameters
    ----------
    n_features : int
    settings : Settings
    prior, start_bias : LengthPrior and float
        Where the segmental head starts; see `deep.segmental.SegmentalHead`. The other ignores them.
    n_types : int
        Classes of windows, "no span" included.

    Examples
    --------
    >>> prior = LengthPrior.of([3, 4], l_max=4)
    >>> model = SpanModel(7, Settings(hidden=5), prior, -3.0).eval()
    >>> model(torch.zeros(2, 20, 7))["span"].shape
    torch.Size([2, 20, 3])
    """

    mean: Tensor
    gain: Tensor
    signs: Tensor
    number: Tensor | None
    log_sigma: nn.Parameter | None

    def __init__(
        self,
        n_features: int,
        settings: Settings,
        prior: LengthPrior,
        start_bias: float,
        n_types: int = LEAST_TYPES,
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("gain", torch.ones(n_features))
        self.register_buffer("signs", torch.ones(n_features))
        self.register_buffer("number", torch.zeros(3) if settings.number else None)
        self.directions = settings.directions
        dropout = nn.Dropout1d if settings.whole_columns else QuickDropout
        self.input_dropout = dropout(settings.input_dropout)
        self.encoder = (
            None
            if settings.hidden == 0
            else BiLSTM(
                n_features,
                settings.hidden,
                settings.layers,
                batch_first=True,
                bidirectional=True,
                dropout=settings.dropout if settings.layers > 1 else 0.0,
            )
        )
        self.dropout = dropout(settings.dropout)
        self.skip = settings.skip
        n_inputs = 2 * settings.hidden + n_features * settings.skip
        self.head: SegmentalHead | nn.Linear
        if settings.head == "segmental":
            self.head = SegmentalHead(n_inputs, prior, start_bias, settings.directions)
        else:
            self.head = nn.Linear(n_inputs, 1)
        self.others = OtherHeads(n_inputs, settings.tasks, n_types)
        sigmas = [-0.3 if name == "pointers" else 0.0 for name in settings.tasks]
        self.log_sigma = nn.Parameter(torch.tensor(sigmas)) if settings.learnt_weights else None

    @torch.no_grad()
    def standardise(self, values: Tensor) -> None:
        """Take mean and spread of each feature from training windows (N, T, F).

        With two directions the mirror images count as well.
        """
        parts, n_bars = torch.split(values, AT_ONCE), values.shape[0] * values.shape[1]
        sums = [part.double().sum((0, 1)) for part in parts]
        mean = torch.stack(sums).sum(0) / n_bars  # (F,)
        if self.directions > 1:
            mean = torch.where(self.signs < 0, 0.0, mean)
        squares = [(part.double() - mean).square().sum((0, 1)) for part in parts]
        scale = (torch.stack(squares).sum(0) / n_bars).sqrt()
        self.mean.copy_(mean)
        self.gain.copy_(torch.where(scale > LEAST_SCALE, 1 / scale, 0.0))

    def standardised(self, values: Tensor) -> Tensor:
        """(N, T, F) what the network reads of features."""
        x: Tensor = ((values - self.mean) * self.gain).clamp(-MOST, MOST)
        return x

    def forward(self, values: Tensor) -> dict[str, Any]:
        """Compute the outputs of every head, by task.

        Returns
        -------
        dict
            ``span`` (N, T, K), scores of a bar, of a span's first bar and of its last for each
            direction, with their LengthScores under ``length`` and the weights of `deep.number`
            under ``number``; or K = 1 logit. Then those of `OtherHeads`.
        """
        x = _drop(self.input_dropout, self.standardised(values)[:, None])  # (N, 1, T, F)
        if self.directions > 1:
            x = torch.cat([x, x * self.signs], 1)  # (N, D, T, F)
        encoded = self._encoded(x)
        outputs = self.others(encoded)
        if isinstance(self.head, SegmentalHead):
            scores = torch.cat(self.head.scores(encoded).unbind(1), 2)  # (N, T, 3 D)
            return {"span": scores, "length": self.length(), "number": self.number, **outputs}
        return {"span": self.head(encoded[:, 0]), **outputs}

    @property
    def lstm(self) -> BiLSTM:
        """The encoder, of a model that has one."""
        assert self.encoder is not None
        return self.encoder

    def _encoded(self, x: Tensor) -> Tensor:
        """(N, D, T, C) what the heads read of inputs (N, D, T, F)."""
        if self.encoder is None:
            return x
        encoded = self.encoder(x.flatten(0, 1))[0]  # (N * D, T, 2H)
        encoded = _drop(self.dropout, encoded.view(*x.shape[:3], encoded.shape[2]))
        return torch.cat([encoded, x], 3) if self.skip else encoded  # (N, D, T, 2H + F)

    def length(self) -> LengthScores:
        """Length scores of the segmental head."""
        assert isinstance(self.head, SegmentalHead)
        return self.head.length()


class OtherHeads(nn.Module):
    """What is learnt beside the spans: ``type``, ``pointers`` and ``countdown``.

    The first two read the mean over time, through one layer they share.
    """

    def __init__(self, n_inputs: int, tasks: Collection[str], n_types: int) -> None:
        super().__init__()
        of_window = "type" in tasks or "pointers" in tasks
        projection = nn.Sequential(nn.Linear(n_inputs, PROJECTED), nn.ReLU())
        self.whole = projection if of_window else None
        self.kind = nn.Linear(PROJECTED, n_types) if "type" in tasks else None
        self.pointers = nn.Linear(PROJECTED, 2) if "pointers" in tasks else None
        self.countdown = nn.Linear(n_inputs, 1) if "countdown" in tasks else None

    def forward(self, encoded: Tensor) -> dict[str, Tensor]:
        """``type`` (N, C) logits, ``pointers`` (N, 2) in [0, 1], ``countdown`` (N, T).

        Of encoded (N, D, T, C), the mean over directions.
        """
        outputs = dict[str, Tensor]()
        if self.whole is None and self.countdown is None:
            return outputs
        encoded = encoded.mean(1) if encoded.shape[1] > 1 else encoded[:, 0]  # (N, T, C)
        whole = None if self.whole is None else self.whole(encoded.mean(1))  # (N, P)
        if self.kind is not None:
            outputs["type"] = self.kind(whole)
        if self.pointers is not None:
            outputs["pointers"] = torch.sigmoid(self.pointers(whole))
        if self.countdown is not None:
            outputs["countdown"] = self.countdown(encoded)[..., 0]
        return outputs


def _drop(dropout: nn.Module, x: Tensor) -> Tensor:
    """Drop out of (N, D, T, C); one that drops whole channels then drops columns of a window."""
    if not isinstance(dropout, nn.Dropout1d):
        each: Tensor = dropout(x)
        return each
    columns = x.permute(0, 3, 1, 2)  # (N, C, D, T)
    dropped: Tensor = dropout(columns.flatten(2)).view_as(columns).permute(0, 2, 3, 1)
    return dropped


class Ensemble(nn.Module):
    """Members whose scores are averaged: of segmental models again one, the product of experts.

    Parameters
    ----------
    members : sequence of SpanModel
    linear : SpanModel, optional
        A model without encoder (`deep.linear`); it counts for half.
    place : (T,) Tensor, optional
        Of segmental members: log weights of where spans start, which scores do not hold. See
        `deep.place`.
    """

    place: Tensor | None

    def __init__(
        self,
        members: Sequence[SpanModel],
        linear: SpanModel | None = None,
        place: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.members, self.linear = nn.ModuleList(members), linear
        self.register_buffer("place", place)

    def forward(self, values: Tensor) -> Tensor:
        """(N, T, K) scores of features (N, T, F)."""
        return self._mean([model(values)["span"] for model in self._models()])

    def anywhere(self) -> Ensemble:
        """Return the same models with one place in a window as good as another."""
        return Ensemble(cast("list[SpanModel]", list(self.members)), self.linear).eval()

    def length(self) -> LengthScores:
        """Length scores of segmental members."""
        tables, ratios = zip(*(model.length() for model in self._models()), strict=True)
        return LengthScores(self._mean(tables), self._mean(ratios))

    @property
    def number(self) -> Tensor | None:
        """Weights of `deep.number`, of segmental members that have them."""
        numbers = [model.number for model in self._models() if model.number is not None]
        return self._mean(numbers) if numbers else None

    def _models(self) -> list[SpanModel]:
        last = [] if self.linear is None else [self.linear]
        return [*cast("list[SpanModel]", list(self.members)), *last]

    def _mean(self, values: Sequence[Tensor]) -> Tensor:
        """Average over members, then with the linear model."""
        mean = torch.stack(list(values[: len(self.members)])).mean(0)
        return mean if self.linear is None else (mean + values[-1]) / 2
