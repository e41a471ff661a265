"""Proxies by the names the commands use."""

from __future__ import annotations

import difflib
from collections.abc import Callable

from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from proxytools.errors import DeviceError, InputError
from proxytools.proxies.bars import BarProxy
from proxytools.proxies.boosting import LightGBMProxy, XGBoostProxy
from proxytools.proxies.devices import xgboost_device
from proxytools.proxies.linear import FormulaProxy

NAMES = (
    "formula",
    "formula-classic",
    "logistic",
    "random-forest",
    "hist-gradient-boosting",
    "lightgbm",
    "xgboost",
)


def make(
    name: str, *, features: str = "full", seed: int = 0, device: str = "cpu", threads: int = 0
) -> BarProxy:
    """Build a proxy by name, with defaults for 100 to 1,000 windows.

    Parameters
    ----------
    name : str
        One of `NAMES`.
    features : str
        Feature set of every proxy but the formulas, which bring their own.
    seed : int
    device : {"cpu", "cuda", "opencl", "auto"}
    threads : int
        0 for all cores.

    Raises
    ------
    InputError
        No proxy has that name.
    DeviceError
        The proxy cannot run on that device.

    Examples
    --------
    >>> make("lightgbm", seed=3).seed
    3
    """
    if name in ("formula", "formula-classic"):
        form = "classic" if name == "formula-classic" else "directionless"
        return FormulaProxy(form, name=name, seed=seed, device=_resolve(name, device, "cuda"))
    if name == "lightgbm":
        device = _resolve(name, device, "cuda", "opencl")
        return LightGBMProxy(feature_set=features, seed=seed, device=device, threads=threads)
    if name == "xgboost":
        device = xgboost_device(device)
        return XGBoostProxy(feature_set=features, seed=seed, device=device, threads=threads)
    if name not in _CLASSIFIERS:
        near = difflib.get_close_matches(name, NAMES, 1)
        raise InputError(
            "model",
            got=repr(name),
            expected=f"one of {', '.join(NAMES)}",
            fix=f"Did you mean {near[0]}" if near else "",
        )
    _resolve(name, device)
    return BarProxy(_CLASSIFIERS[name](seed, threads), name, features, seed=seed)


def _resolve(name: str, device: str, *others: str) -> str:
    """Return the device of a proxy that ``auto`` leaves on the CPU."""
    if device not in ("cpu", "auto", *others):
        raise DeviceError(
            f"device for {name}", got=device, expected=" or ".join(("cpu", *others, "auto"))
        )
    return "cpu" if device == "auto" else device


def _logistic(seed: int, threads: int) -> object:
    return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))


def _forest(seed: int, threads: int) -> object:
    # Bars of one window are much alike: a tree loses little by seeing a quarter of them.
    return RandomForestClassifier(
        100,
        max_samples=0.25,
        min_samples_leaf=5,
        max_features="sqrt",
        n_jobs=threads or -1,
        random_state=seed,
    )


def _histogram(seed: int, threads: int) -> object:
    return HistGradientBoostingClassifier(
        learning_rate=0.05,
        max_iter=100,
        max_leaf_nodes=15,
        min_samples_leaf=60,
        l2_regularization=5.0,
        max_features=0.4,
        early_stopping=False,
        random_state=seed,
    )


_CLASSIFIERS: dict[str, Callable[[int, int], object]] = {
    "logistic": _logistic,
    "random-forest": _forest,
    "hist-gradient-boosting": _histogram,
}
