"""What an encoder can learn from bars alone: what is hidden in them, and which window is which.

Each network wraps a model that is to be trained further: its encoder is the model's own, its head
is dropped afterwards. Outputs are one loss a window.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from deep.model import SpanModel

HIDDEN, RUN = 0.3, 8  # share of bars that are hidden, about; and bars of a hidden run
JITTER, DROPPED, SHIFT = 0.2, 0.2, 0.1  # standard deviations, share of columns, share of a window
PROJECTED = 32  # units in which views are compared
TEMPERATURE = 0.2


class Ahead(nn.Module):
    """A model and what pre-trains it; what takes no part is frozen meanwhile.

    Parameters
    ----------
    model : SpanModel
        Trained in place.
    """

    log_sigma = None  # there is one task, and nothing to balance it with

    def __init__(self, model: SpanModel) -> None:
        super().__init__()
        self.model = model
        model.requires_grad_(False)
        self.parts().requires_grad_(True)

    def parts(self) -> nn.Module:
        """Return the parts of the model that are pre-trained."""
        return self.model.lstm

    def encoded(self, x: Tensor) -> Tensor:
        """(n, T, 2H) what the encoder makes of standardised features (n, T, F)."""
        states: Tensor = self.model.lstm(x)[0]
        return states


class Masked(Ahead):
    """Runs of bars are hidden, and a linear head tells their features from the bars around them.

    As in BERT (Devlin et al. 2019) and masked autoencoders (He et al. 2022); hidden in runs, as
    Zerveas et al. 2021 ("A transformer-based framework for multivariate time series representation
    learning") do, because a single bar is told by its neighbours.
    """

    def __init__(self, model: SpanModel) -> None:
        super().__init__(model)
        n_features = len(model.mean)
        self.reconstruct = nn.Linear(2 * model.lstm.hidden_size, n_features)

    def forward(self, values: Tensor) -> dict[str, Any]:
        """``masked`` (n,): mean Huber loss of the hidden bars of each window."""
        x = self.model.standardised(values)  # (n, T, F)
        hidden = hidden_runs(*x.shape[:2], device=x.device)  # (n, T)
        found = self.reconstruct(self.encoded(x.masked_fill(hidden[..., None], 0.0)))  # (n, T, F)
        loss = functional.huber_loss(found, x, reduction="none").mean(2)  # (n, T)
        return {"masked": (loss * hidden).sum(1) / hidden.sum(1)}


class Contrastive(Ahead):
    """Two views of a window are told from the views of all others: SimCLR (Chen et al. 2020).

    A view is moved in time, lacks some columns and has noise added; where a mirror changes no more
    than signs it may be upside down. Its bars are averaged after the encoder; a projection head
    compares.
    """

    def __init__(self, model: SpanModel) -> None:
        super().__init__(model)
        width = 2 * model.lstm.hidden_size
        self.project = nn.Sequential(
            nn.Linear(width, width), nn.ReLU(), nn.Linear(width, PROJECTED)
        )

    def forward(self, values: Tensor) -> dict[str, Any]:
        """``contrastive`` (n,): see `nt_xent`."""
        x = self.model.standardised(values)  # (n, T, F)
        signs = self.model.signs if self.model.directions > 1 else torch.ones_like(self.model.signs)
        views = (view(x, signs) for _ in range(2))
        one, other = (self.project(self.encoded(seen).mean(1)) for seen in views)  # (n, P)
        return {"contrastive": nt_xent(one, other)}


def hidden_runs(n: int, n_bars: int, *, device: torch.device) -> Tensor:
    """(n, T) bool: which bars are hidden, in runs of `RUN`; at least one in every window."""
    starts = torch.rand(n, n_bars, device=device) < HIDDEN / RUN
    sure = torch.randint(n_bars, (n, 1), device=device)
    starts = starts.scatter(1, sure, True)
    begun = functional.pad(starts.cumsum(1), (RUN, 0))  # (n, RUN + T)
    return begun[:, RUN:] > begun[:, :-RUN]


def view(x: Tensor, signs: Tensor) -> Tensor:
    """Move windows in time, mirror them, take columns away and add noise, as chance has it.

    Parameters
    ----------
    x : (n, T, F) Tensor
    signs : (F,) Tensor
        By what a mirror multiplies each feature.
    """
    n, n_bars, n_features = x.shape
    most = int(SHIFT * n_bars)
    shift = torch.randint(-most, most + 1, (n, 1), device=x.device)
    bars = torch.arange(n_bars, device=x.device) + shift  # (n, T)
    seen = (bars >= 0) & (bars < n_bars)
    moved = x[torch.arange(n, device=x.device)[:, None], bars.clamp(0, n_bars - 1)]
    columns = torch.rand(n, 1, n_features, device=x.device) >= DROPPED
    upright = torch.rand(n, 1, 1, device=x.device) < 0.5
    noisy = (moved + JITTER * torch.randn_like(x)) * torch.where(upright, 1.0, signs)
    return noisy * seen[..., None] * columns


def nt_xent(one: Tensor, other: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """Return the normalised temperature-scaled cross-entropy of paired views.

    Parameters
    ----------
    one, other : (n, P) Tensor
        Views of the same windows.

    Returns
    -------
    (n,) Tensor
        Mean over both views of ``-log(exp(s+) / sum exp(s))``, ``s`` being cosine similarities
        over the temperature with all other views, ``s+`` that of the pair.

    Examples
    --------
    >>> nt_xent(torch.eye(2), torch.eye(2), temperature=1.0)  # log(1 + 2 / e)
    tensor([0.5514, 0.5514])
    """
    n = len(one)
    views = functional.normalize(torch.cat([one, other]), dim=1)  # (2n, P)
    similar = views @ views.T / temperature  # (2n, 2n)
    similar = similar.masked_fill(torch.eye(2 * n, dtype=torch.bool, device=one.device), -torch.inf)
    pair = (torch.arange(2 * n, device=one.device) + n) % max(2 * n, 1)
    return functional.cross_entropy(similar, pair, reduction="none").view(2, n).mean(0)
