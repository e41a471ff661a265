"""Correlation of any number of formula parameter sets with the marks, in one pass over the bars."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from proxytools.errors import DeviceError

Floats = NDArray[np.float64]

_BARS_A_BLOCK = 1024  # the columns and the scratch row of a block stay in the first-level cache
_MOST_CHUNKS = 64  # bounds the partial sums; fixed, so the result never depends on the threads
_LEAST_FOR_THREADS = 1 << 21  # bars times sets: fewer take less time than starting a pool


def scores(
    X: Floats, target: ArrayLike, sets: Floats, *, streak_bars: float = 1.0, device: str = "cpu"
) -> Floats:
    """(K,) Pearson r between each parameter set's probability and the target, over all bars.

    Parameters
    ----------
    X : (n, 3)
        Return, streak in bars, volatility.
    target : (n,) in [0, 1]
    sets : (K, 3)
        ``(return_weight, streak_weight, vol_epsilon)``
    streak_bars : float
        Unit of the streak.
    device : {"cpu", "cuda"}

    Raises
    ------
    DeviceError
        CUDA was asked for and is not there, or the device is another one.
    """
    if device not in ("cpu", "cuda"):
        raise DeviceError("device", got=repr(device), expected="cpu or cuda")
    X, y = np.ascontiguousarray(X, np.float64), np.ascontiguousarray(target, np.float64)
    sets = np.asarray(sets, np.float64)
    by_epsilon = np.argsort(sets[:, 2], kind="stable")  # sets of one epsilon share their divisions
    weights = sets[by_epsilon] / [1.0, streak_bars, 1.0]
    sums = np.empty((len(sets), 3))
    sums[by_epsilon] = (_cuda_sums if device == "cuda" else _cpu_sums)(X, y, weights)
    p, pp, py = sums.T
    n = len(y)
    covariance = py - p * y.sum() / n
    squares = np.einsum("i,i", y, y)  # y @ y wakes threads that can take longer than the sum
    spread = (pp - p * p / n) * (squares - y.sum() ** 2 / n)
    # A constant formula tells nothing: its spread is rounding noise around zero, its r is 0.
    varies = spread > 1e-12 * n * np.maximum(pp, 1e-300)
    out = np.zeros(len(sets))
    np.divide(covariance, np.sqrt(np.abs(spread)), where=varies, out=out)
    return out


def _cpu_sums(X: Floats, y: Floats, sets: Floats) -> Floats:
    """(K, 3) sums of p, p*p and p*y, on all threads.

    Threads of a pool take chunk after chunk and sleep when none is left. Those of OpenMP share the
    chunks out beforehand, and the first to end spins on a core that another may need.
    """
    n, n_chunks = len(y), min(_MOST_CHUNKS, -(-len(y) // _BARS_A_BLOCK))
    cuts = [chunk * n // n_chunks for chunk in range(n_chunks + 1)]
    chunks = [slice(*ends) for ends in pairwise(cuts)]

    def chunk_sums(chunk: slice) -> Floats:
        part: Floats = _partial_sums(X[chunk], y[chunk], sets)
        return part

    threads = numba.get_num_threads()
    if threads == 1 or n * len(sets) < _LEAST_FOR_THREADS:
        found = [chunk_sums(chunk) for chunk in chunks]
    else:
        with ThreadPoolExecutor(threads) as pool:
            found = list(pool.map(chunk_sums, chunks))
    sums: Floats = np.sum(found, axis=0)
    return sums


# Division by zero must not be trapped: it keeps loops from being vectorised.
@numba.njit(
    cache=True,
    nogil=True,
    error_model="numpy",
    fastmath={"reassoc", "contract", "nsz", "nnan", "ninf"},
)
def _partial_sums(X: Floats, y: Floats, sets: Floats) -> Floats:
    """(K, 3) sums of p, p*p and p*y over a chunk: each block of bars is read once for all sets."""
    n_sets = len(sets)
    out = np.zeros((n_sets, 3))
    r, s, v, inverse = np.empty((4, _BARS_A_BLOCK))
    for begin in range(0, len(y), _BARS_A_BLOCK):
        t = y[begin : begin + _BARS_A_BLOCK]
        for i in range(len(t)):
            r[i], s[i], v[i] = X[begin + i]
        for k in range(n_sets):
            w_ret, w_streak, eps = sets[k]
            if k == 0 or eps != sets[k - 1, 2]:
                for i in range(len(t)):
                    inverse[i] = 1.0 / (v[i] + eps)
            p1 = p2 = py = 0.0
            for i in range(len(t)):
                p = (r[i] * w_ret + s[i] * w_streak) * inverse[i]
                p = min(max(p, 0.0), 1.0)
                p1 += p
                p2 += p * p
                py += p * t[i]
            out[k, 0] += p1
            out[k, 1] += p2
            out[k, 2] += py
    return out


def _cuda_sums(X: Floats, y: Floats, sets: Floats) -> Floats:
    import torch

    if not torch.cuda.is_available():
        raise DeviceError(
            "device", got="cuda", expected="a CUDA device visible to torch", fix="Use --device cpu"
        )
    return torch_sums(X, y, sets, device="cuda")


def torch_sums(X: Floats, y: Floats, sets: Floats, *, device: str) -> Floats:
    """(K, 3) sums of p, p*p and p*y on a torch device, a few sets at a time."""
    import torch

    r, s, v = torch.as_tensor(X, device=device).T.contiguous()  # (n,) each
    t = torch.as_tensor(y, device=device)  # (n,)
    out = torch.empty((len(sets), 3), dtype=torch.float64, device=device)  # (K, 3)
    step = max(1, 2**27 // max(1, len(y)))  # at most a gibibyte for each temporary
    for first in range(0, len(sets), step):
        w = torch.as_tensor(sets[first : first + step], device=device).T[:, :, None]  # (3, k, 1)
        p = ((r * w[0] + s * w[1]) / (v + w[2])).clamp_(0.0, 1.0)  # (k, n)
        out[first : first + step] = torch.stack([p.sum(1), (p * p).sum(1), p @ t], dim=1)
    result: Floats = out.cpu().numpy()
    return result
