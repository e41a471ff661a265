"""Planted data: price windows whose spans are known, and the exact posterior no method can beat."""

from proxytools.synthetic.generate import PRESETS, Planted, Preset, planted
from proxytools.synthetic.posterior import ceiling, posterior
from proxytools.synthetic.prior import LAYOUTS

__all__ = ["LAYOUTS", "PRESETS", "Planted", "Preset", "ceiling", "planted", "posterior"]
