"""Label Studio time series, outwards: tasks with marks and predictions, and the configuration.

A task's axis is the bars' opening times, in UTC with milliseconds, the finest that Label Studio
knows. Where windows have no times, or milliseconds do not hold them, it is the bar index and the
task keeps the times, if any, in ``timestamp``. A region's ``end`` is inclusive: the last bar.
"""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import quoteattr

import numpy as np
from numpy.typing import NDArray

from proxytools.exchange.marks import Mark, Marks, marks_of
from proxytools.types import OHLC, SpanDataset, Windows

TIME_FORMAT = "%Y-%m-%d %H:%M:%S.%L"  # d3's; %L is milliseconds
SERIES, LABELS = "ts", "label"  # names of the tags, and of the task's data
REGION = "timeserieslabels"
_PLACE = {"parent": "base_window_id", "series": "series_id"}


def tasks(
    data: SpanDataset, suggestions: Marks | None = None, source: str = "proxytools"
) -> list[dict[str, Any]]:
    """Return one Label Studio task a window, to be written as JSON.

    Marks become an annotation, empty for a window that was looked at and has no span; suggestions
    become predictions, which people see and correct. The task's ``data`` holds all of the window.

    Parameters
    ----------
    data : SpanDataset
    suggestions : mapping of str to list of Mark, optional
        By window, what a model found.
    source : str
        The name of that model.

    Examples
    --------
    >>> from proxytools import synthetic
    >>> data = synthetic.planted(1, preset="easy", seed=0, n_bars=60).data
    >>> (task,) = tasks(data)
    >>> task["annotations"][0]["result"][0]["value"]
    {'start': 28, 'end': 33, 'instant': False, 'timeserieslabels': ['expansion']}
    """
    marks, windows = marks_of(data), data.windows
    axis = time_axis(windows)
    found = []
    for i, name in enumerate(windows.ids.tolist()):
        ticks = None if axis is None else axis[i].tolist()
        task: dict[str, Any] = {"data": _data(data, i, ticks)}
        task["annotations"] = (
            [{"result": _regions(marks[name], ticks), "was_cancelled": False}]
            if name in marks
            else []
        )
        suggested = (suggestions or {}).get(name, [])
        task["predictions"] = [_prediction(suggested, ticks, source)] if suggested else []
        found.append(task)
    return found


def configuration(data: SpanDataset) -> str:
    """Return the labelling configuration (XML) of a project that shows these tasks."""
    labels = "\n".join(f"    <Label value={quoteattr(name)}/>" for name in data.classes)
    time = ""
    if time_axis(data.windows) is not None:
        time = f' timeColumn="time" timeFormat="{TIME_FORMAT}" timeDisplayFormat="%Y-%m-%d %H:%M"'
    channels = "\n".join(f'    <Channel column="{name}"/>' for name in ("close", "high", "low"))
    return f"""<View>
  <TimeSeriesLabels name="{LABELS}" toName="{SERIES}">
{labels}
  </TimeSeriesLabels>
  <TimeSeries name="{SERIES}" value="${SERIES}" valueType="json"{time}>
{channels}
  </TimeSeries>
</View>
"""


def time_axis(windows: Windows) -> NDArray[np.str_] | None:
    """(N, T) opening times as Label Studio writes them; None where bar indices must do."""
    if windows.time is None:
        return None
    fine = windows.time.astype("datetime64[ns]")
    coarse = fine.astype("datetime64[ms]")
    if (coarse.astype("datetime64[ns]") != fine).any():
        return None
    return np.strings.replace(np.datetime_as_string(coarse, unit="ms"), "T", " ")


def _data(data: SpanDataset, i: int, ticks: list[str] | None) -> dict[str, Any]:
    windows = data.windows
    own: dict[str, Any] = {"window_id": windows.ids[i].item(), "classes": list(data.classes)}
    for field, column in _PLACE.items():
        names = getattr(windows, field)
        if names is not None:
            own[column] = names[i].item()
    if windows.offset is not None:
        own["offset"] = int(windows.offset[i])
    if ticks is None and windows.time is not None:
        own["timestamp"] = np.datetime_as_string(windows.time[i], unit="ns").tolist()
    prices = zip(OHLC, windows.ohlc[i].T.tolist(), strict=True)
    own[SERIES] = {**({} if ticks is None else {"time": ticks}), **dict(prices)}
    return own


def _regions(marks: list[Mark], ticks: list[str] | None) -> list[dict[str, Any]]:
    """Regions of a result: ``instant`` where a span is one bar, which has no width to draw."""
    regions = []
    for k, mark in enumerate(marks):
        first, last = mark.start, mark.stop - 1
        value = {
            "start": first if ticks is None else ticks[first],
            "end": last if ticks is None else ticks[last],
            "instant": first == last,
            REGION: [mark.label],
        }
        region = {
            "id": f"span{k}",
            "from_name": LABELS,
            "to_name": SERIES,
            "type": REGION,
            "value": value,
        }
        regions.append(region if mark.score == 1 else {**region, "score": mark.score})
    return regions


def _prediction(marks: list[Mark], ticks: list[str] | None, source: str) -> dict[str, Any]:
    score = float(np.mean([mark.score for mark in marks]))
    return {"model_version": source, "score": score, "result": _regions(marks, ticks)}
