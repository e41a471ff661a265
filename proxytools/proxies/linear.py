"""The formula and its search as a proxy of windows."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from proxytools.errors import InputError
from proxytools.proxies.bars import BarProxy, Rows, check_width, damaged
from proxytools.proxies.formula import FORMS, FormulaSearch, LinearFormula
from proxytools.types import Float


class FormulaProxy(BarProxy):
    """The best formula of a parameter grid, chosen on the training windows alone.

    Parameters
    ----------
    form : {"directionless", "classic"}
    parameters : (K, 3) array-like, optional
        Parameter sets; the form's own 27 where not given.
    device : {"cpu", "cuda"}
    name, inner_folds, seed
        As in `BarProxy`.
    """

    def __init__(
        self,
        form: str = "directionless",
        parameters: ArrayLike | None = None,
        name: str = "formula",
        inner_folds: int = 3,
        seed: int = 0,
        device: str = "cpu",
    ) -> None:
        self.form = form
        self.parameters = parameters
        self.name = name
        self.inner_folds = inner_folds
        self.seed = seed
        self.device = device

    weights_file = "formula.json"
    positive_weight = 1.0
    searches = True  # a permutation null repeats the search

    @property
    def feature_set(self) -> str:  # type: ignore[override]
        """Name of the three columns the form reads."""
        return FORMS[self.form].feature_set

    def _train(self, rows: Rows, y: Rows, held_out: tuple[Rows, Rows] | None = None) -> Any:
        search = FormulaSearch(self.form, self.parameters, self.device)
        return search.search(rows.astype(np.float64), y).best_

    def _prob(self, model: Any, rows: Rows) -> Float:
        prob: Float = model.prob(*rows.astype(np.float64).T)
        return prob

    def dump(self) -> bytes:
        """Return the formula's form and parameters as JSON."""
        return json.dumps(self.model_.get_params(), indent=2).encode()

    def restore(self, weights: bytes, where: str, n_features: int) -> None:
        """Take the formula from JSON.

        Raises
        ------
        InputError
            It is damaged, or of an unknown form.
        """
        try:
            params = json.loads(weights)
            self.form = params.pop("form")
            self.model_ = LinearFormula(**{k: float(v) for k, v in params.items()}, form=self.form)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise damaged(where, error) from None
        if self.form not in FORMS:
            raise InputError(f"{where}, form", got=repr(self.form), expected=", ".join(FORMS))
        check_width(where, 3, n_features)

    def report(self, metrics: dict[str, Any], calibration: dict[str, float]) -> dict[str, Any]:
        """Return the content of ``proxy_formula.json``; the correlation in it is held out."""
        params = self.model_.get_params()
        return {
            "type": params.pop("form"),
            "equation": FORMS[self.form].equation,
            "parameters": params,
            "calibration_stats": calibration,
            "validation_correlation": metrics["pearson_r"],
        }
