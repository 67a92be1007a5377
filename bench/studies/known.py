"""A task family and a rule whose meta-gradient has a closed form, to measure estimators against."""

from typing import ClassVar

import torch
from torch import Tensor

from l2obench.optimizers.base import CoordinatewiseOptimizer, State
from l2obench.optimizers.learned.base import LearnedOptimizer
from l2obench.tasks.base import Problem, Task, Tensors


class Bowl(Task):
    """f(θ) = ½ h θ² in one dimension, with h drawn uniformly from [0.2, 1] and θ₀ = 1."""

    name: ClassVar[str] = "bowl"

    def sample(self, generator: torch.Generator) -> Problem:
        return Problem({"theta": torch.ones(1)}, {"h": 0.2 + 0.8 * torch.rand(1, generator=generator)})

    def loss(self, params: Tensors, batch: Tensors) -> Tensor:
        return (0.5 * batch["h"] * params["theta"].square()).sum()


class LearnedRate(LearnedOptimizer, CoordinatewiseOptimizer):
    """u = −e^φ g: gradient descent with one meta-parameter, the logarithm of its rate."""

    name: ClassVar[str] = "learned-rate"
    architecture: ClassVar[tuple[str, ...]] = ()

    def network_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"log_rate": ()}

    def random_network(self, generator: torch.Generator) -> Tensors:
        return {"log_rate": torch.randn((), generator=generator)}

    def init_tensor(self, param: Tensor) -> State:
        return {}

    def update_tensor(self, grad: Tensor, state: State, param: Tensor) -> tuple[Tensor, State]:
        return -self.meta_parameters["log_rate"].exp() * grad, state


def true_meta_gradient(h: Tensor, log_rate: float, weights: Tensor) -> Tensor:
    """d/dφ of the mean over `h [functions]` of Σ_t w_t f(θ_t), with `weights [steps]`, nothing dropped.

    θ_t = (1 − αh)^t with α = e^φ, so df(θ_t)/dφ = −α h² t (1 − αh)^{2t−1}.

    Args:
        h: curvature of each function, `[functions]`.
        log_rate: φ.
        weights: w_1 … w_T, `[steps]`.

    Returns:
        A scalar.
    """
    t = torch.arange(1, len(weights) + 1, dtype=h.dtype)
    alpha = torch.tensor(log_rate, dtype=h.dtype).exp()
    slopes = -alpha * h[:, None].square() * t * (1 - alpha * h[:, None]) ** (2 * t - 1)
    return (weights * slopes).sum(-1).mean()
