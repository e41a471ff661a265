"""Proxies by the names the commands take: those of `proxytools`, and the deep detector."""

from __future__ import annotations

from typing import Any

DEEP = "deep"


def make(name: str, **settings: Any) -> Any:
    """Build a proxy by name, as `proxytools.proxies.make` does; only `DEEP` loads torch."""
    if name != DEEP:
        from proxytools import proxies

        return proxies.make(name, **settings)
    from dataclasses import replace

    from deep.detector import SpanDetector
    from deep.device import resolve
    from deep.presets import PRESETS

    resolve(settings["device"])
    return SpanDetector(
        replace(PRESETS["segmental"], features=settings.pop("features")), **settings
    )
