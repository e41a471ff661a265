"""Small proxies and data: the settings that keep a test fast, in one place."""

from dataclasses import replace
from functools import cache

import numpy as np

from proxytools import features, synthetic
from proxytools.proxies import make
from proxytools.proxies.reference import Constant, PositionPrior, Random
from proxytools.types import Spans

CLASSIFIERS = {
    "logistic": {},
    "random-forest": {"n_estimators": 20, "min_samples_leaf": 10},
    "hist-gradient-boosting": {"max_iter": 25, "min_samples_leaf": 20},
}
REFERENCES = {"constant": Constant, "random": Random, "position-prior": PositionPrior}


def proxy(name, seed=0, **settings):
    """A proxy of `proxies.NAMES` or a reference, cut down to be fitted in a tenth of a second."""
    if name in REFERENCES:
        return REFERENCES[name]()
    made = make(name, features="directionless", seed=seed, threads=1).set_params(inner_folds=2)
    if name in CLASSIFIERS:
        made.classifier.set_params(**CLASSIFIERS[name])
    if name in ("lightgbm", "xgboost"):
        made.set_params(rounds=30, patience=5)
    return made.set_params(**settings)


@cache
def planted(n_windows=30, preset="easy", seed=3, n_bars=60):
    return synthetic.planted(n_windows, preset=preset, seed=seed, n_bars=n_bars).data


def computed(data, name):
    return features.compute(data.windows.ohlc, proxy(name).feature_set)


def part_labelled(data, n_labelled):
    """The same windows, of which only the first ``n_labelled`` were looked at."""
    seen, spans = np.arange(len(data)) < n_labelled, data.spans
    kept = spans.window < n_labelled
    spans = Spans(spans.window[kept], spans.start[kept], spans.stop[kept], len(data))
    return replace(data, spans=spans, labelled=seen)
