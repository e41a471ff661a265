"""Where in a window spans start: a weight for each bar, on top of the chain.

Windows cut by hand hold their spans near the middle, and a window cut in the same way will too: a
prior like that of lengths. A model could count bars and learn it unseen; here it is one vector,
which anyone can look at and leave out. Of windows of another length, and over a long series, it
says nothing and is left out.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from proxytools.types import Int

WIDTHS = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0)  # of the kernel, in bars
FIGURES = ("pearson_r", "span_f1_50")  # that are reported without places as well
SHARES = (0.02, 0.05, 0.1, 0.2, 0.4, 0.7, 1.0)  # of starts that may be anywhere; 1 is flat


def log_weights(start: Int, n_bars: int) -> Tensor:
    """(T,) log of how often spans start at a bar, over the mean bar.

    A mixture of Gaussian kernels at the starts (each sums to 1 inside the window) and of the flat
    distribution. Width and share are those under which each start is likeliest given the others
    (likelihood cross-validation: Habbema, Hermans, van den Broek 1974); where nothing is likelier
    than flat, the weights are 0.

    Parameters
    ----------
    start : (S,) int
        First bars of training spans that no window's edge cuts.
    n_bars : int
        T.

    Examples
    --------
    >>> weights = log_weights(np.array([9, 10, 10, 11, 12, 8] * 3), n_bars=40)
    >>> int(weights.argmax()), bool(weights[30] < -2)
    (10, True)
    >>> log_weights(np.arange(40), n_bars=40).abs().max()
    tensor(0.)
    """
    if len(start) < 2:
        return torch.zeros(n_bars)
    flat = 1 / n_bars
    best, density = len(start) * np.log(flat), np.full(n_bars, flat)
    for width in WIDTHS:
        kernels = _kernels(n_bars, width)
        total = kernels[start].sum(0)  # (T,)
        others = (total[start] - kernels[start, start]) / (len(start) - 1)  # (S,)
        for share in SHARES[:-1]:
            found = float(np.log((1 - share) * others + share * flat).sum())
            if found > best:
                best, density = found, (1 - share) * total / len(start) + share * flat
    return torch.from_numpy(np.log(density / flat)).float()


def _kernels(n_bars: int, width: float) -> NDArray[np.float64]:
    """(T, T) share that a start at each bar gives to every bar."""
    bars = np.arange(n_bars)
    weight = np.exp(-0.5 * ((bars[:, None] - bars) / width) ** 2)
    kernels: NDArray[np.float64] = weight / weight.sum(1, keepdims=True)
    return kernels


def placed(scores: Tensor, place: Tensor | None) -> Tensor:
    """Add the weights (T,) to the start scores of (N, T, 3 D); to those of another T nothing.

    Examples
    --------
    >>> placed(torch.zeros(1, 2, 3), torch.tensor([1.0, -1.0]))
    tensor([[[ 0.,  1.,  0.],
             [ 0., -1.,  0.]]])
    """
    if place is None or len(place) != scores.shape[1]:
        return scores
    is_start = torch.arange(scores.shape[2], device=scores.device) % 3 == 1
    return scores + place[:, None] * is_start


def left_out(metrics: dict[str, Any]) -> dict[str, Any]:
    """Name figures that were measured without places, to stand beside those with them.

    Examples
    --------
    >>> left_out({"pearson_r": 0.5, "span_f1_50": None, "n": 3})
    {'pearson_r_without_place': 0.5, 'span_f1_50_without_place': None}
    """
    return {f"{name}_without_place": metrics[name] for name in FIGURES}
