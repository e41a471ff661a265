"""Which windows belong together (`grouping`, `identical`), and folds that respect it."""

from proxytools.splits.clear import clear_of
from proxytools.splits.grouping import groups, resampling_units
from proxytools.splits.identical import fingerprint, shares_bars
from proxytools.splits.purged import Fold, folds

__all__ = ["Fold", "clear_of", "fingerprint", "folds", "groups", "resampling_units", "shares_bars"]
