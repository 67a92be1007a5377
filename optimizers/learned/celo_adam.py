"""Celo-Adam: Adam's direction under the learned schedule of Celo."""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from l2obench.optimizers.base import Optimizer, State, Tensors, Use, blend, per_replica
from l2obench.optimizers.learned.base import LearnedOptimizer
from l2obench.optimizers.learned.coordinate_features import LARGEST_GRADIENT
from l2obench.optimizers.learned.learned_schedule import (
    initial_schedule,
    random_weights,
    schedule_shapes,
    scheduled_factor,
)

# The released code's value, with which published weights were trained.
STEP_SIZE = 1e-3
BETA1, BETA2 = 0.9, 0.999


class CeloAdam(LearnedOptimizer, Optimizer):
    """u = −0.001 · ρ · m̂ / (√(v̂ + 1e-10) + 1e-8), with Adam's m̂ and v̂ at β of 0.9 and 0.999.

    ρ is one number for the whole model, from `scheduled_factor`. Gradients are first kept within ±1000.

    State: what `initial_schedule` says, and for each tensor by its name under `mean` and `square` m and v
    `[seeds, settings, ...]`; `loss` and `horizon` `[seeds, settings]` come from `observe`.

    Source: Moudgil et al. 2025, "Celo" (arXiv 2501.12670), with the values of the released code (amoudgl/celo).
    """

    name: ClassVar[str] = "celo-adam"
    uses: ClassVar[tuple[Use, ...]] = ("loss", "horizon")
    architecture: ClassVar[tuple[str, ...]] = ("hidden",)

    hidden: int = Field(default=64, ge=1, le=1024)
    """Units of the schedule's LSTM."""
    lr: float = Field(default=1.0, ge=0)
    """Multiplies the update; 1 is as trained."""

    def network_shapes(self) -> dict[str, tuple[int, ...]]:
        return schedule_shapes(self.hidden)

    def random_network(self, generator: torch.Generator) -> Tensors:
        return random_weights(self.network_shapes(), self.hidden, generator)

    def flops_per_coordinate(self) -> float | None:
        """m and v by a weighted mean each, g²; the corrections; ε twice, two roots and quotients; the schedule not."""
        return 1 + 3 + 3 + 2 + 4 + 1

    def init(self, params: Tensors) -> State:
        self.require_trained()
        moments = {
            part: {name: torch.zeros_like(param) for name, param in params.items()} for part in ("mean", "square")
        }
        return {**initial_schedule(self.meta_parameters, next(iter(params.values()))), **moments}

    def observe(self, state: State, losses: Tensor, horizon: int) -> State:
        return {**state, "loss": losses, "horizon": torch.full_like(losses, horizon)}

    def update(self, grads: Tensors, state: State, params: Tensors) -> tuple[Tensors, State]:
        if "loss" not in state:
            raise ValueError("celo-adam needs the loss and the number of steps: call `observe` before each update")
        phi = {name: tensor.to(state["loss"]) for name, tensor in self.meta_parameters.items()}
        factor, following = scheduled_factor(phi, state, state["loss"], state["horizon"])
        count = following["step"]
        updates, means, squares = {}, {}, {}
        for name, param in params.items():
            grad = grads[name].clamp(-LARGEST_GRADIENT, LARGEST_GRADIENT)
            means[name] = blend(state["mean"][name], grad, 1 - BETA1)
            squares[name] = blend(state["square"][name], grad * grad, 1 - BETA2)
            scale = (squares[name] / (1 - BETA2**count) + 1e-10).sqrt() + 1e-8
            direction = means[name] / (1 - BETA1**count) / scale
            updates[name] = direction * per_replica(factor * (-STEP_SIZE * self.lr), param)
        return updates, {**following, "mean": means, "square": squares}
