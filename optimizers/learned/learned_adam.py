"""Adam whose hyperparameters are meta-parameters: the smallest learned optimizer."""

import math
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from l2obench.optimizers.base import CoordinatewiseOptimizer, State, Tensors, blend, per_replica, root
from l2obench.optimizers.learned.base import LearnedOptimizer


class LearnedAdam(LearnedOptimizer, CoordinatewiseOptimizer):
    """Adam's formula; φ holds the logarithms of lr, 1 − β₁, 1 − β₂ and ε, at first those of Adam's defaults.

    With `networks=conv-fc`, convolution filters and all other parameters have values of their own.

    State of a tensor: that of `adam`.

    It shows how much of a learned optimizer's gain comes from a step size that was learned on the task.

    Source: Kingma & Ba 2015, algorithm 1, for the formula; logarithms as in google/learned_optimization
    (`LearnableAdam`).
    """

    name: ClassVar[str] = "learned-adam"
    architecture: ClassVar[tuple[str, ...]] = ("networks",)

    lr: float = Field(default=1.0, gt=0)
    """Multiplies the update; 1 is as trained. For learning-rate schedules on the drop-in optimizer."""

    def network_shapes(self) -> dict[str, tuple[int, ...]]:
        return dict.fromkeys(("log_lr", "log_one_minus_beta1", "log_one_minus_beta2", "log_epsilon"), ())

    def random_network(self, generator: torch.Generator) -> Tensors:
        """Adam's defaults: nothing is random."""
        values = zip(self.network_shapes(), (1e-3, 1 - 0.9, 1 - 0.999, 1e-8), strict=True)
        return {name: torch.tensor(math.log(value)) for name, value in values}

    def flops_per_coordinate(self) -> float | None:
        return 11  # as Adam: m and v are blended by 3 each; g²; √, + ε, m / ( ), · lr

    def init_tensor(self, param: Tensor) -> State:
        self.require_trained()
        return {"mean": torch.zeros_like(param), "square": torch.zeros_like(param), "step": 0}

    def update_tensor(self, grad: Tensor, state: State, param: Tensor) -> tuple[Tensor, State]:
        phi = {name: tensor.to(grad).exp() for name, tensor in self.meta_parameters.items()}
        step = state["step"] + 1
        mean = blend(state["mean"], grad, phi["log_one_minus_beta1"])
        square = blend(state["square"], grad * grad, phi["log_one_minus_beta2"])
        first = 1 - (1 - phi["log_one_minus_beta1"]) ** step
        second = (1 - (1 - phi["log_one_minus_beta2"]) ** step).sqrt()
        rate = phi["log_lr"] * second / first * per_replica(self.lr, grad)
        # √v̂ + ε over a common factor, as in Adam.
        update = mean / (root(square) + phi["log_epsilon"] * second) * -rate
        return update, {"mean": mean, "square": square, "step": step}
