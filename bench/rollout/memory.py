"""How many replicas fit into a budget of memory. Seeds of a rollout that do not fit together run one after another.

What a replica takes is an estimate from the sizes of its tensors. Families whose activations outweigh everything else
state what they take, or run replica by replica.
"""

import os

import torch
from torch import Tensor

from l2obench.bench.rollout.seeds import DRAW_STEPS, generator
from l2obench.foundation.tensors import tensors_bytes
from l2obench.optimizers.base import Optimizer
from l2obench.tasks.base import Task

# Copies of the parameters: θ_t, θ_{t+1}, gradient, update, and room for what makes them.
COPIES = 8
# Copies of the buffers: before and after an evaluation, and one under way.
BUFFER_COPIES = 3
# The share of the free memory that is used unless a budget is given. The rest is for other processes, and for what the
# estimate leaves out.
SHARE = 0.5
GIB = 2**30
# Where a system does not say how much memory it has, as Windows without further packages.
UNKNOWN_MEMORY = 4 * GIB


def seeds_that_fit(task: Task, optimizer: Optimizer, settings: int, budget: float) -> int:
    """Count the seeds that fit into a budget.

    Args:
        task: the family.
        optimizer: the rule, whose state counts.
        settings: replicas of each seed.
        budget: bytes.

    Returns:
        At least 1: one seed runs in whatever memory there is.

    Example:
        >>> from l2obench.optimizers.designed.adam import Adam
        >>> from l2obench.tasks.quadratic import Quadratic
        >>> few, many = (seeds_that_fit(Quadratic(), Adam(), settings, 10 * 2**20) for settings in (21, 1))
        >>> few < many
        True
    """
    return max(1, int(budget / seed_bytes(task, optimizer, settings)))


def settings_that_fit(task: Task, optimizer: Optimizer, budget: float) -> int:
    """Count the settings of one seed that fit into a budget. Tuning splits its learning rates by it.

    Args:
        task: the family.
        optimizer: the rule, whose state counts.
        budget: bytes.

    Returns:
        At least 1: one setting runs in whatever memory there is.
    """
    one, two = (seed_bytes(task, optimizer, settings) for settings in (1, 2))
    return max(1, 1 + int((budget - one) / (two - one)))


def seed_bytes(task: Task, optimizer: Optimizer, settings: int) -> float:
    """Estimate the bytes of one seed: data, draws and minibatch; for each setting parameters, activations, state.

    Args:
        task: the family; one function is sampled to learn its sizes.
        optimizer: the rule; its state is made once.
        settings: replicas of the seed.

    Returns:
        Bytes. An estimate from the sizes of tensors, not a measurement.
    """
    random = generator(0)
    problem = task.sample(random)
    draws: dict[str, Tensor] = {}
    if (stream := task.stream(random)) is not None:
        minibatch = next(stream)
    else:
        draws = task.draw(random, DRAW_STEPS)
        step = {name: draw[:1] for name, draw in draws.items()}
        minibatch = task.minibatch({name: value.unsqueeze(0) for name, value in problem.data.items()}, step)
    # All settings at once, since a stacked optimizer fits no other number of them.
    params: dict[str, Tensor] = {
        name: value.expand(1, settings, *value.shape) for name, value in problem.params.items()
    }
    state = optimizer.state_bytes(optimizer.init(params))
    shared = tensors_bytes(problem.data) + tensors_bytes(draws) + 2 * tensors_bytes(minibatch)
    own = task.activation_bytes() + BUFFER_COPIES * tensors_bytes(problem.buffers)
    return shared + COPIES * tensors_bytes(params) + settings * own + state


def default_budget(device: str) -> float:
    """Give half of the memory that is free now on the device, in bytes.

    Args:
        device: the torch device, such as `cpu` or `cuda:0`.
    """
    if device.startswith("cuda"):
        return SHARE * torch.cuda.mem_get_info(device)[0]
    try:
        # Not through a Path, which takes twice as long: tuning asks for each of its rollouts.
        with open("/proc/meminfo") as lines:
            available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, ValueError, StopIteration):
        known = hasattr(os, "sysconf")
        available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2 if known else UNKNOWN_MEMORY
    return SHARE * available
