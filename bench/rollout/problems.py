"""The functions that replicas minimise: one of a task for each seed, and its minibatches.

A replica's randomness comes from its seed's own generator, drawn in blocks of a fixed number of steps, so neither the
replicas beside it nor the horizon change what it sees.
"""

import copy
import itertools
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Self

import torch
from torch import Tensor

from l2obench.bench.rollout.seeds import DRAW_STEPS, generator
from l2obench.tasks.base import Task, Tensors


class Problems:
    """One function of a task for each seed, with its stream of minibatches: what all settings of a seed share."""

    def __init__(
        self, task: Task, seeds: Sequence[int], device: str = "cpu", dtype: torch.dtype = torch.float32
    ) -> None:
        self.task = task
        self.device = torch.device(device)
        self.dtype = dtype
        self._generators = [generator(seed) for seed in seeds]
        problems = [task.sample(random) for random in self._generators]
        self.start = self._stack([problem.params for problem in problems])
        self._data = self._stack([problem.data for problem in problems])
        self._upcoming = self._batches()
        self._loss_and_grad = task.loss_and_grad

    def minibatch(self) -> Tensors:
        """The next step's minibatch, `[seeds, ...]` each."""
        return next(self._upcoming)

    def minibatches(self, steps: int) -> Tensors:
        """Those of the next `steps` steps, `[steps, seeds, ...]` each; where nothing is drawn, one that is shared."""
        batches = [self.minibatch() for _ in range(steps)]
        first = batches[0]
        if all(batch is first for batch in batches):
            return {name: value.expand(steps, *value.shape) for name, value in first.items()}
        return {name: torch.stack([batch[name] for batch in batches]) for name in first}

    def loss_and_grad(self, params: Tensors, losses_at: Tensors | None = None) -> tuple[Tensor, Tensors]:
        """Losses `[seeds, settings]` and gradients like `params` on the next minibatch.

        With `losses_at`, the losses are those at that point, on the same minibatch.
        """
        minibatch = self.minibatch()
        losses, grads = self._loss_and_grad(params, minibatch)
        if losses_at is not None:
            losses, _ = self._loss_and_grad(losses_at, minibatch)
        return losses, grads

    def differentiable(self) -> Self:
        """These functions and their stream of minibatches, with a gradient that autograd can pass through.

        It is that of `torch.func`: one written by hand for speed may work in place.
        """
        same = copy.copy(self)
        same._loss_and_grad = partial(Task.loss_and_grad, self.task)
        return same

    def _minibatch(self, draw: Tensors) -> Tensors:
        batch = self.task.minibatch(self._data, draw)
        return {name: tensor.to(self.dtype) if tensor.is_floating_point() else tensor for name, tensor in batch.items()}

    def _batches(self) -> Iterator[Tensors]:
        """Minibatches without end; where nothing is drawn, one for all steps."""
        while draws := self._stack([self.task.draw(random, DRAW_STEPS) for random in self._generators]):
            for step in range(DRAW_STEPS):
                yield self._minibatch({name: draw[:, step] for name, draw in draws.items()})
        yield from itertools.repeat(self._minibatch({}))

    def _stack(self, items: list[Tensors]) -> Tensors:
        stacked = {name: torch.stack([item[name] for item in items]) for name in items[0]}
        return {
            name: tensor.to(self.device, self.dtype if tensor.is_floating_point() else None)
            for name, tensor in stacked.items()
        }
