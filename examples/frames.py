"""Bars and marks from frames: pandas, polars or pyarrow, whichever you have.

python examples/frames.py
"""

import pandas as pd

from proxytools import io, synthetic
from proxytools.evaluate import cross_fit
from proxytools.proxies import make


def frames():
    """Return a frame of bars and one of marks; yours come from your own database."""
    planted = synthetic.planted(1, preset="easy", seed=1, n_bars=1200, layout="several").data
    bars = pd.DataFrame(planted.windows.ohlc[0], columns=["open", "high", "low", "close"])
    bars["timestamp"] = pd.date_range("2024-01-02", periods=len(bars), freq="1min", tz="UTC")
    marks = pd.DataFrame({"start": planted.spans.start, "end": planted.spans.stop})  # half-open
    return bars, marks


def main():
    """Cut bars into windows, fit on some and score the others."""
    bars, marks = frames()
    data = io.from_frame(bars, spans=marks, bars=60)
    print(f"{len(data)} windows, {len(data.spans)} marks, {data.labelled.sum()} labelled")
    fitted = cross_fit(make("logistic", features="directionless"), data)
    low, high = fitted.interval
    print(f"r {fitted.metrics['pearson_r']:.3f} ({low:.3f} to {high:.3f})")

    try:
        import polars
    except ImportError:
        return
    same = io.from_frame(polars.from_pandas(bars), spans=polars.from_pandas(marks), bars=60)
    assert (same.mask == data.mask).all()


if __name__ == "__main__":
    main()
