"""How many replicas fit into a budget of memory: seeds of a rollout that do not are run after one another.

What a replica takes is an estimate from the sizes of its tensors. Families whose activations outweigh everything else
state what they take, or run replica by replica.
"""

import os

import torch
from torch import Tensor

from l2obench.bench.rollout.seeds import DRAW_STEPS, generator
from l2obench.optimizers.base import Optimizer, tensors_bytes
from l2obench.tasks.base import Task

COPIES = 8  # of the parameters: θ_t, θ_{t+1}, gradient, update, and room for what makes them
BUFFER_COPIES = 3  # before and after an evaluation, and one under way
SHARE = 0.5  # of the memory that is free, where no budget is stated
GIB = 2**30


def seeds_that_fit(task: Task, optimizer: Optimizer, settings: int, budget: float) -> int:
    """How many seeds, `settings` replicas each, take no more than `budget` bytes; one at least."""
    return max(1, int(budget / seed_bytes(task, optimizer, settings)))


def settings_that_fit(task: Task, optimizer: Optimizer, budget: float) -> int:
    """How many settings of one seed take no more than `budget` bytes; one at least."""
    one, two = (seed_bytes(task, optimizer, settings) for settings in (1, 2))
    return max(1, 1 + int((budget - one) / (two - one)))


def seed_bytes(task: Task, optimizer: Optimizer, settings: int) -> float:
    """What one seed takes: its data, draws and minibatch, and for each setting parameters, activations and state."""
    random = generator(0)
    problem = task.sample(random)
    draws: dict[str, Tensor] = {}
    if (stream := task.stream(random)) is not None:
        minibatch = next(stream)
    else:
        draws = task.draw(random, DRAW_STEPS)
        step = {name: draw[:1] for name, draw in draws.items()}
        minibatch = task.minibatch({name: value.unsqueeze(0) for name, value in problem.data.items()}, step)
    params: dict[str, Tensor] = {  # all settings, since a stacked optimizer fits no other number of them
        name: value.expand(1, settings, *value.shape) for name, value in problem.params.items()
    }
    state = optimizer.state_bytes(optimizer.init(params))
    shared = tensors_bytes(problem.data) + tensors_bytes(draws) + 2 * tensors_bytes(minibatch)
    own = task.activation_bytes() + BUFFER_COPIES * tensors_bytes(problem.buffers)
    return shared + COPIES * tensors_bytes(params) + settings * own + state


def default_budget(device: str) -> float:
    """Half of the memory that is free now on the device, in bytes."""
    if device.startswith("cuda"):
        return SHARE * torch.cuda.mem_get_info(device)[0]
    try:
        with open("/proc/meminfo") as lines:  # a Path takes twice as long
            available = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, ValueError, StopIteration):
        available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return SHARE * available
