"""Compare two proxies in your own tests: which is better, and is that more than chance?

pytest examples/compare.py
"""

import pytest

from proxytools import synthetic
from proxytools.evaluate import compare, cross_fit
from proxytools.proxies import make


@pytest.fixture(scope="module")
def data():
    """Windows to compare on: here planted; yours come from `proxytools.io.read`."""
    return synthetic.planted(40, preset="easy", seed=1, n_bars=60).data


@pytest.fixture(scope="module")
def logistic(data):
    return cross_fit(make("logistic"), data)


@pytest.fixture(scope="module")
def formula(data):
    return cross_fit(make("formula"), data)


def test_there_is_signal(logistic):
    low, _ = logistic.interval  # 95 %, resampled by group
    assert low > 0.15


def test_the_classifier_beats_the_formula(logistic, formula):
    gain = compare(logistic, formula)  # paired, on the same groups
    assert gain.low > 0


def test_every_window_was_held_out(logistic):
    assert logistic.soft.held_out.all()
