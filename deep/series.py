"""Spans of long series: overlapping windows, scores stitched, spans read off each gap-free run.

Every bar takes the scores of the window in which it lies most centrally; over the stitched scores
of a run goes what is read off a window elsewhere. Bars, windows and scores are held for a moment
only, so ten million bars take the memory of a hundred thousand.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from deep.detector import SpanDetector
from deep.device import limited
from deep.lengths import LengthScores
from deep.newfile import new_file
from deep.reading import BarReader, MatchReader
from deep.streaming import BarStream, ChainStream, Found, Stream
from proxytools import features, io
from proxytools.io.table import open_table
from proxytools.label import Batch, batches
from proxytools.proxies.store import Model

MARGIN = 1 / 5  # of a window; nearer to its edges its scores are worse
