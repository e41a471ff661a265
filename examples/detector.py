"""The deep detector in Python, from fit to spans of windows it never saw.

python examples/detector.py
"""

from dataclasses import replace

import numpy as np

from deep.detector import SpanDetector
from deep.presets import preset
from proxytools import features, synthetic
from proxytools.metrics.span import span_metrics


def main():
    """Learn from some windows and find the spans of others."""
    settings = replace(preset("segmental"), members=1, epochs=3, hidden=8)  # small: seconds
    data = synthetic.planted(60, preset="easy", seed=1, n_bars=60).data
    learnt, others = data.take(np.arange(40)), data.take(np.arange(40, 60))

    values = features.compute(data.windows.ohlc, settings.features)
    detector = SpanDetector(settings, seed=0, threads=1)
    detector.fit(values.take(np.arange(40)), learnt)

    unseen = values.take(np.arange(40, 60))
    spans = detector.detect(unseen)  # `detector.predict(unseen)` is the probability of each bar
    names = others.windows.ids[spans.window]
    for name, start, stop, score in zip(names, spans.start, spans.stop, spans.score, strict=True):
        print(f"{name}: bars {start} to {stop - 1}, a match with probability {score:.2f}")
    scores = span_metrics(spans, others.spans)
    print(f"{scores['n_matched']} of {scores['n_true']} marks found at IoU 0.5")


if __name__ == "__main__":
    main()
