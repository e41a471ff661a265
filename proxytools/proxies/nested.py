"""Classifiers that hold classifiers: scikit-learn's pipelines and searches."""

from __future__ import annotations

from typing import Any

from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import Pipeline


def weight_name(model: Any) -> str:
    """Return the name under which the `fit` of a classifier takes weights.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> weight_name(make_pipeline(LogisticRegression()))
    'logisticregression__sample_weight'
    """
    if isinstance(model, Pipeline):
        step, last = model.steps[-1]
        return f"{step}__{weight_name(last)}"
    if isinstance(model, GridSearchCV | RandomizedSearchCV):
        return weight_name(model.estimator)
    return "sample_weight"


def predictor(model: Any) -> Any:
    """Return what of a fitted classifier predicts, and does so in one thread.

    Of a search that is the best model; what was tried beside it need not be saved. With more
    threads the votes of a forest would add up in the order in which they finish.
    """
    model = _chosen(model)
    jobs = [name for name, value in model.get_params().items() if name.endswith("n_jobs") and value]
    return model.set_params(**dict.fromkeys(jobs, 1))


def _chosen(model: Any) -> Any:
    if isinstance(model, GridSearchCV | RandomizedSearchCV):
        return _chosen(model.best_estimator_)
    if isinstance(model, Pipeline):
        step, last = model.steps[-1]
        model.steps[-1] = step, _chosen(last)
    return model
