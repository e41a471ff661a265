"""The linear-formula proxy and its grid search.

``prob = clip((ret * w_ret + streak * w_streak) / (vol + eps), 0, 1)`` for every bar: a proxy that a
person can read. The ``classic`` form is signed, so every downward span scores 0; the
``directionless`` form reads the size of a move instead of its direction.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
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
    """What the formula's three terms are, and the grid that is searched.

    ``columns`` of ``feature_set`` are the return (move), the streak in bars and the volatility;
    the streak enters in units of ``STREAK_BARS``.
    """

    feature_set: str
    columns: tuple[str, str, str]
    return_weights: tuple[float, ...]
    streak_weights: tuple[float, ...]
    vol_epsilons: tuple[float, ...]

    @property
    def equation(self) -> str:
        """The formula in the names of its columns."""
        ret, streak, vol = self.columns
        unit = f"{STREAK_BARS:g}"
        return f"clip(({ret}*w_ret + {streak}/{unit}*w_streak) / ({vol} + eps), 0, 1)"


STREAK_BARS = 10.0
PARAMETERS = ("return_weight", "streak_weight", "vol_epsilon")
FORMS = {
    "directionless": Form(
        "directionless",
        ("around_move_7", "run_length", "mean_range"),
        (0.05, 0.1, 0.2),  # a move is several mean ranges: larger weights clip most bars to 1
        (0.0, 0.01, 0.02),
        (0.001, 0.01, 0.1),
    ),
    "classic": Form(
        "classic",
        ("cum_return_5", "direction_streak", "volatility"),
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
    chosen = form_named(form)
    return np.array(
        list(product(chosen.return_weights, chosen.streak_weights, chosen.vol_epsilons))
    )


def form_named(name: str) -> Form:
    """Look a form up, or raise an `InputError`."""
    if name not in FORMS:
        raise InputError("form", got=repr(name), expected=f"one of {', '.join(FORMS)}")
    return FORMS[name]


class _BarClassifier(ClassifierMixin, BaseEstimator, ABC):
    """What the formula and its search share as scikit-learn classifiers."""

    classes_: NDArray[Any]

    @abstractmethod
    def predict_proba(self, X: ArrayLike) -> Floats:
        """(n, 2) probability of each class."""

    def predict(self, X: ArrayLike) -> NDArray[Any]:
        """(n,) the likelier class."""
        check_is_fitted(self)
        likelier: NDArray[Any] = self.classes_[self.predict_proba(X).argmax(axis=1)]
        return likelier

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.classifier_tags.poor_score = True  # three numbers fit no arbitrary problem
        return tags


class LinearFormula(_BarClassifier):
    """The formula with given parameters, as a scikit-learn classifier of bars.

    Parameters
    ----------
    return_weight, streak_weight : float
        Weights of the return (move) term and of the streak term.
    vol_epsilon : float
        Added to the volatility in the denominator, in its unit; positive.
    form : {"directionless", "classic"}
        What the three columns are, see `FORMS`; the formula is the same.

    Notes
    -----
    ``X`` is (n, 3 or more): return, streak in bars, volatility, the form's ``columns``; what
    stands after the third column is not read. The probability is that of the larger of the two
    classes.

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
        form_named(self.form)
        check_sets(np.array([[self.return_weight, self.streak_weight, self.vol_epsilon]]))
        _, _, self.classes_ = _checked(self, X, y)
        return self

    def predict_proba(self, X: ArrayLike) -> Floats:
        """(n, 2) probability of each class."""
        check_is_fitted(self)
        p = self.prob(*validate_data(self, X, reset=False, dtype=np.float64)[:, :3].T)
        if len(self.classes_) == 1:
            return np.ones((len(p), 1))
        return np.column_stack([1.0 - p, p])

    def prob(self, ret: Floats, streak: Floats, vol: Floats) -> Floats:
        """Value of the formula, in [0, 1], for arrays of any one shape."""
        score = ret * self.return_weight + streak / STREAK_BARS * self.streak_weight
        prob: Floats = np.clip(score / (vol + self.vol_epsilon), 0.0, 1.0)
        return prob


class FormulaSearch(_BarClassifier):
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
    (1.0, (27,))
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
        bars, marks, self.classes_ = _checked(self, X, y)
        self.search(bars[:, :3], marks == self.classes_[-1])
        self.best_.fit(bars, marks)
        return self

    def search(self, X: Floats, target: ArrayLike) -> Self:
        """Like `fit`, for targets (n,) anywhere in [0, 1] and exactly three columns."""
        form_named(self.form)
        sets = grid(self.form) if self.parameters is None else np.asarray(self.parameters, float)
        check_sets(sets)
        self.scores_ = scores(X, target, sets, streak_bars=STREAK_BARS, device=self.device)
        w_ret, w_streak, eps = sets[self.scores_.argmax()].tolist()
        self.best_ = LinearFormula(w_ret, w_streak, eps, self.form)
        return self

    def predict_proba(self, X: ArrayLike) -> Floats:
        """(n, 2) probability of each class by the best parameter set."""
        check_is_fitted(self)
        return self.best_.predict_proba(validate_data(self, X, reset=False, dtype=np.float64))


def check_sets(sets: Floats) -> None:
    """Refuse parameter sets for which the formula is no number."""
    if sets.ndim != 2 or sets.shape[1] != 3 or not len(sets):
        raise InputError("parameters", got=f"shape {sets.shape}", expected="(K, 3), K >= 1")
    bad = ~np.isfinite(sets).all(axis=1) | ~(sets[:, 2] > 0)
    if bad.any():
        raise InputError(
            f"parameters, row {bad.argmax()}",
            got=str(sets[bad.argmax()].tolist()),
            expected="finite weights and a vol_epsilon above 0",
        )


def _checked(
    estimator: BaseEstimator, X: ArrayLike, y: ArrayLike
) -> tuple[Floats, NDArray[Any], NDArray[Any]]:
    """Bars, marks and classes, validated the way scikit-learn's estimators do."""
    bars, marks = validate_data(estimator, X, y, dtype=np.float64, ensure_min_features=3)
    check_classification_targets(marks)
    classes = np.unique(marks)
    if len(classes) > 2:
        raise ValueError(
            "Only binary classification is supported. The type of the target is multiclass: "
            f"{len(classes)} classes."
        )
    return bars, marks, classes
