"""One step of learning, in two halves: the gradients of a batch, then the weights.

The kernels of a small recurrent network take less time than the CPU takes to launch them. On a GPU
each half is therefore captured once as a CUDA graph, for each size of batch, and replayed whole.
Processes that train together launch kernel by kernel: graphs do not wait for one another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from deep import parallel
from deep.losses import Objective
from deep.training import Training


class Gradients:
    """Sets the gradients of a batch.

    Parameters
    ----------
    training : Training
    objective : Objective
    values : (N, T, F) Tensor
        Features of all windows, on the model's device.
    """

    def __init__(self, training: Training, objective: Objective, values: Tensor) -> None:
        self.training, self.objective, self.values = training, objective, values
        self.network = parallel.wrapped(training.model)

    def __call__(self, batch: Tensor) -> Tensor:
        """Of windows (n,); returns what is minimised, then each task's loss."""
        training, windows = self.training, parallel.part(batch)
        losses = self.objective.losses(self.network(self.values[windows]), windows, batch)
        loss = self.objective.total(training.model, parallel.scaled(losses))
        # A graph knows gradients by their place in memory.
        training.optimizer.zero_grad(set_to_none=not _captures(self.values))
        loss.backward()  # type: ignore[no-untyped-call]
        return torch.stack([loss / parallel.world(), *losses.values()]).detach()


class Move:
    """Moves the weights of a training by their gradients."""

    def __init__(self, training: Training) -> None:
        self.training = training

    def __call__(self) -> None:
        """Clip, and step."""
        training = self.training
        if training.settings.clip:
            nn.utils.clip_grad_norm_(training.model.parameters(), training.settings.clip)
        training.optimizer.step()


def halves(
    training: Training, objective: Objective, values: Tensor
) -> tuple[Callable[[Tensor], Tensor], Callable[[], None]]:
    """Return both halves of a step, on a GPU captured; see `Gradients` and `Move`."""
    gradients, move = Gradients(training, objective, values), Move(training)
    return (Captured(gradients), Captured(move)) if _captures(values) else (gradients, move)


def _captures(values: Tensor) -> bool:
    return values.is_cuda and parallel.world() == 1


class Captured:
    """A function of CUDA tensors as graphs, one for each number of rows they have.

    The first call with a number of rows runs as written, which compiles kernels and sets memory
    aside; the second is captured. What a call returns stands until the next one.

    Parameters
    ----------
    function : callable
        Launches the same kernels in the same memory every time, but for its arguments. It must not
        hold on to what is made of it: a graph in a cycle would be freed when garbage is collected,
        which may be while another is captured, and that fails.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self.graphs: dict[tuple[int, ...], _Graph | None] = {}

    def __call__(self, *given: Tensor) -> Any:
        """Run on tensors whose first dimension alone may change."""
        size = tuple(len(x) for x in given)
        if size not in self.graphs:
            self.graphs[size] = None
            return self._aside(given)
        graph = self.graphs[size] or _Graph(self.function, given, self.stream)
        self.graphs[size] = graph
        return graph(given)

    def _aside(self, given: tuple[Tensor, ...]) -> Any:
        """Run on the stream that captures: autograd remembers where a gradient was first added."""
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            result = self.function(*given)
        torch.cuda.current_stream().wait_stream(self.stream)
        return result


class _Graph:
    """One capture: the memory it reads its arguments from, and the memory of its result."""

    def __init__(
        self, function: Callable[..., Any], given: tuple[Tensor, ...], stream: torch.cuda.Stream
    ) -> None:
        self.given = [x.clone() for x in given]
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph, stream=stream):
            self.result = function(*self.given)

    def __call__(self, given: tuple[Tensor, ...]) -> Any:
        for ours, theirs in zip(self.given, given, strict=True):
            ours.copy_(theirs)
        self.graph.replay()
        return self.result
