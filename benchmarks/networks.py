"""The networks among the peers, in torch: a logit a bar, from bars alone."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

TINY = 1e-9  # below which a window's closes do not spread
CHANNELS = 5


def channels(values: Tensor) -> Tensor:
    """(N, T, 5) moves, both wicks, ranges and the place in the window, of bars (N, T, 4)."""
    opens, high, low, close = values.unbind(-1)
    before = torch.cat([opens[:, :1], close[:, :-1]], 1)
    body = torch.stack([opens, close])
    place = close - close.mean(1, keepdim=True)
    place = place / place.square().mean(1, keepdim=True).sqrt().clamp(min=TINY)
    columns = (close - before, high - body.amax(0), body.amin(0) - low, high - low, place)
    return torch.stack(columns, 2)


class UNet(nn.Module):
    """A logit a bar, from three scales."""

    def __init__(self, width: int = 8, depth: int = 3, dropout: float = 0.3) -> None:
        super().__init__()
        widths = [CHANNELS, *(width * 2**k for k in range(depth))]
        pairs = list(pairwise(widths))
        self.down = nn.ModuleList(_block(i, o, dropout) for i, o in pairs)
        self.up = nn.ModuleList(_block(o + i, i, dropout) for i, o in reversed(pairs[1:]))
        self.last = nn.Conv1d(width, 1, 1)

    def forward(self, values: Tensor) -> Tensor:
        """(N, T) logits of bars (N, T, 4)."""
        n_bars = values.shape[1]
        x = channels(values).transpose(1, 2)  # (N, C, T)
        short = -n_bars % 2 ** (len(self.down) - 1)
        x = functional.pad(x, (0, short))
        kept = []
        for block in self.down[:-1]:
            kept.append(block(x))
            x = functional.max_pool1d(kept[-1], 2)
        x = self.down[-1](x)
        for block in self.up:
            wide = functional.interpolate(x, scale_factor=2.0)
            x = block(torch.cat([wide, kept.pop()], 1))
        logits: Tensor = self.last(x)[:, 0, :n_bars]
        return logits


def _block(n_in: int, n_out: int, dropout: float) -> nn.Sequential:
    """Two convolutions over five bars."""
    layers: list[nn.Module] = []
    for width in (n_in, n_out):
        layers += [nn.Conv1d(width, n_out, 5, padding=2), nn.BatchNorm1d(n_out), nn.ReLU()]
    return nn.Sequential(*layers, nn.Dropout(dropout))


class StepLSTM(nn.Module):
    """A logit a bar, from a BiLSTM over steps that were each put through a linear layer."""

    def __init__(self, step: int = 128, hidden: int = 32, dropout: float = 0.3) -> None:
        super().__init__()
        self.step = nn.Linear(CHANNELS, step)
        self.norm = nn.LayerNorm(step)
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTM(step, hidden, 2, batch_first=True, bidirectional=True, dropout=dropout)
        self.last = nn.Linear(2 * hidden, 1)

    def forward(self, values: Tensor) -> Tensor:
        """(N, T) logits of bars (N, T, 4)."""
        x = self.dropout(self.norm(functional.relu(self.step(channels(values)))))
        encoded, _ = self.lstm(x)  # (N, T, 2 H)
        logits: Tensor = self.last(self.dropout(encoded))[..., 0]
        return logits
