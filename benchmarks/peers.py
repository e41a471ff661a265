"""What a user would pick instead: two plain networks and change points, each at its fair best.

They read bars, not features (`benchmarks.bars`). All three satisfy the proxy
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
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.bars import BARS
from benchmarks.change_points import Ruptures
from benchmarks.networks import StepLSTM, UNet
from deep.device import limited
from proxytools import decode, splits
from proxytools.proxies.bars import check_target
from proxytools.types import FeatureSet, Float, SpanDataset, Spans

INNER_FOLDS = 3
CLIP = 1.0  # of the gradient's norm
BATCH = 256  # windows scored at once
NAMES = ("unet", "label-studio-lstm", "ruptures")


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


def make(name: str, *, seed: int = 0, threads: int = 0) -> NetworkProxy | Ruptures:
    """Build a peer by name."""
    return Ruptures() if name == "ruptures" else NetworkProxy(name, seed, threads)
