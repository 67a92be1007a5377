"""The simplest rules on many tensors at once, in torch's calls for lists. Their classes say what they compute."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from l2obench.optimizers.base import Optimizer
from l2obench.optimizers.designed.adam import Adam
from l2obench.optimizers.designed.adamw import AdamW
from l2obench.optimizers.designed.momentum import Momentum
from l2obench.optimizers.designed.nag import NAG
from l2obench.optimizers.designed.rmsprop import RMSprop
from l2obench.optimizers.designed.sgd import SGD
from l2obench.optimizers.drop_in.shards import PLAIN


@dataclass(frozen=True)
class Batch:
    """Tensors of one device and type, with states of the same age."""

    params: list[Tensor]
    grads: list[Tensor]
    states: list[dict[str, Any]]

    def of_state(self, part: str) -> list[Tensor]:
        """A part of every state, in the shape of its parameter; the same memory.

        Args:
            part: its name in the rule's state of a tensor.
        """
        return [state[part].view(param.shape) for state, param in zip(self.states, self.params, strict=True)]


FULL = (torch.float32, torch.float64)
Move = Callable[[Batch, Any], None]
"""Moves the parameters of a batch and its states, by the values of a group."""


def can_move(param: Tensor, grad: Tensor, state: dict[str, Any]) -> bool:
    """Whether `move_in_place` takes a parameter: a plain one in full precision, in one piece of memory.

    Args:
        param: θ.
        grad: its gradient.
        state: of a rule that `MOVES` has.
    """
    dtype = param.dtype
    return (
        type(param) in PLAIN
        and type(grad) in PLAIN
        and dtype in FULL
        and (param.is_cpu or param.is_cuda)
        and param.is_contiguous()
        and grad.dtype is dtype
        and grad.is_contiguous()
        and all(value.dtype is dtype and value.is_contiguous() for value in state.values() if isinstance(value, Tensor))
    )


def move_in_place(rule: Optimizer, tensors: Sequence[tuple[Tensor, dict[str, Any]]], group: dict[str, Any]) -> None:
    """Step parameters that `can_move` takes, and their states.

    Args:
        rule: of exactly one of the classes in `MOVES`; a subclass may compute something else.
        tensors: parameters with gradients, each with the rule's state of it, which is overwritten.
        group: the values of their group, by its names.
    """
    batches: dict[Any, list[tuple[Tensor, dict[str, Any]]]] = {}
    for param, state in tensors:
        batches.setdefault((param.device, param.dtype, state.get("step")), []).append((param, state))
    for own in batches.values():
        params = [param for param, _ in own]
        grads: list[Tensor] = [param.grad for param in params]  # type: ignore[misc]
        if group["maximize"]:
            grads = list(torch._foreach_neg(grads))
        if group["weight_decay"] and type(rule) is not AdamW:
            torch._foreach_mul_(params, 1 - float(group["lr"]) * group["weight_decay"])
        MOVES[type(rule)](Batch(params, grads, [state for _, state in own]), group)


def _move_sgd(batch: Batch, group: Any) -> None:
    torch._foreach_add_(batch.params, batch.grads, alpha=-float(group["lr"]))


def _move_momentum(batch: Batch, group: Any) -> None:
    velocity = batch.of_state("velocity")
    torch._foreach_mul_(velocity, group["momentum"])
    torch._foreach_add_(velocity, batch.grads)
    torch._foreach_add_(batch.params, velocity, alpha=-float(group["lr"]))


def _move_nag(batch: Batch, group: Any) -> None:
    velocity = batch.of_state("velocity")
    torch._foreach_mul_(velocity, group["momentum"])
    torch._foreach_add_(velocity, batch.grads)
    torch._foreach_add_(batch.params, batch.grads, alpha=-float(group["lr"]))
    torch._foreach_add_(batch.params, velocity, alpha=-float(group["lr"]) * group["momentum"])


def _move_rmsprop(batch: Batch, group: Any) -> None:
    square = batch.of_state("square")
    torch._foreach_mul_(square, group["alpha"])
    torch._foreach_addcmul_(square, batch.grads, batch.grads, 1 - group["alpha"])
    denominators = list(torch._foreach_sqrt(square))
    torch._foreach_add_(denominators, group["epsilon"])
    torch._foreach_addcdiv_(batch.params, batch.grads, denominators, -float(group["lr"]))


def _move_adam(batch: Batch, group: Any, weight_decay: float = 0.0) -> None:
    """By torch's fused kernel, one pass over memory; what torch has around it in Python takes as long as this step."""
    step = batch.states[0]["step"] + 1
    beta1, beta2 = group["betas"]
    torch._fused_adamw_(
        batch.params,
        batch.grads,
        batch.of_state("mean"),
        batch.of_state("square"),
        [],
        [torch.tensor(float(step), device=batch.params[0].device)] * len(batch.params),
        amsgrad=False,
        lr=float(group["lr"]),
        beta1=beta1,
        beta2=beta2,
        eps=group["epsilon"],
        weight_decay=weight_decay,
        maximize=False,
    )
    for state in batch.states:
        state["step"] = step


def _move_adamw(batch: Batch, group: Any) -> None:
    _move_adam(batch, group, group["weight_decay"])


MOVES: dict[type[Optimizer], Move] = {
    SGD: _move_sgd,
    Momentum: _move_momentum,
    NAG: _move_nag,
    RMSprop: _move_rmsprop,
    Adam: _move_adam,
    AdamW: _move_adamw,
}
