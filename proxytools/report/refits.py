"""Proxies refitted on each fold: what they look at, and what more marks would bring.

The model in a run learnt from every window, so nothing can be held out from it. What is said here
is said by models fitted on the training windows of each fold, of the windows held out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone

from proxytools import evaluate, features, rundir, splits
from proxytools.errors import InputError
from proxytools.metrics.bar import pearson
from proxytools.metrics.resample import paired_interval, pearson_interval
from proxytools.proxies import NAMES, make, store
from proxytools.proxies.bars import BarProxy
from proxytools.report.runs import Run
from proxytools.splits import Fold
from proxytools.types import FeatureSet, Int, SpanDataset

SHARES = (0.1, 0.2, 0.4, 0.7, 1.0)
"""Of the training windows of a fold, in whole groups: the points of a learning curve."""
SHOWN = 4  # families whose partial dependence is drawn at most; the fall is above 0 beyond chance
POINTS = 15  # of a partial dependence
BARS = 600  # of a fold's held-out bars that a partial dependence averages over
Track = Callable[[Sequence[Any]], Iterable[Any]]


@dataclass(frozen=True, eq=False)
class Family:
    """Features that differ in their window alone, and what shuffling them costs.

    ``drop`` is the fall of held-out r when the family's values are dealt to other windows, with
    its paired 95 % interval.
    """

    name: str
    members: tuple[str, ...]
    drop: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Dependence:
    """Mean probability (K, P) that the K folds' models give with a feature set to ``grid`` (P,)."""

    feature: str
    meaning: str
    unit: str
    grid: NDArray[np.float64]
    prob: NDArray[np.float64]


@dataclass(frozen=True)
class Point:
    """Held-out r after learning from a mean of ``windows`` labelled windows."""

    windows: float
    r: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Task:
    """A proxy as its run made it, and the folds it was held out in."""

    proxy: BarProxy
    data: SpanDataset
    own: FeatureSet
    folds: list[Fold]
    units: Int
    seed: int


def prepare(run: Run, data: SpanDataset, threads: int) -> Task | str:
    """Make ready to refit the proxy of a run, or say why that cannot be done."""
    if run.config.get("search"):
        return "its settings were searched inside every fold; that is not repeated here"
    opened = rundir.open_run(run.path)
    if not (opened / "model.json").is_file():
        return "it is no proxy of single bars"
    saved = store.load(opened).proxy
    if saved.name not in NAMES:
        return "it is a proxy of one's own making"
    seed = int(run.record["seed"])
    proxy = make(saved.name, features=saved.feature_set, seed=seed, threads=threads)
    seen = data.take(data.labelled)
    own = features.compute(seen.windows.ohlc, proxy.feature_set)
    n_folds, embargo = run.config.get("folds") or 5, run.config.get("embargo") or "0"
    folds = evaluate.folds_of(seen, own, n_folds, seed, embargo)
    units = splits.resampling_units(seen.windows, splits.groups(seen.windows))
    return Task(proxy, seen, own, folds, units, seed)


def explain(task: Task, track: Track = iter) -> tuple[list[Family], list[Dependence]]:
    """Permutation importance by family, largest first, and partial dependence of the first few.

    A family is shuffled by dealing its values, a window's in one piece, to other windows of the
    same fold: how values follow each other inside a window stays.
    """
    own, folds = task.own, task.folds
    models = [_fitted(task, fold.train) for fold in track(folds)]
    tests = [own.take(fold.test) for fold in folds]
    rng = np.random.default_rng(task.seed)
    orders = [_dealt(len(fold.test), rng) for fold in folds]

    def predict(columns: Sequence[int]) -> NDArray[np.float32]:
        prob = np.zeros(own.values.shape[:2], np.float32)  # (N, T)
        for model, fold, test, order in zip(models, folds, tests, orders, strict=True):
            values = test.values.copy()
            values[..., columns] = test.values[order][..., columns]
            prob[fold.test] = model.predict(replace(test, values=values))
        return prob

    mask, base = task.data.mask, predict([])
    found = []
    for name, columns in families(own.names).items():
        drop = paired_interval(base, predict(columns), mask, task.units, seed=task.seed)
        found.append(Family(name, tuple(own.names[i] for i in columns), *drop))
    found.sort(key=lambda family: -family.drop)
    sure = [family for family in found if family.low > 0][:SHOWN] or found[:1]
    shown = [_telling(family, own, base) for family in sure]
    return found, [_dependence(own, column, models, tests) for column in shown]


def families(names: Sequence[str]) -> dict[str, list[int]]:
    """Columns by what their names share before the numbers.

    Examples
    --------
    >>> families(["move_5", "body", "move_20", "drift_1_1"])
    {'move': [0, 2], 'body': [1], 'drift': [3]}
    """
    found: dict[str, list[int]] = {}
    for column, name in enumerate(names):
        found.setdefault(re.sub(r"(_\d+)+$", "", name), []).append(column)
    return found


def learning_curve(task: Task, track: Track = iter) -> list[Point]:
    """Held-out r by the number of labelled windows learnt from, in nested sets of groups.

    Sizes at which some fold cannot be fitted, for want of groups or marks, are left out.
    """
    jobs = [(share, fold) for share in SHARES for fold in task.folds]
    mask = task.data.mask
    prob = {share: np.full(mask.shape, np.nan, np.float32) for share in SHARES}
    size: dict[float, list[int]] = {share: [] for share in SHARES}
    for share, fold in track(jobs):
        learnt = nested(task.data, fold.train, share, task.seed)
        size[share].append(len(learnt))
        try:
            model = _fitted(task, learnt)
        except InputError:  # too little to fit on: the size is left out
            continue
        prob[share][fold.test] = model.predict(task.own.take(fold.test))
    points = []
    for share in SHARES:
        if not np.isnan(prob[share]).any():
            low, high = pearson_interval(prob[share], mask, task.units)
            r = pearson(prob[share], mask)
            points.append(Point(float(np.mean(size[share])), r, low, high))
    return points


def nested(data: SpanDataset, train: Int, share: float, seed: int) -> Int:
    """Take whole groups, in one random order for all shares, up to a share of the windows."""
    groups = splits.groups(data.windows.take(train))
    order = np.random.default_rng(seed).permutation(int(groups.max()) + 1)
    reach = np.bincount(groups)[order].cumsum()
    kept = order[: 1 + int(np.searchsorted(reach, round(share * len(train))))]
    return train[np.isin(groups, kept)]


def _fitted(task: Task, windows: Int) -> Any:
    return clone(task.proxy).fit(task.own.take(windows), task.data.take(windows))


def _dealt(n: int, rng: np.random.Generator) -> Int:
    """(n,) another window for each, where there is one."""
    ring, order = rng.permutation(n), np.empty(n, np.int64)
    order[ring] = np.roll(ring, 1)
    return order


def _telling(family: Family, own: FeatureSet, prob: NDArray[np.float32]) -> int:
    """Column of the member that goes most with the probabilities."""
    columns = [own.names.index(name) for name in family.members]
    p = prob.ravel() - prob.mean(dtype=np.float64)
    values = own.values.reshape(-1, len(own.names))[:, columns].astype(np.float64)
    values -= values.mean(axis=0)
    scale = np.sqrt((values**2).sum(axis=0))
    along = np.abs(p @ values) / np.where(scale > 0, scale, np.inf)
    return columns[int(along.argmax())]


def _dependence(
    own: FeatureSet, column: int, models: Sequence[Any], tests: Sequence[FeatureSet]
) -> Dependence:
    values = own.values[..., column].astype(np.float64)
    grid = np.unique(np.quantile(values, np.linspace(0.02, 0.98, POINTS)))
    prob = np.empty((len(models), len(grid)))
    for k, (model, test) in enumerate(zip(models, tests, strict=True)):
        step = max(1, test.values[..., 0].size // BARS)
        bars = test.values.reshape(-1, 1, len(own.names))[::step].copy()  # (B, 1, F)
        for place, value in enumerate(grid):
            bars[..., column] = value
            prob[k, place] = model.predict(replace(test, values=bars)).mean()
    about = features.describe(own.names[column])
    return Dependence(about.name, about.meaning, about.unit, grid, prob)
