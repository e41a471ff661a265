"""Everything that gives a bar a probability of lying in a span."""

from proxytools.proxies.registry import NAMES, make

__all__ = ["NAMES", "make"]
