"""Add a feature of your own, prove what it states about itself, and see what it is worth.

python examples/feature.py
"""

import numpy as np

from proxytools import features, synthetic
from proxytools.evaluate import compare, cross_fit
from proxytools.proxies import make


@features.feature(
    "body_share",
    meaning="How much of its range a bar keeps: |close - open| / (high - low)",
    unit="fraction",
    lookback=0,
)
def body_share(opened, high, low, close):
    """Return one number a bar; each argument is (T,) prices of one window."""
    span = high - low
    return np.divide(np.abs(close - opened), span, out=np.zeros_like(span), where=span > 0)


def main():
    """Check the feature, and compare a proxy with and without it."""
    features.check_feature("body_share")  # finite, causal, scale-free: or it says what is not so
    features.SETS["mine"] = (*features.SETS["directionless"], "body_share")

    data = synthetic.planted(60, preset="medium", seed=1).data
    without = cross_fit(make("logistic", features="directionless"), data)
    with_it = cross_fit(make("logistic", features="mine"), data)
    gain = compare(with_it, without)
    print(f"body_share gave {gain.difference:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})")


if __name__ == "__main__":
    main()
