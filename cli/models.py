"""Proxies by the names the commands take: those of `proxytools`, and the deep detector."""

from __future__ import annotations

from typing import Any

DEEP = "deep"
FEATURES = "full"


def make(name: str, *, features: str | None, **settings: Any) -> Any:
    """Build a proxy by name, as `proxytools.proxies.make` does; only `DEEP` loads torch.

    Without ``features`` each reads its own: `FEATURES`, and the detector those of its preset.
    """
    if name != DEEP:
        from proxytools import proxies

        return proxies.make(name, features=features or FEATURES, **settings)
    from deep.detector import SpanDetector
    from deep.device import resolve
    from deep.presets import on_features, preset

    resolve(settings["device"])
    chosen = preset("segmental")
    return SpanDetector(on_features(chosen, features) if features else chosen, **settings)
