"""The linear-formula proxy and its grid search.

``prob = clip((ret * w_ret + streak * w_streak) / (vol + eps), 0, 1)`` for every bar: a proxy that a
person can read. The ``classic`` form is signed, so every downward span scores 0; the
``directionless`` form reads the size of a move instead of its direction.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from proxytools.errors import InputError
from proxytools.proxies.scoring import scores

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Form:
    """What the three terms of the formula are: columns of a feature set, and the streak's unit."""

    feature_set: str
    streak_bars: float
    equation: str
    return_weights: tuple[float, ...]
    streak_weights: tuple[float, ...]
    vol_epsilons: tuple[float, ...]


FORMS = {
    "classic": Form(
        "classic",
        10.0,
        "clip((cum_return_5*w_ret + direction_streak/10*w_streak) / (volatility + eps), 0, 1)",
        (0.5, 1.0, 2.0),
        (0.05, 0.1, 0.2),
        (0.001, 0.01, 0.1),
    ),
}


def grid(form: str = "directionless") -> Floats:
    """(27, 3) parameter sets ``(return_weight, streak_weight, vol_epsilon)`` of a form.

    Examples
    --------
    >>> grid("classic").shape
    (27, 3)
    """
    chosen = _form(form)
    return np.array(
        list(product(chosen.return_weights, chosen.streak_weights, chosen.vol_epsilons))
    )


def _form(name: str) -> Form:
    if name not in FORMS:
        raise InputError("form", got=repr(name), expected=f"one of {', '.join(FORMS)}")
    return FORMS[name]


class LinearFormula(ClassifierMixin, BaseEstimator):
    """The formula with given parameters, as a scikit-learn classifier of bars.

    Parameters
    ----------
    return_weight, streak_weight : float
        Weights of the return (move) term and of the streak term.
    vol_epsilon : float
        Added to the volatility in the denominator, in its unit; positive.
    form : {"directionless", "classic"}
        What the three columns are; see `FORMS`.

    Notes
    -----
    ``X`` is (n, 3): return, streak in bars, volatility, in the order of the form's feature set.
    The probability is that of the larger of the two classes.

    Examples
    --------
    >>> X = np.array([[0.2, 5.0, 0.1], [0.0, 1.0, 0.9]])
    >>> formula = LinearFormula(1.0, 0.1, 0.1, form="classic").fit(X, [1, 0])
    >>> formula.predict_proba(X)[:, 1].round(3)
    array([1.  , 0.01])
    """

    def __init__(
        self,
        return_weight: float = 1.0,
        streak_weight: float = 0.1,
        vol_epsilon: float = 0.01,
        form: str = "directionless",
    ) -> None:
        self.return_weight = return_weight
        self.streak_weight = streak_weight
        self.vol_epsilon = vol_epsilon
        self.form = form

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Check the data and note the classes; there is nothing to learn."""
        _form(self.form)
        _, self.classes_ = _checked(self, X, y)
        return self

    def predict_proba(self, X: ArrayLike) -> Floats:
        """(n, 2) probability of each class."""
        check_is_fitted(self)
        p = self.prob(*validate_data(self, X, reset=False, dtype=np.float64).T)
        if len(self.classes_) == 1:
            return np.ones((len(p), 1))
        return np.column_stack([1.0 - p, p])

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """(n,) the likelier class."""
        check_is_fitted(self)
        likelier: NDArray[Any] = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return likelier

    def prob(self, ret: Floats, streak: Floats, vol: Floats) -> Floats:
        """Value of the formula, in [0, 1], for arrays of any one shape."""
        streak_unit = _form(self.form).streak_bars
        score = ret * self.return_weight + streak / streak_unit * self.streak_weight
        prob: Floats = np.clip(score / (vol + self.vol_epsilon), 0.0, 1.0)
        return prob

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.classifier_tags.poor_score = True  # three fixed numbers fit no arbitrary problem
        return tags


class FormulaSearch(ClassifierMixin, BaseEstimator):
    """Choose the formula's parameters by Pearson correlation with the marks, in one fused pass.

    Parameters
    ----------
    form : {"directionless", "classic"}
    parameters : (K, 3) array-like, optional
        Sets ``(return_weight, streak_weight, vol_epsilon)``; the form's own 27 where not given.
    device : {"cpu", "cuda"}

    Attributes
    ----------
    best_ : LinearFormula
    scores_ : (K,) Pearson r of every set on the bars given to `fit`; 0 for a constant formula.

    Notes
    -----
    The score of the winner is an in-sample figure, chosen among ``K``: report the correlation on
    other windows (`proxytools.evaluate.cross_fit` does).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> X = rng.random((500, 3))
    >>> search = FormulaSearch("classic").fit(X, X[:, 0] > 0.8)
    >>> search.best_.return_weight, search.scores_.shape
    (2.0, (27,))
    """

    def __init__(
        self,
        form: str = "directionless",
        parameters: ArrayLike | None = None,
        device: str = "cpu",
    ) -> None:
        self.form = form
        self.parameters = parameters
        self.device = device

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:
        """Score every parameter set on these bars and keep the best."""
        bars, self.classes_ = _checked(self, X, y)
        return self.search(bars, np.asarray(y) == self.classes_[-1])

    def search(self, X: Floats, target: ArrayLike) -> Self:
        """Like `fit`, for targets (n,) anywhere in [0, 1]."""
        sets = grid(self.form) if self.parameters is None else np.asarray(self.parameters, float)
        if sets.ndim != 2 or sets.shape[1] != 3 or not len(sets):
            raise InputError("parameters", got=f"shape {sets.shape}", expected="(K, 3), K >= 1")
        self.scores_ = scores(
            X, target, sets, streak_bars=_form(self.form).streak_bars, device=self.device
        )
        w_ret, w_streak, eps = sets[self.scores_.argmax()].tolist()
        self.best_ = LinearFormula(w_ret, w_streak, eps, self.form)
        self.best_.classes_ = getattr(self, "classes_", np.array([0, 1]))
        self.best_.n_features_in_ = 3
        return self

    def predict_proba(self, X: ArrayLike) -> Floats:
        """(n, 2) probability of each class by the best parameter set."""
        check_is_fitted(self, "best_")
        return self.best_.predict_proba(validate_data(self, X, reset=False, dtype=np.float64))

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """(n,) the likelier class by the best parameter set."""
        likelier: NDArray[Any] = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return likelier

    __sklearn_tags__ = LinearFormula.__sklearn_tags__


def _checked(estimator: BaseEstimator, X: ArrayLike, y: ArrayLike) -> tuple[Floats, NDArray[Any]]:
    """Validate bars and marks the way scikit-learn's estimators do."""
    bars, marks = validate_data(estimator, X, y, dtype=np.float64)
    check_classification_targets(marks)
    classes = np.unique(marks)
    if len(classes) > 2:
        raise ValueError(
            "Only binary classification is supported. The type of the target is multiclass: "
            f"{len(classes)} classes."
        )
    if bars.shape[1] != 3:
        raise ValueError(
            f"X has {bars.shape[1]} features, the formula reads 3: return, streak, volatility."
        )
    return bars, classes
