"""Any classifier of single bars as a proxy of windows."""

from __future__ import annotations

import zlib
from typing import Any, Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone
from sklearn.utils.validation import check_is_fitted

from proxytools import decode, splits
from proxytools.errors import InputError
from proxytools.proxies import nested
from proxytools.proxies.canonical import canonical
from proxytools.proxies.trees import UNREADABLE, check_sklearn
from proxytools.types import FeatureSet, Float, SpanDataset, Spans

Rows = NDArray[np.float32]

# Not trusted by skops because of what their nodes may say: that is checked before they are used.
TRUSTED = [
    "sklearn.tree._tree.Tree",
    "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
]
_BROKEN_ZIP = (BadZipFile, zlib.error, EOFError, OSError, ImportError, RuntimeError)


class BarProxy(BaseEstimator):
    """A scikit-learn classifier that judges each bar by its features alone.

    `fit` cross-fits inside the windows it is given: the probabilities held out there choose the
    decoder (and, for boosted trees, the number of rounds); the classifier is then refitted on all
    of them. Nothing is chosen on a window that was fitted, and the decoder only on marks: where
    soft targets come without any, the default one stays.

    Parameters
    ----------
    classifier : scikit-learn classifier
        With ``predict_proba``, and ``sample_weight`` in ``fit`` when soft targets or a
        ``positive_weight`` are used.
    name : str
    feature_set : str
        A name in `proxytools.features.SETS`.
    positive_weight : float
        Weight of in-span bars in the fit. The odds are divided by it again, so probabilities stay
        calibrated. The conditional mean maximises Pearson r, which is why 1 is the default.
    inner_folds : int
        Grouped folds inside `fit`; 0 chooses nothing and leaves the default decoder.
    seed : int

    Notes
    -----
    Pipelines and scikit-learn's searches are classifiers too. A search inside deals out bars, not
    windows, and so flatters itself; `proxytools.proxies.search.Searched` deals out windows. What is
    reported is held out either way.

    Attributes
    ----------
    held_out_ : (n, T) float32
        Inner held-out probabilities of the windows learnt from.
    decoder_ : Decoder
    """

    weights_file = "classifier.skops"
    per_bar = True  # a bar's probability depends on its own features alone

    def __init__(
        self,
        classifier: Any = None,
        name: str = "bars",
        feature_set: str = "full",
        positive_weight: float = 1.0,
        inner_folds: int = 3,
        seed: int = 0,
    ) -> None:
        self.classifier = classifier
        self.name = name
        self.feature_set = feature_set
        self.positive_weight = positive_weight
        self.inner_folds = inner_folds
        self.seed = seed

    def fit(self, features: FeatureSet, data: SpanDataset, target: Float | None = None) -> Self:
        """Learn from the labelled windows, or from ``target`` (N, T) in [0, 1] on all windows.

        Raises
        ------
        InputError
            There is no labelled window, no bar of either class, or a target outside [0, 1].
        """
        forget(self)
        values, y, data = self._training(features, data, target)
        if self.inner_folds:
            self._choose(values, y, data)
        else:
            self.decoder_ = decode.Decoder()
        self.model_ = self._train(_rows(values), y.ravel())
        return self

    def inner_score(
        self, features: FeatureSet, data: SpanDataset, target: Float | None = None
    ) -> float:
        """Pearson r of inner held-out probabilities: what a search inside `fit` maximises."""
        values, y, data = self._training(features, data, target)
        self._choose(values, y, data)
        if self.held_out_.min() == self.held_out_.max():
            return 0.0
        return float(np.corrcoef(self.held_out_.ravel(), y.ravel())[0, 1])

    def predict(self, features: FeatureSet) -> NDArray[np.float32]:
        """(N, T) probability of lying in a span."""
        check_is_fitted(self, "model_")
        if features.names != self.feature_names_:
            raise InputError(
                f"features of {self.name}",
                got=f"{len(features.names)} columns starting with {features.names[:3]}",
                expected=f"the {len(self.feature_names_)} columns it was fitted on",
            )
        return self._score(self.model_, features.values)

    def detect(self, features: FeatureSet) -> Spans:
        """Spans, by the decoder chosen on inner held-out probabilities."""
        prob = self.predict(features)
        return self.decoder_.spans(prob)

    def _training(
        self, features: FeatureSet, data: SpanDataset, target: Float | None
    ) -> tuple[Rows, Rows, SpanDataset]:
        """(n, T, F) features and (n, T) targets of the windows to learn from, and those windows."""
        self.feature_names_ = features.names
        if target is None:
            seen = np.flatnonzero(data.labelled)
            features, data = features.take(seen), data.take(seen)
            target = data.mask.astype(np.float32)
        check_target(target, features.values.shape[:2])
        return features.values, np.asarray(target, np.float32), data

    def dump(self) -> bytes:
        """Return the classifier in the skops format, which holds no code."""
        import skops.io

        return canonical(skops.io.dumps(self.model_))

    def restore(self, weights: bytes, where: str) -> None:
        """Take a classifier of ``feature_names_`` from skops, if all it holds is scikit-learn's.

        Raises
        ------
        InputError
            It is damaged, holds a type or a tree that cannot be trusted, or reads another number
            of columns.
        """
        import skops.io

        try:
            model = skops.io.loads(weights, trusted=TRUSTED)
            check_sklearn(model, len(self.feature_names_))
            two = model.predict_proba(np.zeros((1, len(self.feature_names_)), np.float32))
            if two.shape != (1, 2) or not (two >= 0).all():
                raise ValueError("no classifier of two classes")
        except (*UNREADABLE, *_BROKEN_ZIP) as error:
            raise damaged(where, error) from None
        self.model_ = model

    def _choose(self, values: Rows, y: Rows, data: SpanDataset) -> list[Any]:
        """Cross-fit inside the training windows; choose the decoder on what was held out."""
        models = []
        self.held_out_ = np.zeros(y.shape, np.float32)  # (N, T)
        for fold in splits.folds(data, self.inner_folds, seed=self.seed):
            check_target(y[fold.train], y[fold.train].shape, "fit, an inner fold")
            held_out = _rows(values[fold.test]), y[fold.test].ravel()
            model = self._train(_rows(values[fold.train]), y[fold.train].ravel(), held_out)
            self.held_out_[fold.test] = self._score(model, values[fold.test])
            models.append(model)
        marked = data.take(data.labelled).spans
        prob = self.held_out_[data.labelled]
        self.decoder_ = decode.choose(prob, marked) if len(marked) else decode.Decoder()
        return models

    def _score(self, model: Any, values: Rows) -> NDArray[np.float32]:
        """(N, T) calibrated probabilities of a fitted model."""
        p = self._prob(model, _rows(values))
        if self.positive_weight != 1.0:
            p = p / (p + (1.0 - p) * self.positive_weight)
        return p.reshape(values.shape[:2]).astype(np.float32)

    def _train(self, rows: Rows, y: Rows, held_out: tuple[Rows, Rows] | None = None) -> Any:
        """Fit the classifier on bars; a soft target becomes two weighted rows."""
        weight = np.where(y > 0, self.positive_weight, 1.0)
        if not _is_hard(y):
            rows = np.concatenate([rows, rows])
            weight = np.concatenate([y * self.positive_weight, 1.0 - y])
            y = np.repeat([1, 0], len(y))
            rows, y, weight = rows[weight > 0], y[weight > 0], weight[weight > 0]
        model = clone(self.classifier)
        weights = {} if np.all(weight == 1.0) else {nested.weight_name(model): weight}
        return nested.predictor(model.fit(rows, y.astype(np.int64), **weights))

    def _prob(self, model: Any, rows: Rows) -> Float:
        """(n,) probability of the span class."""
        prob: Float = model.predict_proba(rows)[:, 1]
        return prob


def forget(estimator: BaseEstimator) -> None:
    """Drop what an earlier fit left, so that no part of it outlives the next."""
    for name in [name for name in vars(estimator) if name.endswith("_")]:
        delattr(estimator, name)


def _rows(values: Rows) -> Rows:
    """(N * T, F) view of (N, T, F)."""
    return values.reshape(-1, values.shape[-1])


def _is_hard(y: Rows) -> bool:
    return bool(np.all((y == 0) | (y == 1)))


def damaged(where: str, error: Exception) -> InputError:
    """Return the error for weights that do not load."""
    return InputError(
        where,
        got=f"damaged weights ({str(error).strip().splitlines()[0]})"
        if str(error)
        else "damaged weights",
        expected="a model this project wrote",
        fix="Fit again",
    )


def check_target(target: Float, shape: tuple[int, ...], where: str = "fit") -> None:
    """Refuse targets that are not (N, T) in [0, 1], or that nothing can be learnt from."""
    if np.shape(target) != shape or not np.all((target >= 0) & (target <= 1)):
        raise InputError(
            f"{where}, target",
            got=f"shape {np.shape(target)}" if np.shape(target) != shape else "other numbers",
            expected=f"shape {shape} in [0, 1]",
        )
    if not len(target):
        raise InputError(
            where, got="no labelled window", expected="at least one", fix="Mark some windows first"
        )
    if not 0 < target.mean(dtype=np.float64) < 1:
        kind = "inside a span" if target.any() else "outside every span"
        raise InputError(
            where,
            got=f"training windows whose bars all lie {kind}",
            expected="bars of both kinds",
            fix="Mark more windows",
        )
