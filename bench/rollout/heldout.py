"""Held-out metrics along a rollout: where they are taken, and that taking them changes no number of the training."""

from collections.abc import Sequence

import torch

from l2obench.bench.failures import ContractBroken, from_model
from l2obench.bench.rollout.guard import Unchanged
from l2obench.bench.rollout.step import Carry, evaluation_point
from l2obench.foundation.global_settings import settings_kept
from l2obench.optimizers.base import Optimizer
from l2obench.tasks.base import Task, Tensors


def evaluation_steps(horizon: int, points: int) -> list[int]:
    """Give the steps at which held-out metrics are taken: the start, evenly spaced ones, and always the last.

    Args:
        horizon: steps of the rollout.
        points: evaluations after the start; 0: only at the last step.

    Example:
        >>> evaluation_steps(100, 4), evaluation_steps(3, 10), evaluation_steps(100, 0)
        ([0, 25, 50, 75, 100], [0, 1, 2, 3], [100])
    """
    if not points:
        return [horizon]
    return sorted({(horizon * k + points // 2) // points for k in range(points + 1)})


class HeldOutCurve:
    """Takes held-out metrics of a rollout as it proceeds.

    Args:
        task: the family.
        optimizer: the rule; it may name another point than θ_t.
        steps: at which metrics are taken, rising. Where a program takes several steps at once, they are taken at its
            end, so that the same steps are compiled as without them.
    """

    def __init__(self, task: Task, optimizer: Optimizer, steps: Sequence[int]) -> None:
        self._task = task
        self._optimizer = optimizer
        self._waiting = list(steps)
        self._taken: list[tuple[int, Tensors]] = []

    def take(self, carry: Carry) -> None:
        """Take the metrics if their step has come. Generators and settings of the process stay as they are.

        Args:
            carry: that of the present step. Its tensors are only read.

        Raises:
            ContractBroken: the task changed the parameters.
        """
        if not self._waiting or carry.step < self._waiting[0]:
            return
        self._waiting = [step for step in self._waiting if step > carry.step]
        point = evaluation_point(self._optimizer, carry)
        inputs = Unchanged({"params": point, "buffers": carry.buffers}, thorough=not self._taken)
        device = next(iter(point.values())).device
        with settings_kept(), torch.random.fork_rng([device] if device.type == "cuda" else []), from_model:
            measured = self._task.evaluate_with_buffers(point, carry.buffers)
            values = {name: value.cpu() for name, value in measured.items()}
        inputs.require_unchanged("evaluate")
        if not values:  # no held-out data
            self._waiting = []
            return
        if self._taken and _shapes(values) != _shapes(self.last):
            before, now = ", ".join(self.last), ", ".join(values)
            raise ContractBroken(f"evaluate must give the same metrics every time, got {now} after {before}")
        self._taken.append((carry.step, values))

    @property
    def last(self) -> Tensors:
        """The metrics that were taken last, `[seeds, settings]` each; empty without held-out data."""
        return self._taken[-1][1] if self._taken else {}

    @property
    def steps(self) -> list[int]:
        """Steps at which metrics were taken."""
        return [step for step, _ in self._taken]

    @property
    def curves(self) -> Tensors:
        """The metrics at `steps`, `[seeds, settings, points]` each."""
        return {name: torch.stack([taken[name] for _, taken in self._taken], dim=-1) for name in self.last}


def _shapes(values: Tensors) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in values.items()}
