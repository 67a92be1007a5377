"""The meta-optimizer: learning rate schedule, gradient clipping, Adam, and a moving average of the meta-parameters."""

import math

import torch
from torch import Tensor

from l2obench.optimizers.base import State, Tensors
from l2obench.optimizers.designed.adam import Adam


def decay_learning_rate(lr: float, final: float, done: int, total: int) -> float:
    """Cosine decay from `lr` to `lr · final`.

    Args:
        lr: initial learning rate.
        final: fraction of it at the end.
        done: number of trajectories done.
        total: number of all trajectories.

    Example:
        >>> [round(decay_learning_rate(0.01, 0.1, done, 4), 5) for done in range(5)]
        [0.01, 0.00868, 0.0055, 0.00232, 0.001]
    """
    decay = 0.5 * (1 + math.cos(math.pi * done / total))
    return lr * (final + (1 - final) * decay)


def clip_by_norm(grads: Tensors, norm: Tensor, bound: float) -> Tensors:
    """Scale gradients down together to the norm `bound`, where their norm is higher.

    Args:
        grads: the meta-gradient.
        norm: its Euclidean norm over all meta-parameters, a scalar.
        bound: the highest norm that is left as it is.

    Example:
        >>> clip_by_norm({"w": torch.tensor([3.0, 4.0])}, torch.tensor(5.0), bound=1.0)
        {'w': tensor([0.6000, 0.8000])}

    Source: Pascanu et al. 2013, *On the difficulty of training recurrent neural networks*, algorithm 1.
    """
    factor = (bound / norm).clamp(max=1.0)
    return {name: grad * factor for name, grad in grads.items()}


def adam_step(
    phi: Tensors, grads: Tensors, mean: Tensors, square: Tensors, step: int, lr: float
) -> tuple[Tensors, Tensors, Tensors]:
    """One step of Adam on the meta-parameters, by the rule that the benchmark runs.

    Args:
        phi: the meta-parameters.
        grads: the meta-gradient, of the same shapes, as the next two.
        mean: moving average of the gradient.
        square: moving average of its square.
        step: number of this step, from 1 on.
        lr: learning rate.

    Returns:
        The next meta-parameters, mean and square.

    Source: Kingma & Ba 2015, algorithm 1.
    """
    state: State = {name: {"mean": mean[name], "square": square[name], "step": step - 1} for name in phi}
    updates, state = Adam(lr=lr).update(grads, state, phi)
    return (
        {name: phi[name] + updates[name] for name in phi},
        {name: state[name]["mean"] for name in phi},
        {name: state[name]["square"] for name in phi},
    )


def update_average(average: Tensors, phi: Tensors, decay: float, step: int) -> Tensors:
    """The moving average after one more φ (Polyak & Juditsky 1992).

    Args:
        average: before.
        phi: the new meta-parameters, of the same shapes.
        decay: of the average.
        step: number of meta-steps so far.

    Returns:
        The next average, of the same shapes.
    """
    # The decay grows with the steps: at the start the average must not remember the random initialization.
    weight = 1 - min(decay, step / (step + 10))
    return {name: torch.lerp(average[name], phi[name], weight) for name in phi}
