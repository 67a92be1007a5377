"""A hand-designed rule whose learning rate falls to zero over the run."""

import math
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from l2obench.optimizers.base import CoordinatewiseOptimizer, Optimizer, State, Tensors, Use, per_replica
from l2obench.optimizers.designed.adam import Adam
from l2obench.optimizers.designed.adamw import AdamW
from l2obench.optimizers.designed.momentum import Momentum
from l2obench.optimizers.designed.nag import NAG
from l2obench.optimizers.designed.rmsprop import RMSprop
from l2obench.optimizers.designed.sgd import SGD

RULES: dict[str, CoordinatewiseOptimizer] = {
    rule.name: rule(lr=1.0) for rule in (Adam, AdamW, Momentum, NAG, RMSprop, SGD)
}


class Cosine(Optimizer):
    """u = ½ (1 + cos(π t / T)) · u_rule, with t updates done of T; what the rule accumulates is as without.

    Source: Loshchilov & Hutter 2017, "SGDR: stochastic gradient descent with warm restarts", equation 5 with one period
    and η_min = 0; as `torch.optim.lr_scheduler.CosineAnnealingLR(T_max=T)`.

    State: `rule`, the state of the rule, and `step` t. `observe` adds `horizon` T `[seeds, settings]`.

    It knows how long the run is, which the other rules do not. On a drop-in optimizer take torch's scheduler.

    `NAME[schedule=cosine]` is the same up to rounding: there the update of the base rate is multiplied, here that of
    rate 1. Recipes inside checkpoints name this rule, so it stays. New suites take the schedule.
    """

    name: ClassVar[str] = "cosine"
    uses: ClassVar[tuple[Use, ...]] = ("horizon",)

    rule: Literal["adam", "adamw", "momentum", "nag", "rmsprop", "sgd"] = "adam"
    """Its other hyperparameters are at their defaults."""
    lr: float = Field(default=1e-3, gt=0)
    """The rule's learning rate at the first step."""

    def init(self, params: Tensors) -> State:
        return {"rule": RULES[self.rule].init(params), "step": 0}

    def observe(self, state: State, losses: Tensor, horizon: int) -> State:
        return {**state, "horizon": torch.full_like(losses, horizon)}

    def update(self, grads: Tensors, state: State, params: Tensors) -> tuple[Tensors, State]:
        if "horizon" not in state:
            raise ValueError("cosine must know the number of steps, got none. Try: call observe before update")
        updates, after = RULES[self.rule].update(grads, state["rule"], params)
        rate = self.lr * (1 + torch.cos(math.pi * state["step"] / state["horizon"])) / 2
        updates = {name: update * per_replica(rate, update) for name, update in updates.items()}
        return updates, {"rule": after, "step": state["step"] + 1}

    def flops_per_coordinate(self) -> float | None:
        flops = RULES[self.rule].flops_per_coordinate()
        return None if flops is None else flops + 1  # the rate
