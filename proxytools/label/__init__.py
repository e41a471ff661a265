"""Soft labels for any number of unlabelled bars, in bounded memory.

Bars are scored in windows of the training length with a stride of a third of it; each bar takes
the probability of its most central window (the earlier one where two are equally central). A run
of bars without a time gap that is shorter than a window is one shorter window. Windows are scored
in batches counted from the start of their run, so the result is the same to the bit however the
bars arrive, and however often the job was interrupted.
"""

from proxytools.label.central import Batch, batches
from proxytools.label.job import label, score

__all__ = ["Batch", "batches", "label", "score"]
