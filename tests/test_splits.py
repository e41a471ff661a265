from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from proxytools.errors import InputError
from proxytools.splits import Fold, folds, groups, resampling_units
from proxytools.splits.identical import MIN_PRICES, RUN
from proxytools.splits.purged import _blocks_of_time
from proxytools.types import SpanDataset, Spans, Windows
from tests import naive_splits

MINUTE = np.timedelta64(60, "s").astype("timedelta64[ns]")
MONDAY = np.datetime64("2024-01-01", "ns")


def windows_at(offset, n_bars=10, series=None, parent=None, clock=False, known=True, stretch=1):
    """Windows of one random series, or of several, and what is said of their origin.

    With a clock a bar takes ``stretch`` minutes.
    """
    offset = np.asarray(offset)
    names = np.array(["s"] * len(offset) if series is None else series, str)
    at = offset[:, None] + np.arange(n_bars)  # (N, T)
    clock_minutes = offset[:, None] + np.arange(n_bars) * np.reshape(stretch, (-1, 1))  # (N, T)
    bars = {s: np.random.default_rng(k).random((999, 4)) for k, s in enumerate(np.unique(names))}
    return Windows(
        np.stack([bars[s][row] for s, row in zip(names, at, strict=True)]),
        np.array([f"w{k}" for k in range(len(offset))]),
        parent=None if parent is None else np.array(parent, str),
        series=names if known else None,
        offset=offset if known and not clock else None,
        time=MONDAY + clock_minutes * MINUTE if clock else None,
    )


def check(split, n_windows, group=None):
    """Every window is tested once, nothing stands on both sides, no group straddles."""
    np.testing.assert_array_equal(
        np.sort(np.concatenate([f.test for f in split])), np.arange(n_windows)
    )
    for fold in split:
        assert isinstance(fold, Fold)
        assert len(fold.test) > 0
        assert len(fold.train) > 0
        assert (np.diff(fold.train) > 0).all()
        assert (np.diff(fold.test) > 0).all()
        assert not set(fold.train) & set(fold.test)
        if group is not None:
            assert not set(group[fold.train]) & set(group[fold.test])


# Groups


@st.composite
def origins(draw, clock=None):
    n = draw(st.integers(2, 14))
    series = draw(st.lists(st.sampled_from("ab"), min_size=n, max_size=n))
    offset = draw(st.lists(st.integers(0, 150), min_size=n, max_size=n))
    parent = draw(
        st.none() | st.lists(st.sampled_from(["", "", "", "p", "q"]), min_size=n, max_size=n)
    )
    n_bars = draw(st.sampled_from([1, 2, 10]))
    stretch = draw(st.lists(st.sampled_from([1, 1, 1, 6]), min_size=n, max_size=n))
    clock = draw(st.booleans()) if clock is None else clock
    return windows_at(offset, n_bars, series, parent, clock=clock, stretch=stretch)


@settings(max_examples=150, deadline=None)
@given(origins())
def test_groups_equal_all_pairs(windows):
    np.testing.assert_array_equal(groups(windows), naive_splits.groups(windows))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(0, 200), min_size=2, max_size=14),
    st.sampled_from([1, 2, 5, 12, 30]),
    st.sampled_from([1, 2, 8, 1000]),
    st.integers(0, 2**32),
)
def test_groups_by_identical_bars_equal_all_pairs(offset, n_bars, n_prices, seed):
    prices = np.random.default_rng(seed).integers(0, n_prices, (300, 4)).astype(float)
    bars = np.stack([prices[o : o + n_bars] for o in offset])
    run = min(RUN, (n_bars + 1) // 2)
    expected = naive_splits.components(
        len(bars), lambda i, j: naive_splits.shares_bars(bars[i], bars[j], run, MIN_PRICES)
    )
    windows = Windows(bars, np.arange(len(bars)).astype(str))
    if n_prices == 1000:
        np.testing.assert_array_equal(groups(windows), expected)
    else:  # the first telling run stands for the overlap: fewer links may be seen, never more
        got = groups(windows)
        assert all(len({expected[i] for i in np.flatnonzero(got == g)}) == 1 for g in set(got))


def test_overlap_is_found_from_bars_down_to_a_run():
    shifts = np.arange(1, 105)
    found = []
    for shift in shifts:
        pair = windows_at([300, 300 + shift], 105, known=False)
        found.append(groups(pair).max() == 0)
        assert found[-1] == (groups(pair.take([1, 0])).max() == 0)
    np.testing.assert_array_equal(found, shifts <= 105 - RUN)


def test_flat_bars_prove_nothing_but_equal_windows_belong_together():
    rng = np.random.default_rng(0)
    bars = 100 + rng.random((4, 60, 4))
    bars[:, 20:] = 100.0  # the same flat end
    bars[1, 30:50], bars[1, 50:] = bars[0, :20], 99.0  # looks like window 0, then disagrees
    bars[2] = bars[3] = 7.0
    np.testing.assert_array_equal(groups(Windows(bars, np.array([*"abcd"]))), [0, 1, 2, 2])


def test_an_overlap_that_begins_flat_is_found_further_in():
    path = np.random.default_rng(0).random((90, 4))
    path[30:45] = 0.5
    windows = Windows(np.stack([path[:60], path[30:]]), np.array(["a", "b"]))
    assert groups(windows).max() == 0


def test_negative_zero_is_zero():
    bars = np.random.default_rng(0).random((1, 12, 4))
    bars[0, 3] = 0.0
    twin = np.where(bars == 0, -0.0, bars)
    assert groups(Windows(np.concatenate([bars, twin]), np.array(["a", "b"]))).max() == 0


def test_coarse_prices_do_not_link_strangers():
    rng = np.random.default_rng(0)
    path = rng.integers(-2, 3, (800, 420)).cumsum(axis=1) + rng.integers(-5, 5, (800, 1))
    ticks = path.reshape(800, 105, 4)
    bars = np.stack([ticks[..., 0], ticks.max(-1), ticks.min(-1), ticks[..., 3]], axis=-1)
    windows = Windows(bars.astype(float), np.arange(800).astype(str))
    assert groups(windows).max() == 799


def test_known_places_count_more_than_equal_bars():
    bars = np.ones((2, 10, 4))
    assert groups(Windows(bars, np.array(["a", "b"]), offset=np.array([0, 10]))).max() == 1
    assert groups(Windows(bars, np.array(["a", "b"]))).max() == 0


def test_groups_are_linked_in_a_chain_across_kinds():
    windows = windows_at([0, 9, 40, 80], parent=["", "p", "p", ""])
    np.testing.assert_array_equal(groups(windows), [0, 0, 0, 1])


def test_one_window_and_none():
    assert groups(windows_at([5])).tolist() == [0]
    empty = Windows(np.empty((0, 5, 4)), np.array([], str))
    assert groups(empty).size == 0
    with pytest.raises(InputError, match="0 windows"):
        folds(empty)


# Folds


@settings(max_examples=150, deadline=None)
@given(
    origins(clock=True).filter(lambda w: w.n_bars > 1),
    st.integers(2, 5),
    st.integers(0, 30),
    st.sampled_from([0, 1, 17, 60]),
)
def test_purge_equals_all_pairs(windows, n_folds, lookback_bars, embargo):
    group = groups(windows)
    rules = {"lookback_bars": lookback_bars, "embargo": f"{embargo}min"}
    if group.max() == 0:
        with pytest.raises(InputError, match="form 1 group"):
            folds(windows, n_folds, **rules)
        return
    start = windows.time[:, 0].astype(np.int64)
    fold_of = _blocks_of_time(group, start, min(n_folds, group.max() + 1))
    tests = [np.flatnonzero(fold_of == k) for k in range(fold_of.max() + 1)]
    trains = [naive_splits.trainable(windows, t, lookback_bars, embargo * MINUTE) for t in tests]
    if [] in trains:
        with pytest.raises(InputError, match="no window left to train on"):
            folds(windows, n_folds, **rules)
        return
    split = folds(windows, n_folds, **rules)
    check(split, len(windows), group)
    assert [fold.test.tolist() for fold in split] == [test.tolist() for test in tests]
    assert [fold.train.tolist() for fold in split] == trains


def test_folds_on_a_clock_are_consecutive_and_balanced():
    windows = windows_at(np.random.default_rng(0).permutation(50) * 12, clock=True)
    split = folds(windows, 5)
    check(split, 50, groups(windows))
    assert [len(fold.test) for fold in split] == [10] * 5
    start = windows.time[:, 0]
    for before, after in pairwise(split):
        assert start[before.test].max() < start[after.test].min()


def test_the_largest_groups_are_dealt_first():
    windows = windows_at([*range(100, 700, 100), *range(0, 48, 8)])
    for seed in range(5):
        assert [len(fold.test) for fold in folds(windows, 2, seed=seed)] == [6, 6]


def test_each_fold_gets_a_group_even_when_one_is_large():
    windows = windows_at([*range(0, 100, 5), 200, 300, 400], clock=True)
    assert [len(fold.test) for fold in folds(windows, 4)] == [20, 1, 1, 1]
    windows = windows_at([0, 20, *range(100, 200, 5), 300, 400], clock=True)
    assert [len(fold.test) for fold in folds(windows, 4)] == [2, 20, 1, 1]


def test_purge_by_hand():
    # Bars of a minute, windows of 10: [0, 10), [10, 20), [22, 32), [40, 50), two series.
    windows = windows_at([0, 10, 22, 40], series=["a", "b", "a", "b"], clock=True)

    def trains(**rules):
        return [fold.train.tolist() for fold in folds(windows, 4, **rules)]

    assert trains() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]
    assert trains(lookback_bars=1) == [[2, 3], [2, 3], [0, 1, 3], [0, 1, 2]]
    assert trains(lookback_bars=3) == [[2, 3], [3], [0, 3], [0, 1, 2]]
    assert trains(embargo="1min") == [[2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]
    assert trains(embargo="3min") == [[2, 3], [0, 3], [0, 1, 3], [0, 1, 2]]


def test_purge_of_one_bar_windows_knows_the_bar_length():
    windows = windows_at([0, 1, 2, 3, 4, 5], n_bars=1, clock=True)
    first, second = folds(windows, 2, lookback_bars=2)
    assert (first.train.tolist(), first.test.tolist()) == ([5], [0, 1, 2])
    assert (second.train.tolist(), second.test.tolist()) == ([0], [3, 4, 5])


@settings(max_examples=60, deadline=None)
@given(origins(clock=False), st.integers(2, 6), st.integers(0, 5))
def test_dealt_folds_keep_groups_whole(windows, n_folds, seed):
    group = groups(windows)
    if group.max() == 0:
        return
    split = folds(windows, n_folds, seed=seed)
    check(split, len(windows), group)
    assert len(split) == min(n_folds, group.max() + 1)
    assert all(len(fold.train) + len(fold.test) == len(windows) for fold in split)
    sizes, largest = [len(fold.test) for fold in split], np.bincount(group).max()
    assert max(sizes) - min(sizes) <= largest


def test_dealt_folds_follow_the_seed():
    windows = windows_at(np.arange(40) * 10)
    tests = [[f.test.tolist() for f in folds(windows, 4, seed=s)] for s in (0, 0, 1)]
    assert tests[0] == tests[1] != tests[2]
    assert [len(test) for test in tests[0]] == [10] * 4
    assert tests[0][0] != sorted(tests[0][0])[:1] + list(range(1, 10))  # not simply in order


def test_a_duplicate_never_straddles():
    windows = windows_at(np.arange(30) * 10, known=False)
    bars = np.concatenate([windows.ohlc, windows.ohlc[:5]])
    copied = Windows(bars, np.arange(35).astype(str))
    for fold in folds(copied, 5):
        test = set(fold.test.tolist())
        assert all((k in test) == (30 + k in test) for k in range(5))


def test_folds_of_a_data_set_are_those_of_its_windows():
    windows = windows_at(np.arange(12) * 10)
    data = SpanDataset(windows, Spans.of([[]] * 12), np.ones(12, bool))
    for a, b in zip(folds(data, 3), folds(windows, 3), strict=True):
        np.testing.assert_array_equal(a.test, b.test)
        np.testing.assert_array_equal(a.train, b.train)


@pytest.mark.parametrize(
    ("offset", "clock", "rules", "message"),
    [
        ([0, 5, 9], False, {}, "form 1 group.*stride of at least 10 bars"),
        ([0, 20], False, {"n_folds": 1}, "n_folds: got 1, expected at least 2"),
        ([0, 20], True, {"lookback_bars": -1}, "lookback_bars: got -1"),
        ([0, 20], False, {"embargo": "1h"}, "embargo: got windows without clock times"),
        ([0, 20], True, {"embargo": "soon"}, "embargo: got 'soon'"),
        ([0, 20], True, {"embargo": "-1h"}, "embargo: got '-1h'"),
        ([0, 20], True, {"embargo": "NaT"}, "embargo: got 'NaT'"),
        ([0, 20], True, {"embargo": "1h"}, "fold 1 of 2: got no window left"),
    ],
)
def test_what_cannot_be_split_is_refused(offset, clock, rules, message):
    with pytest.raises(InputError, match=message):
        folds(windows_at(offset, clock=clock), **rules)


# Units of the bootstrap


def test_units_are_the_groups_where_there_are_enough():
    windows = windows_at(np.arange(25) * 10)
    np.testing.assert_array_equal(resampling_units(windows, np.arange(25) * 3), np.arange(25))


@settings(max_examples=60, deadline=None)
@given(origins(), st.integers(1, 20), st.integers(0, 99))
def test_units_are_blocks_inside_groups(windows, min_units, seed):
    group = np.random.default_rng(seed).integers(0, 3, len(windows))
    units = resampling_units(windows, group, min_units=min_units)
    assert len(np.unique(units)) == units.max() + 1 >= min(min_units, len(windows))
    for unit in np.unique(units):
        assert len(set(group[units == unit])) == 1
    place = windows.time[:, 0] if windows.offset is None else windows.offset
    for g in np.unique(group):
        rows = np.flatnonzero(group == g)
        order = rows[np.lexsort((place[rows], windows.series[rows]))]
        assert (np.diff(units[order]) >= 0).all()
        sizes = np.unique(units[order], return_counts=True)[1]
        if len(np.unique(group)) < min_units:
            assert np.ptp(sizes) <= 1
