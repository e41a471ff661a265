"""The segmental head by brute force: every segmentation of a short window, one by one."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Segmentation = list[tuple[int, int]]
Array = NDArray[np.float64]
FAR = 600  # bars: what the geometric tail (ratio 0.8 at most) leaves beyond is below 1e-57


def segmentations(n_bars: int, begin: int = 0) -> Iterator[Segmentation]:
    """All sets of disjoint spans of bars begin..n_bars-1; touching spans are distinct."""
    if begin == n_bars:
        yield []
        return
    yield from segmentations(n_bars, begin + 1)
    for stop in range(begin + 1, n_bars + 1):
        for rest in segmentations(n_bars, stop):
            yield [(begin, stop), *rest]


@dataclass
class NaiveChain:
    """One window; scores (D, T)."""

    e: Array
    a: Array
    b: Array
    mass: Array
    ratio: float
    entry: float
    number: tuple[float, float, float] = (0.0, 0.0, 0.0)  # log weights of none, one, several

    def __post_init__(self) -> None:
        beyond = np.arange(FAR)
        tail = self.mass[-1] * (1 - self.ratio) * self.ratio**beyond
        self.prob = np.concatenate([self.mass[:-1], tail])  # of lengths 1, 2, ...
        self.all = list(segmentations(self.e.shape[1]))
        self.scores = np.array(
            [sum(map(self.span_score, x)) + self.number[min(len(x), 2)] for x in self.all]
        )
        high = self.scores.max()
        self.log_z = high + np.log(np.exp(self.scores - high).sum())
        self.weights = np.exp(self.scores - self.log_z)

    def span_score(self, span: tuple[int, int]) -> float:
        return float(np.logaddexp.reduce([self.directed(span, d) for d in range(len(self.e))]))

    def directed(self, span: tuple[int, int], d: int) -> float:
        start, stop = span
        n_bars = self.e.shape[1]
        score = self.e[d, start:stop].sum()
        score += self.a[d, start] if start > 0 else self.entry
        score += self.b[d, stop - 1] if stop < n_bars else 0
        weight = 0.0
        for before in range(FAR // 4 if start == 0 else 1):  # hidden bars on either side
            hidden = self.prob[stop - start + before - 1 :]
            weight += hidden.sum() if stop == n_bars else hidden[0]
        return float(score + np.log(weight))

    def best(self) -> Segmentation:
        return self.all[int(self.scores.argmax())]

    def expected_spans(self) -> float:
        return float(self.weights @ [len(spans) for spans in self.all])

    def probability(self, span: tuple[int, int]) -> float:
        return float(self.weights @ [span in spans for spans in self.all])

    def directions(self) -> Array:
        """(D, T) posterior of lying in a span of each direction."""
        inside = np.zeros(self.e.shape)
        for weight, spans in zip(self.weights, self.all, strict=True):
            for start, stop in spans:
                each = np.array([self.directed((start, stop), d) for d in range(len(self.e))])
                share = np.exp(each - np.logaddexp.reduce(each))
                inside[:, start:stop] += weight * share[:, None]
        return inside

    def best_directed(self) -> float:
        """Score of the best segmentation when each span takes its best direction."""
        ways = range(len(self.e))
        return max(sum(max(self.directed(x, d) for d in ways) for x in spans) for spans in self.all)

    def posterior(self) -> Array:
        inside = np.zeros((len(self.all), self.e.shape[1]))
        for row, spans in zip(inside, self.all, strict=True):
            for start, stop in spans:
                row[start:stop] = 1
        return self.weights @ inside
