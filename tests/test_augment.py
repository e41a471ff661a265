"""Variants and children of windows."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from deep import augment
from deep.detector import SpanDetector
from deep.fitting import Fitting
from deep.kept import Kept
from deep.settings import Settings
from deep.soft import level_spans
from deep.train import Observer
from proxytools import features, splits, synthetic
from proxytools.errors import InputError
from proxytools.types import Spans
from tests import small

CPU = torch.device("cpu")
SPANS = Spans.of([[(0, 2), (2, 5)], [], [(6, 7)]])


def bars(seed=0, n=3, n_bars=7):
    return small.planted(n, n_bars=max(n_bars, 40), seed=seed).windows.ohlc[:, :n_bars]


def legal(ohlc):
    low, high = ohlc[..., 2], ohlc[..., 1]
    body = ohlc[..., [0, 3]]
    return (
        np.isfinite(ohlc).all()
        and (body >= low[..., None]).all()
        and (body <= high[..., None]).all()
    )


@pytest.mark.parametrize("change", [augment.backwards, augment.upside_down])
def test_twice_is_once(change):
    ohlc = bars()
    np.testing.assert_allclose(change(change(ohlc)), ohlc, rtol=1e-12)
    assert legal(change(ohlc))
    assert not np.array_equal(change(ohlc), ohlc)


def test_spans_backwards_twice_are_forwards():
    again = augment.spans_backwards(augment.spans_backwards(SPANS, 7), 7)
    np.testing.assert_array_equal(again.start, SPANS.start)
    np.testing.assert_array_equal(again.stop, SPANS.stop)
    back = augment.spans_backwards(SPANS, 7)
    np.testing.assert_array_equal(back.mask(7), SPANS.mask(7)[:, ::-1])


def test_upside_down_turns_every_direction():
    data = small.planted(5)
    down = augment.upside_down(data.windows.ohlc)
    flipped = np.diff(down[..., 3]) + np.diff(data.windows.ohlc[..., 3])
    np.testing.assert_allclose(flipped, 0, atol=1e-9)
    own, other = (features.compute(x, "directionless").values for x in (data.windows.ohlc, down))
    np.testing.assert_allclose(own, other, atol=1e-5)


def test_jitter_is_small_legal_and_seeded():
    ohlc = bars(n_bars=40)
    noisy = augment.jittered(ohlc, 0.01, seed=3)
    assert legal(noisy)
    extent = np.ptp(ohlc.reshape(3, -1), axis=1)
    moved = (noisy - ohlc)[..., [0, 3]] / extent[:, None, None]
    assert 0.008 < moved.std() < 0.012
    np.testing.assert_array_equal(noisy, augment.jittered(ohlc, 0.01, seed=3))
    assert not np.array_equal(noisy, augment.jittered(ohlc, 0.01, seed=4))


def test_flat_windows_stay_flat():
    flat = np.full((2, 5, 4), 7.0)
    for change in (augment.backwards, augment.upside_down, lambda x: augment.jittered(x, 0.1, 0)):
        np.testing.assert_array_equal(change(flat), flat)


@pytest.mark.parametrize(("n_bars", "stride"), [(40, 5), (60, 1), (7, 13)])
def test_children_equal_slices(n_bars, stride):
    data = synthetic.planted(4, preset="easy", seed=0, n_bars=60, layout="several").data
    cut = augment.children(data, n_bars, stride)
    mask, child = data.mask, 0
    soft = augment.children_of(mask.astype(np.float32), n_bars, stride)
    for w in range(len(data)):
        for first in range(0, 60 - n_bars + 1, stride):
            part = slice(first, first + n_bars)
            np.testing.assert_array_equal(cut.windows.ohlc[child], data.windows.ohlc[w, part])
            np.testing.assert_array_equal(cut.mask[child], mask[w, part])
            np.testing.assert_array_equal(soft[child], mask[w, part])
            child += 1
    assert child == len(cut)


def test_children_of_a_window_never_straddle_a_split():
    data = small.planted(8)
    cut = augment.children(data, 40, 5)
    for fold in splits.folds(cut, 4, seed=0):
        assert not set(cut.windows.parent[fold.train]) & set(cut.windows.parent[fold.test])


def test_longer_children_than_windows_are_refused():
    with pytest.raises(InputError, match="child bars"):
        augment.children(small.planted(2), 61, 5)


def test_every_variant_is_learnt_from_with_its_own_target():
    data = small.planted(4)
    settings = Settings(features="causal", mirror=True, backwards=True, jitter=0.01, head="mask")
    own = features.compute(data.windows.ohlc, "causal")
    fitting = Fitting(
        settings,
        own,
        data,
        data.mask.astype(np.float32),
        level_spans(data.mask.astype(np.float32)),
        device=CPU,
        seed=1,
        observer=Observer(),
        kept=Kept(),
    )
    made = list(augment.variants(data.windows.ohlc, settings, 1))
    assert len(made) == fitting.n_variants == 8
    target = fitting.objective.tasks["span"].target.numpy()
    for k, (ohlc, back) in enumerate(made):
        at = slice(4 * k, 4 * k + 4)
        values = features.compute(ohlc, "causal").values
        np.testing.assert_array_equal(fitting.values[at], values)
        np.testing.assert_array_equal(target[at], data.mask[:, ::-1] if back else data.mask)
        shown = fitting.levels[0].take(range(4 * k, 4 * k + 4)).mask(60)
        np.testing.assert_array_equal(shown, target[at])


@pytest.mark.parametrize(
    "more", [{"mirror": True}, {"jitter": 0.01}, {"slide": 10, "child_bars": 40}]
)
def test_fits_with_each(more):
    data = small.planted(8)
    settings = Settings(hidden=4, members=1, epochs=2, features="causal")
    own = features.compute(data.windows.ohlc, "causal")
    plain, changed = (
        SpanDetector(chosen, inner_folds=2).fit(own, data).predict(own)
        for chosen in (settings, replace(settings, **more))
    )
    assert changed.shape == plain.shape
    assert not np.array_equal(changed, plain)
