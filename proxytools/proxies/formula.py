"""The linear-formula proxy and its grid search.

``prob = clip((ret * w_ret + streak * w_streak) / (vol + eps), 0, 1)`` for every bar: a proxy that a
person can read. The ``classic`` form is signed, so every downward span scores 0; the
``directionless`` form reads the size of a move instead of its direction.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import Any, Self

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from proxytools.errors import DeviceError, InputError

Floats = NDArray[np.float64]

_BARS_A_BLOCK = 1024  # three columns and two scratch rows of a block stay in the first-level cache
_MOST_CHUNKS = 64  # bounds the partial sums; fixed, so the result never depends on the threads


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
        self.scores_ = scores(X, target, sets, form=self.form, device=self.device)
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


def scores(
    X: Floats, target: ArrayLike, sets: Floats, *, form: str = "directionless", device: str = "cpu"
) -> Floats:
    """(K,) Pearson r between each parameter set's probability and the target, over all bars.

    Parameters
    ----------
    X : (n, 3)
        Return, streak in bars, volatility.
    target : (n,) in [0, 1]
    sets : (K, 3)
        ``(return_weight, streak_weight, vol_epsilon)``
    device : {"cpu", "cuda"}

    Raises
    ------
    DeviceError
        CUDA was asked for and is not there.
    """
    ret, streak, vol = np.ascontiguousarray(np.asarray(X, np.float64).T)
    streak = streak / _form(form).streak_bars
    y = np.ascontiguousarray(target, np.float64)
    sets = np.ascontiguousarray(sets, np.float64)
    sums = _cuda_sums if device == "cuda" else _cpu_sums
    p, pp, py = sums(ret, streak, vol, y, sets).T
    n = len(y)
    covariance = py - p * y.sum() / n
    spread = (pp - p * p / n) * (y @ y - y.sum() ** 2 / n)
    # A constant formula tells nothing: its spread is rounding noise around zero, its r is 0.
    varies = spread > 1e-12 * n * np.maximum(pp, 1e-300)
    out = np.zeros(len(sets))
    np.divide(covariance, np.sqrt(np.abs(spread)), where=varies, out=out)
    return out


def _cpu_sums(ret: Floats, streak: Floats, vol: Floats, y: Floats, sets: Floats) -> Floats:
    n_chunks = min(_MOST_CHUNKS, -(-len(y) // _BARS_A_BLOCK))
    sums: Floats = _partial_sums(ret, streak, vol, y, sets, n_chunks).sum(axis=0)
    return sums


@numba.njit(
    cache=True,
    parallel=True,
    nogil=True,
    fastmath={"reassoc", "contract", "nsz", "nnan", "ninf"},
)
def _partial_sums(
    ret: Floats, streak: Floats, vol: Floats, y: Floats, sets: Floats, n_chunks: int
) -> Floats:
    """(n_chunks, K, 3) sums of p, p*p and p*y: each block of bars is read once for all sets."""
    n, n_sets = len(y), len(sets)
    out = np.zeros((n_chunks, n_sets, 3))
    for chunk in numba.prange(n_chunks):
        inverse = np.empty(_BARS_A_BLOCK)
        for begin in range(chunk * n // n_chunks, (chunk + 1) * n // n_chunks, _BARS_A_BLOCK):
            end = min(begin + _BARS_A_BLOCK, (chunk + 1) * n // n_chunks)
            r, s, v, t = ret[begin:end], streak[begin:end], vol[begin:end], y[begin:end]
            for k in range(n_sets):
                w_ret, w_streak, eps = sets[k]
                if k == 0 or eps != sets[k - 1, 2]:
                    for i in range(end - begin):
                        inverse[i] = 1.0 / (v[i] + eps)
                p1 = p2 = py = 0.0
                for i in range(end - begin):
                    p = (r[i] * w_ret + s[i] * w_streak) * inverse[i]
                    p = min(max(p, 0.0), 1.0)
                    p1 += p
                    p2 += p * p
                    py += p * t[i]
                out[chunk, k, 0] += p1
                out[chunk, k, 1] += p2
                out[chunk, k, 2] += py
    return out


def _cuda_sums(ret: Floats, streak: Floats, vol: Floats, y: Floats, sets: Floats) -> Floats:
    import torch

    if not torch.cuda.is_available():
        raise DeviceError(
            "device", got="cuda", expected="a CUDA device visible to torch", fix="Use --device cpu"
        )
    return torch_sums(ret, streak, vol, y, sets, device="cuda")


def torch_sums(
    ret: Floats, streak: Floats, vol: Floats, y: Floats, sets: Floats, *, device: str
) -> Floats:
    """(K, 3) sums of p, p*p and p*y on a torch device, a few sets at a time."""
    import torch

    r, s, v, t = (torch.as_tensor(a, device=device) for a in (ret, streak, vol, y))  # (n,)
    out = torch.empty((len(sets), 3), dtype=torch.float64, device=device)  # (K, 3)
    step = max(1, 2**27 // max(1, len(y)))  # at most a gibibyte for each temporary
    for first in range(0, len(sets), step):
        w = torch.as_tensor(sets[first : first + step], device=device).T[:, :, None]  # (3, k, 1)
        p = ((r * w[0] + s * w[1]) / (v + w[2])).clamp_(0.0, 1.0)  # (k, n)
        out[first : first + step] = torch.stack([p.sum(1), (p * p).sum(1), p @ t], dim=1)
    result: Floats = out.cpu().numpy()
    return result
