"""Initial meta-parameters of a training: those of a checkpoint, or random ones."""

import math
import re

import torch
from torch import Tensor

from l2obench.bench.config.recipe import Recipe, RecipeError
from l2obench.optimizers.base import Tensors
from l2obench.optimizers.learned.base import LearnedOptimizer

LSTM_BIAS = re.compile(r"(.*/)?lstm\d+\.bias")


def require_memory(recipe: Recipe, rule: LearnedOptimizer) -> None:
    """Refuse a recipe with `memory` for a rule without untrained LSTM cells.

    Args:
        recipe: `memory` is T, the longest memory in steps; None: nothing is refused.
        rule: the learned optimizer.

    Raises:
        RecipeError: the rule has no LSTM cells, or has a checkpoint.
    """
    if recipe.memory is None:
        return
    if rule.meta_parameters:
        raise RecipeError(f"memory must be left out with a checkpoint, got {recipe.memory}. Try: leave one of them out")
    if not any(map(LSTM_BIAS.fullmatch, rule.meta_shapes())):
        raise RecipeError(f"memory must be left out for {rule.name}, which has no LSTM cells, got {recipe.memory}")


def make_initial(recipe: Recipe, rule: LearnedOptimizer, random: torch.Generator) -> Tensors:
    """The meta-parameters φ of the rule's checkpoint, if it has one, else random ones.

    Args:
        recipe: gives `init_std` and `memory`.
        rule: the learned optimizer.
        random: draws the values.

    Returns:
        Meta-parameters by name, in the shapes of the rule.
    """
    if rule.meta_parameters:
        return dict(rule.meta_parameters)
    phi = dict(rule.initialised(random).meta_parameters)
    if recipe.init_std is not None:
        for name, tensor in phi.items():
            std = 0.0 if name.endswith("bias") else recipe.init_std
            tensor.normal_(0, std, generator=random)
    if recipe.memory is not None:
        biases = [name for name in phi if LSTM_BIAS.fullmatch(name)]
        phi |= {name: memory_biases(phi[name], recipe.memory, random) for name in biases}
    return phi


def memory_biases(bias: Tensor, longest: int, random: torch.Generator) -> Tensor:
    """Biases of LSTM cells with time scales τ from 1 to T − 1.

    With its gates at their biases, a cell forgets 1/(1 + τ) of its content in a step, f = τ/(1 + τ), and takes in as
    much, i = 1 − f. Two things differ from the paper. Time scales are spaced evenly in their logarithms, since an
    update needs the last gradients as well as the time. And candidates get a bias from U[−1, 1], so that cells fill
    even when gradients are zero on average: together they count the steps.

    Args:
        bias: `[4 · units]`, gates in the order input, forget, output, candidate; only the output gate's are kept.
        longest: T, the longest memory in steps.
        random: draws time scales and candidates.

    Returns:
        Biases of the same shape and order.

    Source: Tallec & Ollivier 2018, *Can recurrent neural networks warp time?*, equation 16.
    """
    units = len(bias) // 4
    logarithms = math.log(longest - 1) * torch.rand(units, generator=random)
    drifts = 2 * torch.rand(units, generator=random) - 1
    return torch.cat([-logarithms, logarithms, bias[2 * units : 3 * units], drifts])
