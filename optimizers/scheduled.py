"""A learning-rate schedule for any rule: its rate is multiplied by a factor of how much of the run is over.

`adam[schedule=cosine]` is Adam with the fields of `Scheduled`. The rule itself knows nothing of it.
"""

import math
from functools import lru_cache
from typing import Any, Literal

import torch
from pydantic import Field, create_model, model_validator
from torch import Tensor

from l2obench.optimizers.base import Optimizer, State, Tensors, per_replica
from l2obench.optimizers.bridged.torch_optim import TorchOptimizer

Schedule = Literal["constant", "linear", "cosine", "wsd"]
FIELDS = ("schedule", "warmup", "cooldown")
"""Parameters of an identity that ask for a schedule."""


def schedule_factor(schedule: Schedule, warmup: float, cooldown: float, step: int | Tensor, horizon: Tensor) -> Tensor:
    """The factor of the rate in one step.

    t updates are done of T. W = round(warmup · T) and D = round(cooldown · T) steps; s = max(0, t − W) / (T − W). The
    factor is min(1, (t + 1) / W) times 1 (`constant`), 1 − s (`linear`), ½ (1 + cos π s) (`cosine`), or
    min(1, (T − t) / D) (`wsd`).

    Args:
        schedule: the form after the warm-up.
        warmup: the share of the run in which the rate rises.
        cooldown: of `wsd`, the share of the run at its end in which the rate falls to zero.
        step: t.
        horizon: T of each replica, `[seeds, settings]`.

    Returns:
        `[seeds, settings]`.

    Example:
        >>> horizon = torch.tensor([[10.0]])
        >>> [round(float(schedule_factor("wsd", 0.2, 0.3, step, horizon)), 2) for step in range(10)]
        [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.67, 0.33]

    Source: Goyal et al. 2017, section 2.2, for the warm-up; Loshchilov & Hutter 2017, equation 5, for the cosine; Hu et
        al. 2024, "MiniCPM", section 4.2, for warm-up, stable, decay. As `torch.optim.lr_scheduler` has them: `LinearLR`
        from 1 / W, then `ConstantLR`, `LinearLR` to 0 or `CosineAnnealingLR`.
    """
    rising = torch.round(warmup * horizon)
    factor = ((step + 1) / rising.clamp_min(1)).clamp_max(1)
    if schedule == "wsd":
        falling = torch.round(cooldown * horizon)
        return factor * ((horizon - step) / falling.clamp_min(1)).clamp_max(1)
    over = (step - rising).clamp_min(0) / (horizon - rising).clamp_min(1)
    if schedule == "linear":
        return factor * (1 - over)
    return factor * (1 + torch.cos(math.pi * over)) / 2 if schedule == "cosine" else factor


class Scheduled(Optimizer):
    """What a rule gains by a schedule: u = c(t) · u_rule, and what the rule accumulates is as without.

    The base rate is what gets tuned. A learned rule has its update multiplied too; its step pays for that.

    State: `rule`, the state of the rule, and `step` t. `observe` adds `horizon` T `[seeds, settings]`.
    """

    schedule: Schedule = "constant"
    """Form of the learning rate over the run."""
    warmup: float = Field(default=0.0, ge=0, lt=1)
    """Share of the run in which the learning rate rises from near zero."""
    cooldown: float = Field(default=0.3, gt=0, le=1)
    """Of `wsd`, the share of the run at its end in which the learning rate falls to zero."""

    @model_validator(mode="after")
    def _require_room(self) -> "Scheduled":
        if self.schedule == "wsd" and self.warmup + self.cooldown > 1:
            raise ValueError(
                f"warmup and cooldown must be at most 1 together, got {self.warmup} and {self.cooldown}. "
                "Try: a smaller cooldown"
            )
        if self.schedule != "wsd" and "cooldown" in self.model_fields_set:
            raise ValueError(f"cooldown belongs to schedule=wsd, got schedule={self.schedule}. Try: schedule=wsd")
        return self

    def init(self, params: Tensors) -> State:
        return {"rule": super().init(params), "step": 0}  # type: ignore[safe-super]

    def observe(self, state: State, losses: Tensor, horizon: int) -> State:
        after = super().observe(state["rule"], losses, horizon)
        return {"rule": after, "step": state["step"], "horizon": torch.full_like(losses, horizon)}

    def update(self, grads: Tensors, state: State, params: Tensors) -> tuple[Tensors, State]:
        updates, after = super().update(grads, state["rule"], params)  # type: ignore[safe-super]
        factor = self.factor(state)
        updates = {name: update * per_replica(factor, update) for name, update in updates.items()}
        return updates, {**state, "rule": after, "step": state["step"] + 1}

    def evaluation_point(self, params: Tensors, state: State) -> Tensors | None:
        return super().evaluation_point(params, state["rule"])

    def state_bytes(self, state: State) -> int:
        return super().state_bytes(state["rule"])

    def flops_per_coordinate(self) -> float | None:
        flops = super().flops_per_coordinate()
        return None if flops is None else flops + 1

    def factor(self, state: State) -> Tensor:
        """The factor of the next update, `[seeds, settings]`.

        Args:
            state: after `observe`.

        Raises:
            ValueError: `observe` was not called.
        """
        if "horizon" not in state:
            raise ValueError(f"{self.name} must know the number of steps, got none. Try: call observe before update")
        return schedule_factor(self.schedule, self.warmup, self.cooldown, state["step"], state["horizon"])


class ScheduledTorch(Scheduled):
    """The same for a torch optimizer: its own `lr` is set before each step, as torch's schedulers do.

    One without an `lr` in its groups has its update multiplied.
    """

    def update(self, grads: Tensors, state: State, params: Tensors) -> tuple[Tensors, State]:
        replicas = [optimizer for _, optimizer in state["rule"]["replicas"]]
        if not all("lr" in group for optimizer in replicas for group in optimizer.param_groups):
            return super().update(grads, state, params)
        shape = next(iter(params.values())).shape[:2]
        factors = self.factor(state).expand(shape).flatten().tolist()
        for factor, optimizer in zip(factors, replicas, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = factor * group.setdefault("initial_lr", group["lr"])
        # Past the method that multiplies: the rule's own.
        updates, after = super(Scheduled, self).update(grads, state["rule"], params)  # type: ignore[safe-super]
        return updates, {**state, "rule": after, "step": state["step"] + 1}


@lru_cache(maxsize=256)
def with_schedule(cls: type[Optimizer]) -> type[Optimizer]:
    """Make the class of a rule with the fields of `Scheduled`. Its name, and what else it is, stays.

    Args:
        cls: of any rule: ours, a bridged one, a plugin's.

    Raises:
        ValueError: the rule has a field of that name itself.

    Example:
        >>> from l2obench.optimizers.designed.momentum import Momentum
        >>> rule = with_schedule(Momentum)(lr=0.1, schedule="wsd", warmup=0.1)
        >>> rule.name, rule.uses, rule.schedule
        ('momentum', ('horizon',), 'wsd')
    """
    if taken := [name for name in FIELDS if name in cls.model_fields]:
        raise ValueError(f"{cls.name} has a {taken[0]} of its own, so it takes no schedule of l2obench")
    base: Any = ScheduledTorch if issubclass(cls, TorchOptimizer) else Scheduled
    made: Any = create_model(cls.__name__, __base__=(base, cls), __doc__=cls.__doc__, __module__=cls.__module__)
    made.uses = tuple(dict.fromkeys((*cls.uses, "horizon")))
    found: type[Optimizer] = made
    return found
