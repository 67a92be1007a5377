"""Learned rules that can have their step compiled, and how to ask for it."""

from typing import ClassVar, Self

from pydantic import PrivateAttr
from torch import Tensor

from l2obench.optimizers.base import Optimizer, State
from l2obench.optimizers.learned.base import LearnedOptimizer
from l2obench.optimizers.learned.fused.step import HOW_TO_INSTALL, can_be_fused, numba_is_installed


class FusedRule(LearnedOptimizer):
    """A rule whose step exists twice: in torch, which is its definition, and as a compiled program for CPUs.

    The program is used where `fused` asked for it, for tensors of float32 on the CPU, where autograd does not record.
    All else goes the way of torch, meta-training above all.
    """

    has_fused_step: ClassVar[bool] = False
    """True in each class whose formula the program has. It is not inherited: a subclass may compute something else."""

    _is_fused: bool = PrivateAttr(default=False)

    def fused(self) -> Self:
        """This rule with its compiled step. Numbers are equal up to rounding, and the state is the same.

        Raises:
            ValueError: the class has none, or numba is not installed.
        """
        if not can_have_fused_step(self):
            raise ValueError(f"{type(self).__name__} must say has_fused_step = True to have a fused step")
        if not numba_is_installed():
            raise ValueError(
                f"the fused step of {self.name} needs numba, which is not installed. Try: {HOW_TO_INSTALL}"
            )
        copy = self.model_copy()
        copy._is_fused = True
        return copy

    @property
    def is_fused(self) -> bool:
        """Whether the compiled step was asked for."""
        asked: bool = (self.__pydantic_private__ or {}).get("_is_fused", False)  # so that torch.compile can follow
        return asked

    def can_fuse(self, grad: Tensor, param: Tensor, memory: State) -> bool:
        """Whether a tensor is stepped by the compiled program.

        Args:
            grad: `[seeds, settings, ...]`.
            param: θ, likewise.
            memory: its state; what are no tensors in it, such as counts of steps, does not matter.
        """
        tensors = (part for part in memory.values() if isinstance(part, Tensor))
        return self.is_fused and can_be_fused(grad, param, *tensors)


def can_have_fused_step(rule: Optimizer) -> bool:
    """Whether a rule has a compiled step, be numba installed or not.

    Args:
        rule: any.
    """
    return isinstance(rule, FusedRule) and bool(vars(type(rule)).get("has_fused_step"))


def fused(rule: Optimizer) -> Optimizer:
    """Give a rule with its compiled step, or the rule itself where it has none.

    Args:
        rule: any.

    Raises:
        ValueError: it has one, and numba is not installed.
    """
    return rule.fused() if isinstance(rule, FusedRule) and can_have_fused_step(rule) else rule
