"""Proxies by the names the commands take: those of `proxytools`, and the deep detector."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from proxytools.proxies.store import Model

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


def load(run: Path, *, threads: int = 0) -> Model:
    """Read the model of a run of `fit`, or the detector of one of `deep train`, which loads torch.

    It is to read windows cut from anywhere: a detector does without what it learnt of places.

    Raises
    ------
    InputError
        It is no run, or its files are damaged.
    """
    from proxytools import pipeline, rundir

    if (rundir.open_run(run) / "metadata.json").exists():
        from deep import jobs

        return jobs.anywhere(jobs.load_model(run, threads=threads))
    return pipeline.load_model(run)
