"""Proxies and baselines for spans in market bars, with honest small-sample evaluation."""

__version__ = "0.1.0"
