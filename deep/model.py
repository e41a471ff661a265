"""The network: standardised features through a BiLSTM into one of two heads."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from deep.lengths import LengthPrior, LengthScores
from deep.presets import Settings
from deep.segmental import SegmentalHead

LEAST_SCALE = 1e-6  # below it a feature is taken as constant
MOST = 6.0  # standard deviations


class SpanModel(nn.Module):
    """Scores of every bar, from its features and from what a BiLSTM makes of all bars around it.

    The head reads the encoder's outputs beside the standardised features themselves, so that what
    a linear model of single bars can do need not pass through the recurrent bottleneck.

    Parameters
    ----------
    n_features : int
    settings : Settings
    prior, start_bias : LengthPrior and float
        Where the segmental head starts; see `deep.segmental.SegmentalHead`. The other ignores them.

    Examples
    --------
    >>> prior = LengthPrior.of([3, 4], l_max=4)
    >>> model = SpanModel(7, Settings(hidden=5), prior, -3.0).eval()
    >>> model(torch.zeros(2, 20, 7)).shape
    torch.Size([2, 20, 3])
    """

    mean: Tensor
    gain: Tensor

    def __init__(
        self, n_features: int, settings: Settings, prior: LengthPrior, start_bias: float
    ) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("gain", torch.ones(n_features))
        self.input_dropout = nn.Dropout1d(settings.input_dropout)
        self.encoder = nn.LSTM(
            n_features,
            settings.hidden,
            settings.layers,
            batch_first=True,
            bidirectional=True,
            dropout=settings.dropout if settings.layers > 1 else 0.0,
        )
        self.dropout = nn.Dropout1d(settings.dropout)
        n_inputs = 2 * settings.hidden + n_features
        self.head: SegmentalHead | nn.Linear
        if settings.head == "segmental":
            self.head = SegmentalHead(n_inputs, prior, start_bias)
        else:
            self.head = nn.Linear(n_inputs, 1)

    @torch.no_grad()
    def standardise(self, values: Tensor) -> None:
        """Take mean and spread of each feature from training windows (N, T, F)."""
        bars = values.double().flatten(0, 1)  # (N * T, F)
        scale = bars.std(0, correction=0)
        self.mean.copy_(bars.mean(0))
        self.gain.copy_(torch.where(scale > LEAST_SCALE, 1 / scale, 0.0))

    def forward(self, values: Tensor) -> Tensor:
        """(N, T, K) scores: bar, first bar and last bar of a span, or the one logit."""
        x = ((values - self.mean) * self.gain).clamp(-MOST, MOST)  # (N, T, F)
        x = _drop(self.input_dropout, x)
        encoded = _drop(self.dropout, self.encoder(x)[0])  # (N, T, 2H)
        linear = self.head.scores if isinstance(self.head, SegmentalHead) else self.head
        scores: Tensor = linear(torch.cat([encoded, x], 2))
        return scores

    def length(self) -> LengthScores:
        """Length scores of the segmental head."""
        assert isinstance(self.head, SegmentalHead)
        return self.head.length()


def _drop(dropout: nn.Dropout1d, x: Tensor) -> Tensor:
    """Leave whole columns of (N, T, C) out, each for one window."""
    dropped: Tensor = dropout(x.transpose(1, 2)).transpose(1, 2)
    return dropped


class Ensemble(nn.Module):
    """Members whose scores are averaged: of segmental models again one, the product of experts."""

    def __init__(self, members: Sequence[SpanModel]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, values: Tensor) -> Tensor:
        """(N, T, K) scores of features (N, T, F)."""
        return torch.stack([member(values) for member in self.members]).mean(0)

    def length(self) -> LengthScores:
        """Length scores of segmental members."""
        tables, ratios = zip(*(member.length() for member in self._members()), strict=True)
        return LengthScores(torch.stack(tables).mean(0), torch.stack(ratios).mean(0))

    def _members(self) -> list[SpanModel]:
        return cast("list[SpanModel]", list(self.members))
