"""Tuning by nested cross-validation: the search sees nothing but the training windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sklearn.base import BaseEstimator, clone

from proxytools.errors import InputError
from proxytools.proxies.bars import BarProxy
from proxytools.types import FeatureSet, Float, SpanDataset

Space = Callable[[Any], dict[str, Any]]


class Searched(BaseEstimator):
    """A proxy whose settings Optuna chooses inside every `fit`.

    Each trial is judged by the Pearson r of the inner held-out probabilities. Cross-fitting this
    proxy is therefore nested cross-validation: no outer test window is ever seen by the search.

    Parameters
    ----------
    proxy : BarProxy
        Any proxy with a search space; a formula has its own search.
    trials : int
    on_trial : callable, optional
        Called after each trial, to show progress.
    """

    def __init__(
        self, proxy: BarProxy, trials: int = 30, on_trial: Callable[[], None] = lambda: None
    ) -> None:
        self.proxy = proxy
        self.trials = trials
        self.on_trial = on_trial

    @property
    def name(self) -> str:
        """Name of the tuned proxy."""
        return self.proxy.name

    @property
    def feature_set(self) -> str:
        """Feature set of the tuned proxy."""
        return self.proxy.feature_set

    def fit(self, features: FeatureSet, data: SpanDataset, target: Float | None = None) -> BarProxy:
        """Search, and return the best proxy fitted on all of these windows.

        Raises
        ------
        InputError
            The proxy has no search space, or the data are unfit.
        """
        import optuna

        if self.name not in SPACES:
            raise InputError("search", got=repr(self.name), expected=f"one of {', '.join(SPACES)}")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(
            direction="maximize", sampler=optuna.samplers.TPESampler(seed=self.proxy.seed)
        )

        def objective(trial: Any) -> float:
            candidate = self._with(SPACES[self.proxy.name](trial))
            return candidate.inner_score(features, data, target)

        study.optimize(objective, self.trials, callbacks=[lambda study, trial: self.on_trial()])
        best = SPACES[self.proxy.name](optuna.trial.FixedTrial(study.best_params))
        return self._with(best).fit(features, data, target)

    def _with(self, settings: dict[str, Any]) -> BarProxy:
        proxy: BarProxy = clone(self.proxy)
        if hasattr(proxy, "params"):
            proxy.set_params(params={**(proxy.params or {}), **settings})
        else:
            proxy.classifier.set_params(**settings)
        return proxy


def _lightgbm(trial: Any) -> dict[str, Any]:
    return {
        "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.1, log=True),
        "num_leaves": trial.suggest_int("num_leaves", 4, 32, log=True),
        "min_data_in_leaf": trial.suggest_int("min_data_in_leaf", 20, 300, log=True),
        "feature_fraction": trial.suggest_float("feature_fraction", 0.1, 0.8),
        "lambda_l2": trial.suggest_float("lambda_l2", 0.1, 50.0, log=True),
    }


def _xgboost(trial: Any) -> dict[str, Any]:
    return {
        "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.1, log=True),
        "max_depth": trial.suggest_int("max_depth", 2, 6),
        "min_child_weight": trial.suggest_float("min_child_weight", 1.0, 50.0, log=True),
        "colsample_bytree": trial.suggest_float("colsample_bytree", 0.1, 0.8),
        "reg_lambda": trial.suggest_float("reg_lambda", 0.1, 50.0, log=True),
    }


def _histogram(trial: Any) -> dict[str, Any]:
    return {
        "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.1, log=True),
        "max_iter": trial.suggest_int("max_iter", 40, 300, log=True),
        "max_leaf_nodes": trial.suggest_int("max_leaf_nodes", 4, 32, log=True),
        "min_samples_leaf": trial.suggest_int("min_samples_leaf", 20, 300, log=True),
        "max_features": trial.suggest_float("max_features", 0.1, 0.8),
    }


def _forest(trial: Any) -> dict[str, Any]:
    return {
        "min_samples_leaf": trial.suggest_int("min_samples_leaf", 2, 50, log=True),
        "max_features": trial.suggest_float("max_features", 0.05, 0.5),
    }


def _logistic(trial: Any) -> dict[str, Any]:
    return {"logisticregression__C": trial.suggest_float("C", 1e-4, 10.0, log=True)}


SPACES: dict[str, Space] = {
    "lightgbm": _lightgbm,
    "xgboost": _xgboost,
    "hist-gradient-boosting": _histogram,
    "random-forest": _forest,
    "logistic": _logistic,
}
