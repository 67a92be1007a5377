"""A torch optimizer that sets its rates by a schedule of ours before each step, and still does so as a copy."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

from l2obench.optimizers.scheduled import Schedule, schedule_factor

STEPS = "steps_taken"
"""Where a group of an optimizer with a schedule counts its steps, so that a `state_dict` goes on."""


@dataclass(frozen=True)
class Plan:
    """A schedule over a training of known length."""

    schedule: Schedule
    warmup: float
    cooldown: float
    num_steps: int

    def set_rates(self, optimizer: torch.optim.Optimizer) -> None:
        """Give every group the rate of its next step.

        Args:
            optimizer: its groups count the steps.
        """
        for group in optimizer.param_groups:
            step = group.setdefault(STEPS, 0)
            # A step beyond the last one is treated as the last.
            horizon = torch.tensor(float(max(self.num_steps, step + 1)))
            factor = float(schedule_factor(self.schedule, self.warmup, self.cooldown, step, horizon))
            group["lr"] = factor * group.setdefault("initial_lr", group["lr"])
            group[STEPS] = step + 1


def follow_schedule(optimizer: torch.optim.Optimizer, plan: Plan) -> None:
    """Make an optimizer follow a schedule. Its class becomes one of the same name that does so.

    A hook would not do: torch leaves hooks out of copies and pickles.

    Args:
        optimizer: of any library.
        plan: the schedule.
    """
    optimizer.__class__ = _following(type(optimizer))
    optimizer.plan = plan  # type: ignore[attr-defined]


@lru_cache(maxsize=64)
def _following(cls: Any) -> Any:
    """The class of optimizers like `cls` that follow a plan."""

    class Following(cls):  # type: ignore[misc]
        plan: Plan

        def step(self, *args: Any, **kwargs: Any) -> Any:
            self.plan.set_rates(self)
            return super().step(*args, **kwargs)

        # torch wraps the step of each class for hooks; that of `cls` is wrapped, and twice would call them twice.
        step.hooked = True  # type: ignore[attr-defined]

        def __reduce_ex__(self, protocol: Any) -> Any:
            # Some libraries keep options in attributes of their own, which torch's `__getstate__` leaves out.
            own = {name: value for name, value in vars(self).items() if not name.startswith("_") and name != "step"}
            state: dict[str, Any] = self.__getstate__()
            return _restore, (cls, {**state, **own})

    Following.__name__, Following.__qualname__, Following.__module__ = cls.__name__, cls.__qualname__, cls.__module__
    return Following


def _restore(cls: type[torch.optim.Optimizer], state: dict[str, Any]) -> torch.optim.Optimizer:
    """A copy, from what `__reduce_ex__` gave."""
    made = _following(cls)
    optimizer: torch.optim.Optimizer = made.__new__(made)
    optimizer.__setstate__(state)
    return optimizer
