"""Whether an optimizer gives equal numbers twice: a plugin may have a generator of its own that nobody can seed."""

from collections.abc import Callable

import torch
from torch import Tensor

from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.step import advance_guarded, start
from l2obench.foundation.global_settings import seeded
from l2obench.optimizers.base import Optimizer
from l2obench.tasks.base import Task

# Two times as many steps of one seed cost little beside a cell, and see what begins to draw after a warm-up.
SHARE_OF_HORIZON = 0.1
LEAST_STEPS = 3
# Sums on a GPU are not always made in the same order.
GPU_TOLERANCE = 1e-4


@torch.no_grad()
def repeats(
    task: Task, make: Callable[[], Optimizer], seed: int, device: str, progress: Callable[[], object] = lambda: None
) -> bool:
    """Take the first tenth of the steps twice, each time with a new optimizer, and compare the losses.

    Args:
        task: the family of functions.
        make: makes the optimizer anew.
        seed: of the function.
        device: the torch device.
        progress: called after each step.

    Returns:
        Whether the losses are equal: on the CPU to the last bit. What fails on a second start does not repeat either.

    Example:
        >>> from l2obench.optimizers.designed.sgd import SGD
        >>> from l2obench.tasks.quadratic import Quadratic
        >>> repeats(Quadratic(), lambda: SGD(lr=0.01), seed=0, device="cpu")
        True
    """
    try:
        first, second = (_first_losses(task, make, seed, device, progress) for _ in range(2))
    except Exception:
        return False
    tolerance = 0.0 if torch.device(device).type == "cpu" else GPU_TOLERANCE
    return bool(torch.allclose(first, second, rtol=tolerance, atol=tolerance, equal_nan=True))


def steps_compared(horizon: int) -> int:
    """Count the steps that are taken twice.

    Args:
        horizon: of the task.

    Example:
        >>> steps_compared(2), steps_compared(1000)
        (2, 100)
    """
    return min(horizon, max(LEAST_STEPS, round(SHARE_OF_HORIZON * horizon)))


def _first_losses(
    task: Task, make: Callable[[], Optimizer], seed: int, device: str, progress: Callable[[], object]
) -> Tensor:
    """The first losses, `[steps + 1]`; the global generators are set alike each time."""
    with seeded("repetition"):
        optimizer = make()
        problems = Problems(task, [seed], device, torch.float32)
        carry = start(problems, optimizer)
        losses = [carry.losses]
        for _ in range(steps_compared(task.horizon)):
            carry = advance_guarded(problems, optimizer, carry)
            losses.append(carry.losses)
            progress()
    return torch.cat([loss.flatten() for loss in losses])
