"""Any classifier of single bars as a proxy of windows."""

from __future__ import annotations

from typing import Any, Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone

from proxytools import decode, splits
from proxytools.errors import InputError
from proxytools.metrics.bar import pearson
from proxytools.types import FeatureSet, Float, SpanDataset, Spans

Rows = NDArray[np.float32]


class BarProxy(BaseEstimator):
    """A scikit-learn classifier that judges each bar by its features alone.

    `fit` cross-fits inside the windows it is given: the probabilities held out there choose the
    decoder (and, for boosted trees, the number of rounds); the classifier is then refitted on all
    of them. Nothing is chosen on a window that was fitted.

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

    Attributes
    ----------
    held_out_ : (n, T) float32
        Inner held-out probabilities of the labelled training windows.
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
            There is no labelled window, or no bar of either class.
        """
        values, y, data = self._training(features, data, target)
        self.feature_names_ = features.names
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
        return pearson(self.held_out_, y)

    def predict(self, features: FeatureSet) -> NDArray[np.float32]:
        """(N, T) probability of lying in a span."""
        if features.names != self.feature_names_:
            raise InputError(
                f"features of {self.name}",
                got=f"{len(features.names)} columns starting with {features.names[:3]}",
                expected=f"the {len(self.feature_names_)} columns it was fitted on",
            )
        return self._score(self.model_, features.values)

    def detect(self, features: FeatureSet) -> Spans:
        """Spans, by the decoder chosen on inner held-out probabilities."""
        return self.decoder_.spans(self.predict(features))

    def _training(
        self, features: FeatureSet, data: SpanDataset, target: Float | None
    ) -> tuple[Rows, Rows, SpanDataset]:
        """(n, T, F) features and (n, T) targets of the windows to learn from, and those windows."""
        if target is None:
            seen = np.flatnonzero(data.labelled)
            features, data = features.take(seen), data.take(seen)
            target = data.mask.astype(np.float32)
        _check_target(target)
        return features.values, np.asarray(target, np.float32), data

    def dump(self) -> bytes:
        """Return the classifier in the skops format, which holds no code."""
        import skops.io

        weights: bytes = skops.io.dumps(self.model_)
        return weights

    def restore(self, weights: bytes, where: str, n_features: int) -> None:
        """Take the classifier from skops, if it holds nothing but scikit-learn's own types.

        Raises
        ------
        InputError
            It is damaged, holds a type that is not trusted, or reads another number of columns.
        """
        import skops.io
        from skops.io.exceptions import UntrustedTypesFoundException

        try:
            self.model_ = skops.io.loads(weights, trusted=[])
        except UntrustedTypesFoundException as error:
            raise damaged(where, error) from None
        except (BadZipFile, ValueError, TypeError, KeyError, AttributeError, OSError) as error:
            raise damaged(where, error) from None
        check_width(where, getattr(self.model_, "n_features_in_", 0), n_features)

    def _choose(self, values: Rows, y: Rows, data: SpanDataset) -> list[Any]:
        """Cross-fit inside the training windows; choose the decoder on what was held out."""
        models = []
        self.held_out_ = np.zeros(y.shape, np.float32)  # (N, T)
        for fold in splits.folds(data, self.inner_folds, seed=self.seed):
            held_out = _rows(values[fold.test]), y[fold.test].ravel()
            model = self._train(_rows(values[fold.train]), y[fold.train].ravel(), held_out)
            self.held_out_[fold.test] = self._score(model, values[fold.test])
            models.append(model)
        self.decoder_ = decode.choose(self.held_out_, data.spans)
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
        weights = {} if np.all(weight == 1.0) else {"sample_weight": weight}
        return clone(self.classifier).fit(rows, y.astype(np.int64), **weights)

    def _prob(self, model: Any, rows: Rows) -> Float:
        """(n,) probability of the span class."""
        prob: Float = model.predict_proba(rows)[:, 1]
        return prob


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


def check_width(where: str, found: int, expected: int) -> None:
    """Refuse weights that read another number of columns than their model names."""
    if found != expected:
        raise InputError(where, got=f"a model of {found} columns", expected=f"{expected} columns")


def _check_target(target: Float) -> None:
    if not len(target):
        raise InputError(
            "fit", got="no labelled window", expected="at least one", fix="Mark some windows first"
        )
    if not 0 < target.mean() < 1:
        kind = "outside every span" if target.mean() == 0 else "inside a span"
        raise InputError(
            "fit", got=f"training windows whose bars all lie {kind}", expected="bars of both kinds"
        )
