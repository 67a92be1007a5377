"""The functions that replicas minimise: one of a task for each seed, and its minibatches.

A replica's randomness comes from its seed's own generator, drawn in blocks of a fixed number of steps, so neither the
replicas beside it nor the horizon change what it sees.
"""

import contextlib
import copy
import itertools
from collections.abc import Iterator, Sequence
from typing import Self

import torch
from torch import Tensor

from l2obench.bench.config.registry import task_registry
from l2obench.bench.failures import ContractBroken, from_model
from l2obench.bench.rollout.proof import Proof, drawing_nothing
from l2obench.bench.rollout.seeds import DRAW_STEPS, generator
from l2obench.tasks.base import Task, Tensors

UNWATCHED = contextlib.nullcontext()


class Problems:
    """One function of a task for each seed, with its stream of minibatches: what all settings of a seed share.

    Args:
        task: the family.
        seeds: one for each function (`derive_seed`).
        device: the torch device; draws are made on the CPU, so that they are the same on every device.
        dtype: of parameters, data and losses.
        prove: hash what each seed draws, and refuse a task that draws from the global generators.

    Raises:
        ContractBroken: the functions' tensors differ in shape.
    """

    def __init__(
        self,
        task: Task,
        seeds: Sequence[int],
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        *,
        prove: bool = False,
    ) -> None:
        self.task = task
        self.device = torch.device(device)
        self.dtype = dtype
        self._generators = [generator(seed) for seed in seeds]
        self._proof = Proof(len(seeds)) if prove else None
        # Only others' code: our tests hold our tasks to it, and they run where other threads may draw, as Dask's do.
        foreign = task_registry().foreign(task.name)
        self._watched = {"sample", "draw", "loss"} if prove and foreign else set[str]()
        """Methods whose first call is held to draw nothing from the global generators."""
        with from_model, self._watch("sample"):
            problems = [task.sample(random) for random in self._generators]
            self.start = self._stack([problem.params for problem in problems])
            self.buffers = self._stack([problem.buffers for problem in problems])
            self._data = self._stack([problem.data for problem in problems])
        if self._proof is not None:
            self._proof.add("params", [problem.params for problem in problems])
            self._proof.add("buffers", [problem.buffers for problem in problems])
            self._proof.add("data", [problem.data for problem in problems])
        # Of a copy: a generator that holds what holds it would keep data, and a loader's workers, until Python looks
        # for cycles. Workers that are found so wait five seconds each before they end.
        self._upcoming = copy.copy(self)._batches()
        self._evaluation = task.loss_grad_and_buffers

    def minibatch(self) -> Tensors:
        """Take the next step's minibatch, `[seeds, ...]` each."""
        return next(self._upcoming)

    def minibatches(self, steps: int) -> Tensors:
        """Take the minibatches of the next `steps` steps.

        Args:
            steps: 1 or more.

        Returns:
            `[steps, seeds, ...]` each. Where nothing is drawn, one minibatch expanded over steps, without a copy.
        """
        batches = [self.minibatch() for _ in range(steps)]
        first = batches[0]
        if all(batch is first for batch in batches):
            return {name: value.expand(steps, *value.shape) for name, value in first.items()}
        return {name: torch.stack([batch[name] for batch in batches]) for name in first}

    def loss_grad_and_buffers(
        self, params: Tensors, buffers: Tensors, losses_at: Tensors | None = None
    ) -> tuple[Tensor, Tensors, Tensors]:
        """Evaluate losses, gradients and buffers on the next minibatch.

        Args:
            params: θ, `[seeds, settings, ...]` each.
            buffers: those before the evaluation, `[seeds, settings, ...]` each.
            losses_at: where losses and buffers are taken instead, on the same minibatch. A model that is evaluated
                there needs the statistics of batch norm from there (Defazio et al. 2024, *The road less scheduled*).

        Returns:
            Losses `[seeds, settings]`, gradients like `params`, and the buffers after the evaluation.
        """
        minibatch = self.minibatch()
        with from_model, self._watch("loss"):
            losses, grads, following = self._evaluation(params, buffers, minibatch)
            if losses_at is not None:
                losses, _, following = self._evaluation(losses_at, buffers, minibatch)
        return losses, grads, following

    def heldout_loss(self, params: Tensors, buffers: Tensors) -> Tensor | None:
        """Evaluate the held-out loss.

        Args:
            params: θ, `[seeds, settings, ...]` each.
            buffers: those after the last evaluation, likewise.

        Returns:
            `[seeds, settings]`; None where the task has none, by the name `loss`.
        """
        with from_model:
            return self.task.evaluate_with_buffers(params, buffers).get("loss")

    def function_hashes(self) -> list[str]:
        """Give the hash of what each seed drew so far; without `prove` none."""
        return [] if self._proof is None else self._proof.hexdigests()

    def differentiable(self) -> Self:
        """These functions and their stream of minibatches, with a gradient that autograd can pass through."""
        same = copy.copy(self)
        same._evaluation = self.task.differentiable_loss_grad_and_buffers
        return same

    def _minibatch(self, draw: Tensors) -> Tensors:
        with from_model:
            batch = self.task.minibatch(self._data, draw)
        return {name: tensor.to(self.dtype) if tensor.is_floating_point() else tensor for name, tensor in batch.items()}

    def _streamed(self, streams: list[Iterator[Tensors]]) -> Iterator[Tensors]:
        """The next minibatch of every stream, without end, with the data of every function."""
        while True:
            with from_model:
                batches = [next(stream) for stream in streams]
                stacked = self._stack(batches)
            if self._proof is not None:
                self._proof.add("minibatch", batches)
            yield {**self._data, **stacked}

    def _batches(self) -> Iterator[Tensors]:
        """Minibatches without end; where nothing is drawn, one for all steps."""
        streams = [stream for random in self._generators if (stream := self.task.stream(random)) is not None]
        if streams:
            yield from self._streamed(streams)
        while draws := self._draw():
            for step in range(DRAW_STEPS):
                yield self._minibatch({name: draw[:, step] for name, draw in draws.items()})
        yield from itertools.repeat(self._minibatch({}))

    def _draw(self) -> Tensors:
        """The draws of the next steps, `[seeds, steps, ...]` each."""
        with from_model, self._watch("draw"):
            drawn = [self.task.draw(random, DRAW_STEPS) for random in self._generators]
            stacked = self._stack(drawn)
        if self._proof is not None:
            self._proof.add("draws", drawn)
        return stacked

    def _watch(self, method: str) -> contextlib.AbstractContextManager[None]:
        if method not in self._watched:
            return UNWATCHED
        self._watched.remove(method)
        return drawing_nothing(f"{method} of {self.task.name}")

    def _stack(self, items: list[Tensors]) -> Tensors:
        stacked = {name: _stack_of_seeds(name, [item[name] for item in items]) for name in items[0]}
        return {
            name: tensor.to(self.device, self.dtype if tensor.is_floating_point() else None)
            for name, tensor in stacked.items()
        }


def _stack_of_seeds(name: str, tensors: list[Tensor]) -> Tensor:
    """The tensors of all seeds, `[seeds, ...]`.

    Raises:
        ContractBroken: their shapes differ, as those of minibatches do that are padded to their longest example.
    """
    shapes = {tuple(tensor.shape) for tensor in tensors}
    if len(shapes) > 1:
        listed = " and ".join(map(str, sorted(shapes)[:2]))
        raise ContractBroken(
            f"{name!r} must have one shape for all seeds, got {listed}. Try: pad every minibatch to one length"
        )
    return torch.stack(tensors)
