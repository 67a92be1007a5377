"""The meta-parameters that a training begins with."""

import math
import re

import torch
from torch import Tensor

from l2obench.bench.config.recipe import Recipe, RecipeError
from l2obench.optimizers.base import Tensors
from l2obench.optimizers.learned.base import LearnedOptimizer

LSTM_BIAS = re.compile(r"(.*/)?lstm\d+\.bias")


def require_memory(recipe: Recipe, rule: LearnedOptimizer) -> None:
    """Refuse a recipe that wants LSTM cells to remember where there are none to begin with.

    Raises:
        RecipeError: the rule has none, or is trained already.
    """
    if recipe.memory is None:
        return
    if rule.meta_parameters:
        raise RecipeError(f"memory={recipe.memory} is for new meta-parameters; leave it or the checkpoint out")
    if not any(map(LSTM_BIAS.fullmatch, rule.meta_shapes())):
        raise RecipeError(f"memory={recipe.memory} is for LSTM cells, and {rule.name} has none; leave it out")


def initial(recipe: Recipe, rule: LearnedOptimizer, random: torch.Generator) -> Tensors:
    """φ of the rule's checkpoint, if it has one, or random ones as the recipe wants them."""
    if rule.meta_parameters:
        return dict(rule.meta_parameters)
    phi = dict(rule.initialised(random).meta_parameters)
    if recipe.init_std is not None:
        for name, tensor in phi.items():
            std = 0.0 if name.endswith("bias") else recipe.init_std
            tensor.normal_(0, std, generator=random)
    if recipe.memory is not None:
        biases = [name for name in phi if LSTM_BIAS.fullmatch(name)]
        phi |= {name: remembering(phi[name], recipe.memory, random) for name in biases}
    return phi


def remembering(bias: Tensor, longest: int, random: torch.Generator) -> Tensor:
    """Biases `[4 units]`, gates ordered input, forget, output, candidate, of cells with time scales τ from 1 to T − 1.

    With its gates at their biases, a cell forgets 1/(1 + τ) of its content in a step, f = τ/(1 + τ), and takes in as
    much, i = 1 − f. Source: Tallec & Ollivier 2018, equation 16; but for two things. Time scales are spread evenly over
    their logarithms, since an update needs the last gradients as well as the time. And what is taken in has a bias from
    U[−1, 1], so that cells fill when gradients are zero on average: together they are a clock.
    """
    units = len(bias) // 4
    logarithms = math.log(longest - 1) * torch.rand(units, generator=random)
    drifts = 2 * torch.rand(units, generator=random) - 1
    return torch.cat([-logarithms, logarithms, bias[2 * units : 3 * units], drifts])
