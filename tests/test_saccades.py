"""Saccade windows keep the recipe; what needs the recordings skips where they are not at hand."""

import doctest
import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from benchmarks import saccades
from proxytools.errors import InputError

FOLDER = Path(os.environ.get("PROXYTOOLS_DATA", "")) / "saccades"
needs_recordings = pytest.mark.skipif(
    not (os.environ.get("PROXYTOOLS_DATA") and FOLDER.is_dir()),
    reason="PROXYTOOLS_DATA names no folder that holds saccades/",
)


@pytest.fixture(scope="module")
def data():
    return saccades.load(seed=0)


@pytest.fixture(scope="module")
def raw():
    return {person: np.load(saccades.recording(person)) for person in saccades.SHA256}


def test_examples():
    result = doctest.testmod(saccades)
    assert result.attempted > 0
    assert result.failed == 0


@pytest.mark.parametrize("lost", [0, 7, 14])
def test_a_bar_that_needs_a_lost_sample_is_nan(lost):
    gaze = np.arange(17.0)  # three bars, and two samples that fill none
    gaze[lost] = np.nan
    missing = np.isnan(saccades.bars(gaze)).all(axis=1)
    closes_next = lost % 5 == 4  # a lost close is a lost open
    expected = [bar == lost // 5 or (closes_next and bar == lost // 5 + 1) for bar in range(3)]
    assert missing.tolist() == expected


@needs_recordings
def test_every_person_gives_windows(data):
    person, count = np.unique(data.windows.parent, return_counts=True)
    assert person.tolist() == ["S1", "S2", "S4"]
    assert count.min() >= 80
    assert 270 <= len(data) <= 310
    assert data.windows.ohlc.shape == (len(data), 105, 4)
    assert data.labelled.all()
    assert data.classes == ("saccade",)
    assert len(set(data.windows.ids)) == len(data)


@needs_recordings
def test_bars_are_valid(data):
    ohlc = data.windows.ohlc
    assert np.isfinite(ohlc).all()
    np.testing.assert_array_equal(ohlc[..., 1], ohlc.max(axis=2))
    np.testing.assert_array_equal(ohlc[..., 2], ohlc.min(axis=2))
    np.testing.assert_array_equal(ohlc[:, 1:, 0], ohlc[:, :-1, 3])


@needs_recordings
def test_one_span_of_about_eight_bars_off_the_edges(data):
    spans = data.spans
    assert np.all(spans.count == 1)
    assert 7.5 < spans.length.mean() < 8.5
    assert spans.start.min() >= 3
    assert spans.stop.max() <= 105 - 3
    assert spans.start.std() > 20  # offsets are random: place gives nothing away


@needs_recordings
def test_windows_agree_with_the_raw_marks(data, raw):
    windows, spans = data.windows, data.spans
    for w in range(len(data)):
        person, axis = windows.series[w].split("-")
        assert person == windows.parent[w]
        first, last = windows.offset[w] * 5, (windows.offset[w] + 105) * 5
        piece = raw[person][first:last]
        np.testing.assert_array_equal(windows.ohlc[w, :, 3], piece[axis][4::5])
        touched = (piece["evt"] == 2).reshape(105, 5).any(axis=1)
        np.testing.assert_array_equal(data.mask[w], touched)  # whole, and no other beside it
        marked = np.flatnonzero(piece["evt"] == 2)
        assert np.all(np.diff(marked) == 1)  # a single run
        move = {name: abs(piece[name][marked[-1]] - piece[name][marked[0]]) for name in "xy"}
        assert move[axis] == max(move.values())
        assert move[axis] >= 0.5
        assert spans.start[w] == marked[0] // 5
        assert spans.stop[w] == marked[-1] // 5 + 1


@needs_recordings
def test_windows_of_two_groups_share_no_bars(data):
    """Two bars running, since gaze comes in steps and single bars do coincide by chance."""
    owner: dict[bytes, str] = {}
    for person, ohlc in zip(data.windows.parent, data.windows.ohlc, strict=True):
        for first, second in pairwise(ohlc):
            assert owner.setdefault(first.tobytes() + second.tobytes(), person) == person


@needs_recordings
def test_the_seed_fixes_the_offsets(data):
    again, other = saccades.load(seed=0), saccades.load(seed=1)
    np.testing.assert_array_equal(again.windows.offset, data.windows.offset)
    np.testing.assert_array_equal(again.windows.ohlc, data.windows.ohlc)
    assert len(other) == len(data)  # which saccades fit does not hang on the seed
    assert not np.array_equal(other.windows.offset, data.windows.offset)


@needs_recordings
def test_other_lengths():
    short = saccades.load(n_bars=40)
    assert short.n_bars == 40
    assert short.spans.start.min() >= 3
    assert short.spans.stop.max() <= 37
    with pytest.raises(InputError, match="n_bars: got 6"):
        saccades.load(n_bars=6)


def test_a_folder_without_the_recordings_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("PROXYTOOLS_DATA", str(tmp_path))
    with pytest.raises(InputError, match=r"no such file.*PROXYTOOLS_DATA.*to download"):
        saccades.load()


def test_a_changed_recording_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("PROXYTOOLS_DATA", str(tmp_path))
    (tmp_path / "saccades").mkdir()
    (tmp_path / "saccades" / "lookAtPoint_EL_S1.npy").write_bytes(b"something else")
    with pytest.raises(InputError, match=f"SHA-256 .* expected {saccades.SHA256['S1']}"):
        saccades.load()


@pytest.mark.parametrize("failure", [OSError("no network"), ValueError("hash does not match")])
def test_a_failed_download_names_both_ways(monkeypatch, failure):
    def retrieve(url, **_):
        assert url == saccades.URL + "lookAtPoint_EL_S1.npy"
        raise failure

    monkeypatch.delenv("PROXYTOOLS_DATA", raising=False)
    monkeypatch.setattr(saccades.pooch, "retrieve", retrieve)
    with pytest.raises(InputError, match=f"{failure}.*PROXYTOOLS_DATA.*to download"):
        saccades.load()
