"""Which windows belong together (`grouping`), and splits that respect it (`purged`)."""

from proxytools.splits.grouping import groups, resampling_units
from proxytools.splits.purged import Fold, folds

__all__ = ["Fold", "folds", "groups", "resampling_units"]
