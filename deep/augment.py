"""Windows read backwards: as many again to learn from, where time's arrow says little."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from proxytools.types import Spans


def backwards(ohlc: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bars (N, T, 4) in reverse order; a bar opens where it closed.

    Examples
    --------
    >>> backwards(np.array([[[1.0, 3, 0, 2], [2, 5, 2, 4]]]))
    array([[[4., 5., 2., 2.],
            [2., 3., 0., 1.]]])
    """
    return ohlc[:, ::-1, [3, 1, 2, 0]]


def spans_backwards(spans: Spans, n_bars: int) -> Spans:
    """Spans of the same windows of ``n_bars`` bars read backwards.

    Examples
    --------
    >>> back = spans_backwards(Spans.of([[(1, 3)]]), n_bars=10)
    >>> back.start, back.stop
    (array([7]), array([9]))
    """
    start, stop = n_bars - spans.stop, n_bars - spans.start
    return Spans(spans.window, start, stop, spans.n_windows, spans.label, spans.score)
