"""Adam."""

from collections.abc import Mapping
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.optim.adam import adam

from l2obench.optimizers.base import CoordinatewiseOptimizer, State, blend, per_replica, power
from l2obench.optimizers.search_space import ADAPTIVE_RATE, SCHEDULES, Decay, Dimension

# Coordinates from which on one pass over memory is worth the call of torch's fused kernel; measured on CPUs.
LARGE = 2**15


class Adam(CoordinatewiseOptimizer):
    """m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g², u = −lr · m̂ / (√v̂ + ε) with m̂ = m/(1 − β₁ᵗ), v̂ = v/(1 − β₂ᵗ).

    State of a tensor: `mean` m and `square` v, of its shape; `step` t, a number.

    Source: Kingma & Ba 2015, "Adam: a method for stochastic optimization", algorithm 1; as `torch.optim.Adam`.
    """

    name: ClassVar[str] = "adam"
    search_space: ClassVar[Mapping[str, Dimension] | None] = {
        "lr": ADAPTIVE_RATE,
        "beta1": Decay(0.5, 0.98),
        "beta2": Decay(0.9, 0.999),
        **SCHEDULES,
    }

    lr: float = Field(default=1e-3, gt=0)
    """Learning rate: about the size of an update of each coordinate. The default is the paper's, as are those below."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """Decay of the mean of gradients for each step."""
    beta2: float = Field(default=0.999, ge=0, lt=1)
    """Decay of the mean of squared gradients for each step."""
    epsilon: float = Field(default=1e-8, ge=0)
    """Added to √v̂, in the unit of a gradient: against division by zero."""

    def init_tensor(self, param: Tensor) -> State:
        return {"mean": torch.zeros_like(param), "square": torch.zeros_like(param), "step": 0}

    def update_tensor(self, grad: Tensor, state: State, param: Tensor) -> tuple[Tensor, State]:
        step = state["step"] + 1
        if self._can_be_fused(grad, state, param):
            return self._fused(grad, state, step), {**state, "step": step}
        beta1, beta2 = per_replica(self.beta1, grad), per_replica(self.beta2, grad)
        mean = blend(state["mean"], grad, 1 - beta1)
        square = blend(state["square"], grad * grad, 1 - beta2)
        # √v̂ + ε over a common factor, in one piece of memory: passes over memory are what this rule costs.
        correction = (1 - power(beta2, step)) ** 0.5
        update = square.sqrt().add_(per_replica(self.epsilon, grad) * correction)
        rate = per_replica(self.lr, grad) * (-correction / (1 - power(beta1, step)))
        return torch.div(mean, update, out=update).mul_(rate), {"mean": mean, "square": square, "step": step}

    def _can_be_fused(self, grad: Tensor, state: State, param: Tensor) -> bool:
        """Whether torch's fused kernel may do the work: it takes numbers and contiguous memory, and makes no graph."""
        if (
            grad.numel() < LARGE
            or grad.device.type != "cpu"
            or torch.is_grad_enabled()
            or torch.compiler.is_compiling()
        ):
            return False
        numbers = (self.beta1, self.beta2, self.epsilon)
        tensors = (grad, state["mean"], state["square"], param)
        return not any(isinstance(number, Tensor) for number in numbers) and all(
            tensor.is_contiguous() and tensor.dtype == grad.dtype for tensor in tensors
        )

    def _fused(self, grad: Tensor, state: State, step: int) -> Tensor:
        """The update, which is what the kernel makes of parameters that are 0; the state is overwritten.

        A learning rate for each replica is multiplied in afterwards.
        """
        update = torch.zeros_like(grad)
        stacked = isinstance(self.lr, Tensor)
        adam(
            *(
                [update],
                [grad],
                [state["mean"]],
                [state["square"]],
                [],
                [torch.as_tensor(step - 1.0, dtype=torch.float32)],
            ),
            fused=True,
            amsgrad=False,
            lr=1.0 if stacked else self.lr,
            beta1=self.beta1,
            beta2=self.beta2,
            eps=self.epsilon,
            weight_decay=0.0,
            maximize=False,
        )
        return update.mul_(per_replica(self.lr, grad)) if stacked else update

    def flops_per_coordinate(self) -> float | None:
        return 11  # m and v are blended by 3 each; g²; √, + ε, m / ( ), · lr
