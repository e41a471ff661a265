"""How many spans a window holds: a weight for none, one and several, on top of the chain.

Windows are often cut around what was marked, and then hold exactly one span. A chain knows rates
only. Its segmentations are therefore weighted by ``g(number of spans)``, and nothing else changes:
all sums split into those over any segmentation, over the empty one and over those of one span,
``Z' = g0 + g1 Z1 + g2 (Z - 1 - Z1)``, of which the last needs one more pass of the same recursion.
What it learns holds for windows cut alike; over a long series it has no meaning and is left out.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from deep.marginals import Counts
from deep.sums import Sums
from proxytools.types import Spans

PSEUDO_WINDOWS = 1.0  # how many windows of a Poisson number the frequencies are mixed with
LEAST = 1e-300


class Part(NamedTuple):
    """Sums over some segmentations, and how much of the whole they stand for; may be negative."""

    share: Tensor  # (N,)
    sums: Sums


def log_weights(spans: Spans) -> Tensor:
    """(3,) log of how often windows hold no span, one, several, over what a Poisson would.

    Examples
    --------
    >>> [round(x, 1) for x in log_weights(Spans.of([[(1, 3)]] * 50)).tolist()]
    [-3.9, 1.0, -3.9]
    """
    rate = len(spans) / spans.n_windows
    none, one = np.exp(-rate), rate * np.exp(-rate)
    poisson = np.array([none, one, 1 - none - one])
    seen = np.bincount(np.minimum(spans.count, 2), minlength=3)
    share = (seen + PSEUDO_WINDOWS * poisson) / (spans.n_windows + PSEUDO_WINDOWS)
    return torch.from_numpy(np.log(share / poisson)).float()


def weighted(number: Tensor, free: Sums, one: Sums) -> tuple[Tensor, list[Part]]:
    """(N,) the log partition function under the weights, and the parts that add up to it.

    Parameters
    ----------
    number : (3,)
        Log weights.
    free, one : Sums
        Over all segmentations, and over those of one span.
    """
    g0, g1, g2 = number.double()
    at_most_one = torch.logaddexp(one.log_z, torch.zeros_like(one.log_z))
    rest = (-torch.expm1(at_most_one - free.log_z)).clamp(min=LEAST).log() + free.log_z
    log_z = torch.stack([g0.expand_as(rest), g1 + one.log_z, g2 + rest]).logsumexp(0)
    share = torch.exp(g2 + free.log_z - log_z)
    of_one = torch.exp(g1 + one.log_z - log_z) - torch.exp(g2 + one.log_z - log_z)
    return log_z, [Part(share, free), Part(of_one, one)]


def mixed(parts: list[tuple[Tensor, Counts]]) -> Counts:
    """Add expected counts up by their shares."""
    columns = zip(*(counts for _, counts in parts), strict=True)
    shares = [share for share, _ in parts]
    return Counts(*(_add(shares, column) for column in columns))


def _add(shares: list[Tensor], values: tuple[Tensor, ...]) -> Tensor:
    """Sum of values (N, ...) by shares (N,)."""
    scaled = [
        share.view(-1, *[1] * (value.ndim - 1)) * value
        for share, value in zip(shares, values, strict=True)
    ]
    return torch.stack(scaled).sum(0)
