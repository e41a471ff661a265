"""Boosted trees: LightGBM and XGBoost through their native interfaces.

Both learn from targets in [0, 1] directly. LightGBM's ``binary`` objective silently learns
nonsense from fractional labels; ``cross_entropy`` is the same loss done right, so it is always
used.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from proxytools.proxies.bars import BarProxy, Rows, damaged
from proxytools.proxies.devices import lightgbm_device, xgboost_device
from proxytools.proxies.trees import UNREADABLE, checked_lightgbm, checked_xgboost
from proxytools.types import Float, SpanDataset


class BoostedProxy(BarProxy, ABC):
    """Gradient-boosted trees per bar, with early stopping inside the training windows.

    Each inner fold grows trees until its held-out log loss has not improved for ``patience``
    rounds; the mean of their best round counts is what the refit on all windows uses.

    Parameters
    ----------
    params : dict, optional
        Overrides of the library's own parameters.
    name, feature_set, positive_weight, inner_folds, seed
        As in `BarProxy`.
    rounds : int
        The most trees; with ``inner_folds=0`` exactly that many.
    patience : int
        Rounds without improvement before an inner fold stops.
    device : {"cpu", "cuda", "opencl", "auto"}
        XGBoost runs on CUDA, LightGBM on OpenCL (its published wheel has no CUDA). ``auto`` is
        CUDA where XGBoost finds it, else the CPU. A device that is asked for and absent is an
        error.
    threads : int
        0 for all cores.
    """

    library: str
    defaults: dict[str, Any]

    def __init__(
        self,
        params: dict[str, Any] | None = None,
        name: str | None = None,
        feature_set: str = "full",
        rounds: int = 2000,
        patience: int = 30,
        positive_weight: float = 1.0,
        inner_folds: int = 3,
        seed: int = 0,
        device: str = "cpu",
        threads: int = 0,
    ) -> None:
        self.params = params
        self.name = self.library if name is None else name
        self.feature_set = feature_set
        self.rounds = rounds
        self.patience = patience
        self.positive_weight = positive_weight
        self.inner_folds = inner_folds
        self.seed = seed
        self.device = device
        self.threads = threads

    def _choose(self, values: Rows, y: Rows, data: SpanDataset) -> list[Any]:
        models = super()._choose(values, y, data)
        self.rounds_ = max(1, round(float(np.mean([self._best(model) for model in models]))))
        return models

    def _train(self, rows: Rows, y: Rows, held_out: tuple[Rows, Rows] | None = None) -> Any:
        """Grow trees; where bars are held out, until their loss stops improving."""
        if held_out:
            return self._boost(self._weighted(rows, y), self.rounds, self._weighted(*held_out))
        rounds = self.rounds_ if self.inner_folds else self.rounds
        return self._boost(self._weighted(rows, y), rounds, None)

    def _weighted(self, rows: Rows, y: Rows) -> dict[str, Any]:
        """Rows, targets and weights such that each bar's loss is w*y*log p + (1-y)*log(1-p)."""
        if self.positive_weight == 1.0:
            return {"data": rows, "label": y}
        weight = 1.0 + y * (self.positive_weight - 1.0)
        return {"data": rows, "label": y * self.positive_weight / weight, "weight": weight}

    @abstractmethod
    def _boost(self, train: dict[str, Any], rounds: int, held_out: dict[str, Any] | None) -> Any:
        """Return a library's model of so many rounds."""

    @abstractmethod
    def _best(self, model: Any) -> int:
        """Return the rounds at which the held-out loss was lowest."""


class LightGBMProxy(BoostedProxy):
    """LightGBM per bar (Ke et al. 2017); deterministic for a seed and a number of threads."""

    library = "lightgbm"
    weights_file = "lightgbm.txt"
    defaults = {  # noqa: RUF012  (never mutated: `_boost` builds a new dict from it)
        "objective": "cross_entropy",
        "learning_rate": 0.04,
        "num_leaves": 7,
        "min_data_in_leaf": 150,
        "feature_fraction": 0.3,
        "bagging_fraction": 0.7,
        "bagging_freq": 1,
        "lambda_l2": 20.0,
        "verbosity": -1,
        "deterministic": True,
        "force_row_wise": True,
    }

    def _boost(self, train: dict[str, Any], rounds: int, held_out: dict[str, Any] | None) -> Any:
        import lightgbm

        params = {
            **self.defaults,
            "seed": self.seed,
            "num_threads": self.threads,
            "device_type": lightgbm_device(self.device),
            **(self.params or {}),
        }
        data = lightgbm.Dataset(**train, params=params)
        if held_out is None:
            return lightgbm.train(params, data, rounds)
        stop = lightgbm.early_stopping(self.patience, verbose=False)
        return lightgbm.train(
            params, data, rounds, [data.create_valid(**held_out)], callbacks=[stop]
        )

    def _best(self, model: Any) -> int:
        return int(model.best_iteration)

    def _prob(self, model: Any, rows: Rows) -> Float:
        prob: Float = model.predict(rows, num_threads=self.threads)
        return prob

    def dump(self) -> bytes:
        """Return the model as LightGBM text."""
        text: str = self.model_.model_to_string()
        return text.encode()

    def restore(self, weights: bytes, where: str) -> None:
        """Take a model of ``feature_names_`` from LightGBM text.

        Raises
        ------
        InputError
            It is damaged, or reads another number of columns.
        """
        import lightgbm

        try:
            text = checked_lightgbm(weights.decode(), len(self.feature_names_))
            self.model_ = lightgbm.Booster(model_str=text)
        except (*UNREADABLE, lightgbm.basic.LightGBMError) as error:
            raise damaged(where, error) from None


class XGBoostProxy(BoostedProxy):
    """XGBoost per bar (Chen and Guestrin 2016), histogram trees."""

    library = "xgboost"
    weights_file = "xgboost.json"
    defaults = {  # noqa: RUF012  (never mutated: `_boost` builds a new dict from it)
        "objective": "binary:logistic",
        "eval_metric": "logloss",
        "tree_method": "hist",
        "learning_rate": 0.05,
        "max_depth": 4,
        "min_child_weight": 8.0,
        "colsample_bytree": 0.4,
        "subsample": 0.7,
        "reg_lambda": 5.0,
        "verbosity": 0,
    }

    def _boost(self, train: dict[str, Any], rounds: int, held_out: dict[str, Any] | None) -> Any:
        import xgboost

        params = {
            **self.defaults,
            "seed": self.seed,
            "nthread": self.threads,
            "device": xgboost_device(self.device),
            **(self.params or {}),
        }
        data = xgboost.QuantileDMatrix(**train, nthread=self.threads)
        if held_out is None:
            return xgboost.train(params, data, num_boost_round=rounds)
        stop = xgboost.callback.EarlyStopping(rounds=self.patience, save_best=True)
        check = xgboost.QuantileDMatrix(**held_out, ref=data, nthread=self.threads)
        return xgboost.train(
            params,
            data,
            num_boost_round=rounds,
            evals=[(check, "held_out")],
            callbacks=[stop],
            verbose_eval=False,
        )

    def _best(self, model: Any) -> int:
        return int(model.best_iteration) + 1

    def _prob(self, model: Any, rows: Rows) -> Float:
        prob: Float = model.inplace_predict(rows)
        return prob

    def dump(self) -> bytes:
        """Return the model as XGBoost JSON."""
        return bytes(self.model_.save_raw("json"))

    def restore(self, weights: bytes, where: str) -> None:
        """Take a model of ``feature_names_`` from XGBoost JSON.

        Raises
        ------
        InputError
            It is damaged, or reads another number of columns.
        """
        import xgboost

        self.model_ = xgboost.Booster({"device": xgboost_device(self.device), "verbosity": 0})
        try:
            self.model_.load_model(bytearray(checked_xgboost(weights, len(self.feature_names_))))
        except (*UNREADABLE, xgboost.core.XGBoostError) as error:
            raise damaged(where, error) from None
