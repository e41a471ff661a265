from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import clone
from threadpoolctl import threadpool_limits

from proxytools import evaluate, splits
from proxytools.errors import InputError
from proxytools.proxies import NAMES
from proxytools.proxies.bars import BarProxy
from proxytools.proxies.search import SPACES, Searched
from proxytools.types import Spans
from tests import small


@pytest.fixture(autouse=True)
def _one_thread():
    with threadpool_limits(1, "openmp"):
        yield


def settings_of(proxy):
    return repr(proxy.params if hasattr(proxy, "params") else proxy.classifier)


@pytest.mark.parametrize("name", SPACES)
def test_a_search_returns_a_fitted_proxy_of_its_kind(name):
    data = small.planted()
    own = small.computed(data, name)
    plain = small.proxy(name)
    before = repr(plain.get_params())
    search = Searched(plain, trials=3)
    found = search.fit(own, data)
    assert type(found) is type(plain)
    assert (found.name, found.feature_set) == (name, "directionless")
    assert found.predict(own).shape == (len(data), data.n_bars)
    assert settings_of(found) != settings_of(plain)
    assert repr(plain.get_params()) == before
    again = clone(search).fit(own, data)
    assert settings_of(again) == settings_of(found)
    np.testing.assert_array_equal(again.predict(own), found.predict(own))
    other = Searched(small.proxy(name, seed=1), trials=3).fit(own, data)
    assert settings_of(other) != settings_of(found)


def test_the_best_trial_is_taken(monkeypatch):
    data = small.planted()
    own = small.computed(data, "logistic")
    tried = {}
    score = BarProxy.inner_score

    def noted(self, *arguments):
        found = score(self, *arguments)
        tried[self.classifier.get_params()["logisticregression__C"]] = found
        return found

    monkeypatch.setattr(BarProxy, "inner_score", noted)
    best = Searched(small.proxy("logistic"), trials=6).fit(own, data)
    assert len(tried) == 6
    chosen = best.classifier.get_params()["logisticregression__C"]
    assert tried[chosen] == max(tried.values())


def test_fixed_params_outlive_the_search():
    data = small.planted()
    own = small.computed(data, "lightgbm")
    proxy = small.proxy("lightgbm", params={"max_bin": 15, "learning_rate": 9.0})
    found = Searched(proxy, trials=2).fit(own, data)
    assert found.params["max_bin"] == 15
    assert 0.02 <= found.params["learning_rate"] <= 0.1


def test_a_search_never_sees_the_outer_test_windows(monkeypatch):
    data = small.planted()
    own = small.computed(data, "lightgbm")
    fold = splits.folds(data, 3, seed=0)[0]
    rng = np.random.default_rng(0)
    noise = own.values.copy()
    noise[fold.test] = rng.normal(size=noise[fold.test].shape)
    marks = [[] for _ in range(len(data))]
    for window, start, stop in zip(
        data.spans.window, data.spans.start, data.spans.stop, strict=True
    ):
        marks[window].append((start, stop))
    for window in fold.test:
        start = int(rng.integers(50))
        marks[window] = [(start, start + 5)]
    fits = []
    fit = BarProxy.fit
    monkeypatch.setattr(BarProxy, "fit", lambda self, *a: fits.append(fit(self, *a)) or self)
    search = Searched(small.proxy("lightgbm"), trials=3)
    for values, spans in ((own.values, data.spans), (noise, Spans.of(marks))):
        evaluate.held_out(
            search, replace(data, spans=spans), replace(own, values=values), [fold]
        )  # fmt: skip
    clean, noisy = fits
    assert clean.params == noisy.params
    assert clean.rounds_ == noisy.rounds_
    assert clean.decoder_ == noisy.decoder_
    np.testing.assert_array_equal(clean.predict(own), noisy.predict(own))


def test_soft_targets_are_searched_on():
    data = small.planted()
    own = small.computed(data, "lightgbm")
    target = 0.1 + 0.5 * data.mask
    found = Searched(small.proxy("lightgbm"), trials=2).fit(own, data, target)
    assert abs(found.predict(own).mean() - target.mean()) < 0.03


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(SPACES)))
def test_a_proxy_without_a_space_is_refused(name):
    data = small.planted()
    with pytest.raises(InputError, match="search"):
        Searched(small.proxy(name)).fit(small.computed(data, name), data)


def test_every_trial_is_told_of(capfd):
    data, told = small.planted(), []
    own = small.computed(data, "logistic")
    search = Searched(small.proxy("logistic"), trials=2, on_trial=lambda: told.append(1))
    clone(search).fit(own, data)
    assert len(told) == 2
    assert capfd.readouterr() == ("", "")
