"""What a user would pick instead: two plain networks and change points, each at its fair best.

They read bars, not features: `bars` makes the feature set of that name. All three satisfy the proxy
contract, so that folds, metrics and tables never ask who scored the bars. Their settings were
chosen on planted medium data of seed 300.

- ``unet``: a 1-D U-Net (Ronneberger, Fischer, Brox 2015) on standardised moves and ranges.
- ``label-studio-lstm``: the recipe of the time-series segmenter among Label Studio's examples of
  machine-learning backends, written anew: each step through a linear layer, layer norm and dropout
  into a two-layer BiLSTM, each bar for itself, classes weighed by their inverse frequency. It gets
  what makes it better here: standardised channels, whole windows, and a number of passes chosen on
  held-out windows in place of a fixed score on those it learns from.
- ``ruptures``: change points of moves and ranges (Truong, Oudre, Vayatis 2020); marks only say how
  a segment's drift becomes a probability, and where to cut.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.isotonic import IsotonicRegression
from torch import Tensor, nn
from torch.nn import functional

from deep.device import limited
from proxytools import decode, splits
from proxytools.proxies.bars import check_target
from proxytools.types import OHLC, FeatureSet, Float, SpanDataset, Spans

BARS = "bars"
TINY = 1e-9  # a window's mean range, from which on it is not flat
CHANNELS = 5
INNER_FOLDS = 3
CLIP = 1.0  # of the gradient's norm
BATCH = 256  # windows scored at once
NAMES = ("unet", "label-studio-lstm", "ruptures")


def bars(ohlc: NDArray[np.float64]) -> FeatureSet:
    """Open, high, low and close in units of a window's mean range, from its first open on.

    Examples
    --------
    >>> bars(np.array([[[5.0, 7, 5, 6], [6, 8, 6, 7]]])).values[0, 1]
    array([0.5, 1.5, 0.5, 1. ], dtype=float32)
    """
    unit = np.maximum((ohlc[..., 1] - ohlc[..., 2]).mean(axis=1), TINY)  # (N,)
    values = (ohlc - ohlc[:, :1, :1]) / unit[:, None, None]  # (N, T, 4)
    return FeatureSet(values.astype(np.float32), OHLC, ohlc.shape[1] - 1, ohlc.shape[1] - 1)


def channels(values: Tensor) -> Tensor:
    """(N, T, 5) moves, both wicks, ranges and the place in the window, of bars (N, T, 4)."""
    opens, high, low, close = values.unbind(-1)
    before = torch.cat([opens[:, :1], close[:, :-1]], 1)
    body = torch.stack([opens, close])
    place = close - close.mean(1, keepdim=True)
    place = place / place.square().mean(1, keepdim=True).sqrt().clamp(min=TINY)
    columns = (close - before, high - body.amax(0), body.amin(0) - low, high - low, place)
    return torch.stack(columns, 2)


class UNet(nn.Module):
    """A logit a bar, from three scales."""

    def __init__(self, width: int = 8, depth: int = 3, dropout: float = 0.3) -> None:
        super().__init__()
        widths = [CHANNELS, *(width * 2**k for k in range(depth))]
        pairs = list(pairwise(widths))
        self.down = nn.ModuleList(_block(i, o, dropout) for i, o in pairs)
        self.up = nn.ModuleList(_block(o + i, i, dropout) for i, o in reversed(pairs[1:]))
        self.last = nn.Conv1d(width, 1, 1)

    def forward(self, values: Tensor) -> Tensor:
        """(N, T) logits of bars (N, T, 4)."""
        n_bars = values.shape[1]
        x = channels(values).transpose(1, 2)  # (N, C, T)
        short = -n_bars % 2 ** (len(self.down) - 1)
        x = functional.pad(x, (0, short))
        kept = []
        for block in self.down[:-1]:
            kept.append(block(x))
            x = functional.max_pool1d(kept[-1], 2)
        x = self.down[-1](x)
        for block in self.up:
            wide = functional.interpolate(x, scale_factor=2.0)
            x = block(torch.cat([wide, kept.pop()], 1))
        logits: Tensor = self.last(x)[:, 0, :n_bars]
        return logits


def _block(n_in: int, n_out: int, dropout: float) -> nn.Sequential:
    """Two convolutions over five bars."""
    layers: list[nn.Module] = []
    for width in (n_in, n_out):
        layers += [nn.Conv1d(width, n_out, 5, padding=2), nn.BatchNorm1d(n_out), nn.ReLU()]
    return nn.Sequential(*layers, nn.Dropout(dropout))


class StepLSTM(nn.Module):
    """A logit a bar, from a BiLSTM over steps that were each put through a linear layer."""

    def __init__(self, step: int = 128, hidden: int = 32, dropout: float = 0.3) -> None:
        super().__init__()
        self.step = nn.Linear(CHANNELS, step)
        self.norm = nn.LayerNorm(step)
        self.dropout = nn.Dropout(dropout)
        self.lstm = nn.LSTM(step, hidden, 2, batch_first=True, bidirectional=True, dropout=dropout)
        self.last = nn.Linear(2 * hidden, 1)

    def forward(self, values: Tensor) -> Tensor:
        """(N, T) logits of bars (N, T, 4)."""
        x = self.dropout(self.norm(functional.relu(self.step(channels(values)))))
        encoded, _ = self.lstm(x)  # (N, T, 2 H)
        logits: Tensor = self.last(self.dropout(encoded))[..., 0]
        return logits


@dataclass(frozen=True)
class Recipe:
    """How a network is trained."""

    build: Callable[[], nn.Module]
    balanced: bool  # whether bars in spans weigh as much as all others
    batch_size: int
    learning_rate: float
    weight_decay: float
    members: int = 1  # whose probabilities are averaged
    epochs: int = 100  # at most
    patience: int = 10


RECIPES = {
    "unet": Recipe(UNet, False, 32, 5e-3, 1e-2, members=3),
    "label-studio-lstm": Recipe(StepLSTM, True, 32, 5e-3, 1e-5),
}


class NetworkProxy(BaseEstimator):
    """A network that judges each bar of a window, cross-fitted inside the windows it is given.

    Inner held-out windows choose the number of passes and the decoder; the same number of members
    then learns from all windows. At each pass half of the windows are turned upside down.

    Parameters
    ----------
    name : str
        One of `RECIPES`.
    seed : int
    threads : int
        0 leaves them as they are.
    """

    feature_set = BARS
    per_bar = False

    def __init__(self, name: str = "unet", seed: int = 0, threads: int = 0) -> None:
        self.name = name
        self.seed = seed
        self.threads = threads

    def fit(self, features: FeatureSet, data: SpanDataset, target: Float | None = None) -> Self:
        """Learn from the labelled windows, or from ``target`` (N, T) in [0, 1] on all windows."""
        if target is None:
            seen = np.flatnonzero(data.labelled)
            features, data = features.take(seen), data.take(seen)
            target = data.mask
        check_target(target, features.values.shape[:2])
        x, y = torch.from_numpy(features.values), torch.from_numpy(np.asarray(target, np.float32))
        recipe, held_out = RECIPES[self.name], np.zeros(y.shape, np.float32)
        self.weight_ = float((1 - y).sum() / y.sum()) if recipe.balanced else 1.0
        with limited(self.threads), torch.random.fork_rng():
            torch.manual_seed(self.seed)
            passes = []
            for fold in splits.folds(data, INNER_FOLDS, seed=self.seed):
                inner = x[fold.train], y[fold.train], x[fold.test], y[fold.test]
                best, held_out[fold.test] = self._stopped(recipe, *inner)
                passes.append(best)
            self.decoder_ = decode.choose(held_out, data.spans)
            self.epochs_ = round(float(np.mean(passes)))
            self.members_ = _Members(recipe, self.weight_)
            for _ in range(self.epochs_):
                self.members_.epoch(x, y)
        return self

    def predict(self, features: FeatureSet) -> NDArray[np.float32]:
        """(N, T) probability of lying in a span."""
        with limited(self.threads):
            return self.members_.prob(torch.from_numpy(features.values))

    def detect(self, features: FeatureSet) -> Spans:
        """Spans, by the decoder chosen on inner held-out probabilities."""
        return self.decoder_.spans(self.predict(features))

    def _stopped(
        self, recipe: Recipe, x: Tensor, y: Tensor, unseen: Tensor, truth: Tensor
    ) -> tuple[int, NDArray[np.float32]]:
        """Find the passes after which the held-out loss is least, and what is then said."""
        least, best, said = np.inf, 0, np.zeros(truth.shape, np.float32)
        inside, members = truth.numpy() > 0.5, _Members(recipe, self.weight_)
        for done in range(1, recipe.epochs + 1):
            members.epoch(x, y)
            prob = members.prob(unseen)
            loss = -np.mean(np.log(np.clip(np.where(inside, prob, 1 - prob), 1e-7, 1)))
            if loss < least:
                least, best, said = loss, done, prob
            elif done - best >= recipe.patience:
                break
        return best, said


class _Members:
    """Networks that learn from the same windows, and their optimisers."""

    def __init__(self, recipe: Recipe, weight: float) -> None:
        self.recipe, self.weight = recipe, torch.tensor(weight)
        self.nets = [recipe.build() for _ in range(recipe.members)]
        rates = {"lr": recipe.learning_rate, "weight_decay": recipe.weight_decay}
        self.optimizers = [torch.optim.AdamW(net.parameters(), **rates) for net in self.nets]

    def epoch(self, x: Tensor, y: Tensor) -> None:
        """Pass over all windows once, each upside down or not."""
        upside_down = torch.tensor([0, 2, 1, 3])
        for net, optimizer in zip(self.nets, self.optimizers, strict=True):
            net.train()
            for windows in torch.randperm(len(x)).split(self.recipe.batch_size):
                turned = torch.rand(len(windows)) < 0.5
                values = x[windows]
                values[turned] = -values[turned][..., upside_down]
                loss = functional.binary_cross_entropy_with_logits(
                    net(values), y[windows], pos_weight=self.weight
                )
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(net.parameters(), CLIP)
                optimizer.step()

    @torch.inference_mode()
    def prob(self, x: Tensor) -> NDArray[np.float32]:
        """(N, T) mean calibrated probability: the odds lose the weight of the loss."""
        prob = torch.zeros(x.shape[:2])
        for net in self.nets:
            net.eval()
            logits = torch.cat([net(part) for part in x.split(BATCH)])
            prob += torch.sigmoid(logits - self.weight.log()) / len(self.nets)
        said: NDArray[np.float32] = prob.clamp_(0, 1).numpy()
        return said


class Ruptures(BaseEstimator):
    """Segments between change points, by how far they move for their length.

    Parameters
    ----------
    penalty : float
        Of a change point, in units of a standardised series' variance.
    """

    name = "ruptures"
    feature_set = BARS
    per_bar = False

    def __init__(self, penalty: float = 4.0) -> None:
        self.penalty = penalty

    def fit(self, features: FeatureSet, data: SpanDataset, target: Float | None = None) -> Self:
        """Learn how scores become probabilities, and where to cut."""
        seen = np.flatnonzero(data.labelled) if target is None else np.arange(len(data))
        y = data.mask[seen] if target is None else target
        check_target(y, (len(seen), data.n_bars))
        scores = self._scores(features.take(seen))
        self.scale_ = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
        self.scale_.fit(scores.ravel(), np.asarray(y, np.float64).ravel())
        self.decoder_ = decode.choose(self._prob(scores), data.take(seen).spans)
        return self

    def predict(self, features: FeatureSet) -> NDArray[np.float32]:
        """(N, T) probability of lying in a span."""
        return self._prob(self._scores(features))

    def detect(self, features: FeatureSet) -> Spans:
        """Segments probable enough."""
        return self.decoder_.spans(self.predict(features))

    def _prob(self, scores: Float) -> NDArray[np.float32]:
        return self.scale_.predict(scores.ravel()).reshape(scores.shape).astype(np.float32)

    def _scores(self, features: FeatureSet) -> NDArray[np.float64]:
        """(N, T) of each bar's segment, its move over what a random walk of its length makes."""
        import ruptures

        values = features.values.astype(np.float64)
        moves = np.diff(values[..., 3], axis=1, prepend=values[:, :1, 0])  # (N, T)
        moves /= np.maximum(moves.std(axis=1, keepdims=True), TINY)
        scores = np.zeros(moves.shape)
        for own, score in zip(moves, scores, strict=True):
            search = ruptures.KernelCPD("linear", min_size=2).fit(own[:, None])
            stops = search.predict(pen=self.penalty)
            for start, stop in zip([0, *stops[:-1]], stops, strict=True):
                score[start:stop] = abs(own[start:stop].sum()) / np.sqrt(stop - start)
        return scores


def make(name: str, *, seed: int = 0, threads: int = 0) -> NetworkProxy | Ruptures:
    """Build a peer by name."""
    return Ruptures() if name == "ruptures" else NetworkProxy(name, seed, threads)
