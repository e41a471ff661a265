"""The formula and its search as a proxy of windows."""

from __future__ import annotations

import json
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from proxytools import decode
from proxytools.proxies.bars import BarProxy, Rows, damaged
from proxytools.proxies.formula import (
    FORMS,
    PARAMETERS,
    FormulaSearch,
    LinearFormula,
    check_sets,
    form_named,
)
from proxytools.proxies.trees import UNREADABLE
from proxytools.types import FeatureSet, Float, SpanDataset


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
        """Name of the set that holds the form's three columns."""
        return form_named(self.form).feature_set

    def fit(self, features: FeatureSet, data: SpanDataset, target: Float | None = None) -> Self:
        """Search on the windows to learn from; then choose the decoder for the winner.

        Winners of inner folds can have another scale, on which a threshold of theirs finds nothing.
        One of 27 formulas has learnt too little by heart to mind that it has seen these windows.
        """
        super().fit(features, data, target)
        values, _, seen = self._training(features, data, target)
        marked = seen.labelled
        if self.inner_folds and len(seen.spans):
            own = self._score(self.model_, values[marked])
            self.decoder_ = decode.choose(own, seen.spans.take(marked))
        return self

    def _train(self, rows: Rows, y: Rows, held_out: tuple[Rows, Rows] | None = None) -> Any:
        search = FormulaSearch(self.form, self.parameters, self.device)
        return search.search(self._terms(rows), y).best_

    def _prob(self, model: Any, rows: Rows) -> Float:
        prob: Float = model.prob(*self._terms(rows).T)
        return prob

    def _terms(self, rows: Rows) -> NDArray[np.float64]:
        """(n, 3) return, streak and volatility."""
        columns = [self.feature_names_.index(name) for name in FORMS[self.form].columns]
        return rows[:, columns].astype(np.float64)

    def dump(self) -> bytes:
        """Return the formula's form and parameters as JSON."""
        return json.dumps(self.model_.get_params(), indent=2).encode()

    def restore(self, weights: bytes, where: str) -> None:
        """Take the formula from JSON.

        Raises
        ------
        InputError
            It is damaged, or of an unknown form.
        """
        try:
            params = json.loads(weights)
            self.form = str(params.pop("form"))
            numbers = {name: float(params.pop(name)) for name in list(params)}
            model = LinearFormula(**numbers, form=self.form)
            check_sets(np.array([[numbers[name] for name in PARAMETERS]]))
        except UNREADABLE as error:
            raise damaged(where, error) from None
        form_named(self.form)
        self.model_ = model

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
