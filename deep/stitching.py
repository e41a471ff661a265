"""Scores of long series: overlapping windows, and each bar's scores from its most central one."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray

from deep.detector import SpanDetector
from deep.reading import MatchReader
from proxytools import features, io
from proxytools.label import Batch, batches
from proxytools.proxies.store import Model

MARGIN = 1 / 6  # of a window; nearer to its edges its scores are worse
WINDOWS = 64  # scored at once: more leave the cache

Scores = NDArray[np.float32]


def windows(model: Model, pieces: Iterable[io.Piece]) -> Iterator[Batch]:
    """Cut bars into windows of the training length; all but a margin of each is asked for."""
    margin = int(model.n_bars * MARGIN)
    return batches(pieces, model.n_bars, stride=max(1, model.n_bars - 2 * margin))


def scored(detector: SpanDetector, todo: Iterable[Batch]) -> Iterator[tuple[Batch, Scores]]:
    """Batches with the values (n, K) of the bars they are asked for, in order.

    Values are what spans are read off: the chain's scores, or probabilities (K = 1). Batches are
    scored beside one another, a thread each, because the steps of an LSTM are too small to share;
    `deep.device.limited` says how many threads, and gives torch its own back.
    """
    device = next(detector.ensemble_.parameters()).device
    workers = torch.get_num_threads() if device.type == "cpu" else 1
    torch.set_num_threads(1 if device.type == "cpu" else workers)
    waiting: deque[Future[list[Scores]]] = deque()
    groups: deque[list[Batch]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        for group in _groups(todo):
            groups.append(group)
            waiting.append(pool.submit(_score, detector, group))
            if len(waiting) > 2 * workers:
                yield from zip(groups.popleft(), waiting.popleft().result(), strict=True)
        while waiting:
            yield from zip(groups.popleft(), waiting.popleft().result(), strict=True)


def _groups(todo: Iterable[Batch]) -> Iterator[list[Batch]]:
    """Batches that together fill a model: those of short runs are small."""
    group: list[Batch] = []
    for batch in todo:
        group.append(batch)
        if sum(len(other.ohlc) for other in group) >= WINDOWS:
            yield group
            group = []
    if group:
        yield group


def _score(detector: SpanDetector, group: list[Batch]) -> list[Scores]:
    """Values (n, K) of the bars that each batch is asked for; windows of one length together."""
    scored: list[Scores] = [np.empty((0, 0), np.float32)] * len(group)
    by_length: dict[int, list[int]] = {}
    for i, batch in enumerate(group):
        by_length.setdefault(batch.ohlc.shape[1], []).append(i)
    for places in by_length.values():
        values = _values(detector, np.concatenate([group[i].ohlc for i in places]))
        first = 0
        for i in places:
            scored[i] = values[first + group[i].window, group[i].bar]
            first += len(group[i].ohlc)
    return scored


@torch.inference_mode()
def _values(detector: SpanDetector, ohlc: NDArray[np.float64]) -> Scores:
    """(B, T, K) what spans are read off."""
    model, reader = detector.ensemble_, detector.reader_
    device = next(model.parameters()).device
    own = features.compute(ohlc, detector.feature_set)  # (B, T, F)
    parts = torch.split(torch.from_numpy(own.values), WINDOWS)
    if isinstance(reader, MatchReader):
        made = [model(part.to(device)).numpy(force=True) for part in parts]
    else:
        made = [reader.prob(model, part.to(device))[..., None] for part in parts]
    return np.concatenate(made)
