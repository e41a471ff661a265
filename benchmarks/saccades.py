"""Human-marked eye movements as bars: a real data set with fast directional moves in it.

Gaze of three persons, 81 s each at 1 kHz, every saccade marked by an expert. Five samples make a
bar, apart for the horizontal (x) and the vertical (y) channel; "price" is gaze in degrees, and may
be negative. A saccade lasts about eight bars. One person is one group.

Source: Zemblys, Niehorster, Komogortsev, Holmqvist (2018), "Using machine learning to detect events
in eye-tracking data", Behavior Research Methods 50; data from github.com/r-zemblys/irf (MIT).
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pooch
from numpy.typing import NDArray

from proxytools.errors import InputError
from proxytools.types import Int, SpanDataset, Spans, Windows

COMMIT = "65f12eae6e5a6878b75a869a85ce36f0fc9117ea"
URL = f"https://raw.githubusercontent.com/r-zemblys/irf/{COMMIT}/etdata/lookAtPoint_EL/"
SHA256 = {
    "S1": "c574aa558cf2b377389a5734f2c12b02b7c3007ebe3315178ab70b39badf2b97",
    "S2": "ff021f8318b6c0bd342a6976e90cf5b8abf7068645e726e0bb8d1a5885ef1329",
    "S4": "98c212303c548bebc7f2959debb9f762750b311872529874372cc413f5c727d0",
}
SACCADE = 2  # the event code of a saccade
SAMPLES = 5  # in a bar
MARGIN = 3  # bars between a span and either edge of its window
SMALLEST = 0.5  # degrees; smaller saccades are no span, but no window holds one either


def load(seed: int = 0, n_bars: int = 105) -> SpanDataset:
    """One window around each saccade, at a random offset.

    A window holds its saccade whole, at least three bars from either edge, no part of another one
    and no lost sample. It lies on the channel in which the eye moved more. Windows of neighbouring
    saccades may overlap.

    Parameters
    ----------
    seed : int
        Draws the offsets.
    n_bars : int
        Bars in a window, ``T``.

    Returns
    -------
    SpanDataset
        All labelled. ``windows.parent`` is the person, ``windows.series`` person and channel,
        ``windows.offset`` the position of the first bar in that series.

    Raises
    ------
    InputError
        The recordings are neither in the folder that PROXYTOOLS_DATA names nor to be downloaded, a
        file is not the one expected, or the windows are too short for a saccade.
    """
    rng = np.random.default_rng(seed)
    ohlc, parent, series, offset, spans = [], [], [], [], []
    for person in SHA256:
        samples = np.load(recording(person), allow_pickle=False)
        channel = {name: bars(samples[name]) for name in "xy"}
        for name, start, stop, begin in _cut(samples, channel, n_bars, rng):
            ohlc.append(channel[name][begin : begin + n_bars])
            parent.append(person)
            series.append(f"{person}-{name}")
            offset.append(begin)
            spans.append([(start - begin, stop - begin)])
    if not ohlc:
        raise InputError(
            "saccade windows, n_bars",
            got=str(n_bars),
            expected=f"room for a saccade and {MARGIN} bars on either side",
            fix="Ask for another length; the usual one is 105",
        )
    ids = [f"{name}-{begin:05d}" for name, begin in zip(series, offset, strict=True)]
    windows = Windows(
        np.stack(ohlc),  # (N, T, 4)
        np.array(ids),
        parent=np.array(parent),
        series=np.array(series),
        offset=np.array(offset, np.int64),
    )
    return SpanDataset(windows, Spans.of(spans), np.ones(len(ids), bool), classes=("saccade",))


def recording(person: str) -> Path:
    """Path of one person's recording: from PROXYTOOLS_DATA where it is set, else downloaded."""
    name, folder = f"lookAtPoint_EL_{person}.npy", os.environ.get("PROXYTOOLS_DATA")
    ways = f"Set PROXYTOOLS_DATA to a folder that holds saccades/{name}, or unset it to download"
    if not folder:
        try:
            return Path(
                pooch.retrieve(
                    URL + name,
                    known_hash=f"sha256:{SHA256[person]}",
                    fname=name,
                    path=pooch.os_cache("proxytools"),
                )
            )
        except (OSError, ValueError) as error:  # no network, or not the file that was hashed
            raise InputError(URL + name, got=str(error), expected="a download", fix=ways) from error
    path = Path(folder) / "saccades" / name
    if not path.is_file():
        raise InputError(str(path), got="no such file", expected="the recording", fix=ways)
    found = pooch.file_hash(str(path), alg="sha256")
    if found != SHA256[person]:
        raise InputError(str(path), got=f"SHA-256 {found}", expected=SHA256[person], fix=ways)
    return path


def bars(gaze: NDArray[np.floating]) -> NDArray[np.float64]:
    """(B, 4) open, high, low, close of every five samples; NaN where a sample was lost.

    The open is the previous bar's close, and high and low include it.

    Examples
    --------
    >>> bars(np.array([0.0, 1, 2, 1, 0, 3, 4, 5, 4, 4])).tolist()
    [[0.0, 2.0, 0.0, 0.0], [0.0, 5.0, 0.0, 4.0]]
    """
    n_bars = len(gaze) // SAMPLES
    points = gaze[: n_bars * SAMPLES].reshape(n_bars, SAMPLES).astype(np.float64)  # (B, 5)
    close = points[:, -1]
    opens = np.concatenate([points[:1, 0], close[:-1]])
    seen = np.column_stack([opens, points])  # (B, 6)
    ohlc = np.column_stack([opens, seen.max(axis=1), seen.min(axis=1), close])
    ohlc[np.isnan(ohlc).any(axis=1)] = np.nan
    return ohlc


def saccades(events: NDArray[np.uint8]) -> tuple[Int, Int]:
    """First and last sample (S,) of every run of saccade samples.

    Examples
    --------
    >>> first, last = saccades(np.array([2, 2, 1, 3, 2, 1]))
    >>> first.tolist(), last.tolist()
    ([0, 4], [1, 4])
    """
    edges = np.diff(np.concatenate([[0], events == SACCADE, [0]]))
    return np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1


def _cut(
    samples: NDArray[np.void],
    channel: dict[str, NDArray[np.float64]],
    n_bars: int,
    rng: np.random.Generator,
) -> list[tuple[str, int, int, int]]:
    """Channel, start and stop bar of each saccade, and the bar at which its window begins."""
    first, last = saccades(samples["evt"])
    total = len(channel["x"])
    starts, stops = first // SAMPLES, np.minimum(last // SAMPLES + 1, total)
    touched = np.zeros(total, np.int64)  # saccades that touch each bar
    for start, stop in zip(starts, stops, strict=True):
        touched[start:stop] += 1
    chosen = []
    for k, (start, stop) in enumerate(zip(starts.tolist(), stops.tolist(), strict=True)):
        move = {name: abs(samples[name][last[k]] - samples[name][first[k]]) for name in channel}
        name = max(move, key=lambda axis: move[axis])
        if not move[name] >= SMALLEST:  # also where its samples were lost
            continue
        others = touched.copy()
        others[start:stop] -= 1
        bad = np.isnan(channel[name][:, 0]) | (others > 0)
        before = np.concatenate([[0], bad.cumsum()])  # (B+1,) bad bars before each bar
        low, high = max(stop + MARGIN - n_bars, 0), min(start - MARGIN, total - n_bars)
        begins = np.arange(low, high + 1)
        begins = begins[before[begins + n_bars] == before[begins]]
        if len(begins):
            chosen.append((name, start, stop, int(rng.choice(begins))))
    return chosen
