"""How long spans are: a smoothed length prior with a geometric tail, and how often they start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr
from torch import Tensor
from torch.nn import functional

from proxytools.errors import InputError
from proxytools.types import Bool, Spans

PSEUDO_LENGTHS = 10.0  # how many observed lengths the smooth base is worth
GEOMETRIC_SHARE = 0.1  # of the base: keeps every length possible, however narrow the log-normal
LEAST_SIGMA = 0.2  # of the log length


@dataclass(frozen=True, eq=False)
class LengthPrior:
    """Probability of each span length, in bars.

    Lengths up to ``Lmax`` have a probability each; longer ones share ``mass[-1]`` and fall off
    geometrically, ``P(L) = mass[-1] (1 - ratio) ratio^(L - Lmax - 1)``.

    Parameters
    ----------
    mass : (Lmax + 1,) float64
        ``P(L)`` for L = 1..Lmax, then ``P(L > Lmax)``. All positive, sum 1.
    ratio : float
        Of the tail, in (0, 1).

    Examples
    --------
    >>> prior = LengthPrior.of([5, 6, 6, 7, 9], l_max=9)
    >>> int(prior.mass.argmax()) + 1
    6
    >>> bool((prior.mass > 0).all()), float(prior.mass.sum().round(6))
    (True, 1.0)
    """

    mass: NDArray[np.float64]
    ratio: float

    @property
    def l_max(self) -> int:
        """The longest length with a probability of its own."""
        return len(self.mass) - 1

    @property
    def survival(self) -> NDArray[np.float64]:
        """(Lmax + 1,) ``P(length >= L)`` for L = 1..Lmax + 1."""
        return self.mass[::-1].cumsum()[::-1]

    @classmethod
    def of(cls, lengths: ArrayLike, l_max: int) -> Self:
        """Learn from the lengths of training spans that no window's edge cuts.

        Dirichlet smoothing: ``mass`` is the posterior mean under ``PSEUDO_LENGTHS`` draws from a
        base of nine parts log-normal (moments of the log lengths) and one part geometric
        (their mean). The tail's ratio is that of the excess over ``Lmax + 1``, with one
        further span of the mean length.

        Parameters
        ----------
        lengths : (S,) int
            Bars, at least one span.
        l_max : int
            Usually the longest training span.

        Raises
        ------
        InputError
            No span, or a length or ``l_max`` under 1.
        """
        length = np.asarray(lengths, np.int64)
        least = int(min(length.min(initial=l_max), l_max)) if len(length) else 0
        if least < 1:
            raise InputError(
                "lengths of training spans",
                got=f"{len(length)} of them, the least (or l_max) {least}",
                expected="at least one, all of 1 bar or more",
                fix="Mark a span that no edge of its window cuts",
            )
        counts = np.bincount(np.minimum(length, l_max + 1), minlength=l_max + 2)[1:]
        mass = (counts + PSEUDO_LENGTHS * _base(length, l_max)) / (len(length) + PSEUDO_LENGTHS)
        tail = length[length > l_max] - (l_max + 1)
        excess = tail.sum() + length.mean()
        return cls(mass, float(excess / (excess + len(tail) + 1)))


def _base(length: NDArray[np.int64], l_max: int) -> NDArray[np.float64]:
    """(l_max + 1,) smooth probabilities of 1..l_max and of anything longer."""
    log = np.log(length)
    edges = np.arange(1, l_max + 1) + 0.5  # (l_max,) a length ends half a bar above itself
    log_normal = ndtr((np.log(edges) - log.mean()) / max(log.std(), LEAST_SIGMA))
    geometric = 1 - (1 - 1 / (length.mean() + 1)) ** np.arange(1, l_max + 1)
    cdf = (1 - GEOMETRIC_SHARE) * log_normal + GEOMETRIC_SHARE * geometric
    return np.diff(cdf, prepend=0.0, append=1.0)


def uncut(spans: Spans, n_bars: int) -> Bool:
    """(S,) true where a span neither starts at bar 0 nor stops at ``n_bars``.

    The others may go on outside the window; nothing in the window tells.

    Examples
    --------
    >>> uncut(Spans.of([[(0, 3), (4, 6), (7, 9)]]), n_bars=9)
    array([False,  True, False])
    """
    return (spans.start > 0) & (spans.stop < n_bars)


def start_bias(spans: Spans, n_bars: int) -> float:
    """Log of training spans per outside bar: where the start score begins.

    Raises
    ------
    InputError
        No span, or no bar outside of one.

    Examples
    --------
    >>> round(start_bias(Spans.of([[(2, 5)], [], [(7, 9)]]), n_bars=10), 3)  # log(2 / 25)
    -2.526
    """
    outside = spans.n_windows * n_bars - int(spans.length.sum())
    if len(spans) == 0 or outside <= 0:
        raise InputError(
            "training spans",
            got=f"{len(spans)} spans and {outside} bars outside of them",
            expected="at least one of each",
        )
    return float(np.log(len(spans) / outside))


class LengthScores(NamedTuple):
    """Log weight of a span of L visible bars, for each way in which the window may cut it.

    Rows (constants of `deep.chain`): `INNER` (not cut), `LEFT` (starts at bar 0), `RIGHT` (stops
    at T), `BOTH`. Columns:
    L = 1..Lmax + 1; each bar more adds ``log_ratio``.
    """

    table: Tensor  # (4, Lmax+1)
    log_ratio: Tensor  # ()


def length_scores(logits: Tensor, tail_logit: Tensor, entry: Tensor) -> LengthScores:
    """Length scores of a prior with ``mass = softmax(logits)`` and ``ratio = sigmoid(tail_logit)``.

    A span that may be cut is scored by every length it may really have. With S(L) the survival
    function: cut on the right S(L); on the left ``entry + log S(L)``, where ``entry`` is the log
    rate of starts before the window (the start nobody saw); on both sides
    ``entry + log(S(L) + S(L+1) + ...)``, because the hidden start may lie any number of bars back.

    Parameters
    ----------
    logits : (Lmax + 1,)
    tail_logit, entry : ()

    Examples
    --------
    >>> prior = LengthPrior.of([2, 3, 3], l_max=4)
    >>> logits, tail = torch.tensor(prior.mass).log(), torch.tensor(prior.ratio).logit()
    >>> inner, left, _, _ = length_scores(logits, tail, entry=torch.tensor(0.0)).table
    >>> bool(torch.isclose(inner[:4].exp(), torch.tensor(prior.mass[:4])).all())
    True
    >>> bool(torch.isclose(left.exp(), torch.tensor(prior.survival.copy())).all())
    True
    """
    log_mass = logits.log_softmax(0)  # (K,)
    log_stop = functional.logsigmoid(-tail_logit)  # log(1 - ratio)
    survival = _from_the_end(log_mass)
    beyond = _from_the_end(torch.cat([survival[:-1], survival[-1:] - log_stop]))
    inner = torch.cat([log_mass[:-1], log_mass[-1:] + log_stop])
    table = torch.stack([inner, survival + entry, survival, beyond + entry])  # (4, K)
    return LengthScores(table, functional.logsigmoid(tail_logit))


def _from_the_end(log_values: Tensor) -> Tensor:
    return log_values.flip(0).logcumsumexp(0).flip(0)
