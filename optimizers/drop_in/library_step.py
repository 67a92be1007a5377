"""Optimizers of other libraries with the step of ours: a loss is welcome, and a schedule sets their rates."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

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


def adapt_step(optimizer: torch.optim.Optimizer, plan: Plan | None, ours: frozenset[str] = frozenset()) -> None:
    """Give an optimizer of a library the step that all of ours have. Its class becomes one of the same name.

    Hooks would not do for the schedule: torch leaves them out of copies and pickles.

    Args:
        optimizer: of any library.
        plan: its schedule; None: its rates are the user's.
        ours: what the library has not of `weight_decay` and `maximize`: the step does that by what groups say.
    """
    library: Any = type(optimizer)
    optimizer.__class__ = _adapted(library)
    optimizer.plan, optimizer.ours = plan, ours  # type: ignore[attr-defined]


@lru_cache(maxsize=64)
def _adapted(cls: Any) -> Any:
    """The class of optimizers like `cls` with our step."""

    class Adapted(cls):  # type: ignore[misc]
        plan: Plan | None
        ours: frozenset[str]

        def step(self, closure: Callable[[], Any] | None = None, *, loss: Any = None) -> Any:
            """Step as the library has it; `loss` is not used."""
            if self.plan is not None:
                self.plan.set_rates(self)
            decays = _decays(self.param_groups) if "weight_decay" in self.ours else []
            if "maximize" in self.ours and any(group.get("maximize") for group in self.param_groups):
                returned = self._step_negated(closure)
            else:
                returned = super().step(closure)
            for param, decay in decays:
                if param.grad is not None:
                    param.data.sub_(decay)
            return returned

        # torch wraps the step of each class for hooks; that of `cls` is wrapped, and twice would call them twice.
        step.hooked = True  # type: ignore[attr-defined]

        def _step_negated(self, closure: Callable[[], Any] | None) -> Any:
            if closure is None:
                _negate(self.param_groups)
            returned = super().step(None if closure is None else _negated(closure, self.param_groups))
            _negate(self.param_groups)
            return returned

        def observe(self, loss: Any) -> None:
            """Nothing: optimizers of libraries use no losses."""

        def __reduce_ex__(self, protocol: Any) -> Any:
            # Some libraries keep options in attributes of their own, which torch's `__getstate__` leaves out.
            own = {name: value for name, value in vars(self).items() if not name.startswith("_") and name != "step"}
            state: Any = self.__getstate__()
            return _restore, (cls, {**state, **own})

    Adapted.__name__, Adapted.__qualname__, Adapted.__module__ = cls.__name__, cls.__qualname__, cls.__module__
    return Adapted


def _decays(groups: list[dict[str, Any]]) -> list[tuple[Tensor, Tensor]]:
    """lr λ θ of each parameter that decays: of θ before the step, and where its gradient is taken."""
    return [
        (param, param.detach() * (group["lr"] * group["weight_decay"]))
        for group in groups
        if group.get("weight_decay")
        for param in group["params"]
    ]


@torch.no_grad()
def _negate(groups: list[dict[str, Any]]) -> None:
    """Turn the gradients of groups that maximize."""
    for group in groups:
        for param in group["params"]:
            if group.get("maximize") and param.grad is not None:
                param.grad.neg_()


def _negated(closure: Callable[[], Any], groups: list[dict[str, Any]]) -> Callable[[], Any]:
    """A closure of the negated loss."""

    def negated() -> Any:
        loss = closure()
        _negate(groups)
        return None if loss is None else -loss

    return negated


def _restore(cls: Any, state: dict[str, Any]) -> torch.optim.Optimizer:
    """A copy, from what `__reduce_ex__` gave."""
    made = _adapted(cls)
    optimizer: torch.optim.Optimizer = made.__new__(made)
    optimizer.__setstate__(state)
    return optimizer
