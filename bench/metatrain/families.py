"""Families of functions that a learned optimizer is trained or validated on."""

from dataclasses import dataclass

from l2obench.bench.config.recipe import RecipeError
from l2obench.bench.config.registry import function_family, identity_of, task_registry
from l2obench.bench.rollout.seeds import Purpose, derive_seed
from l2obench.optimizers.learned.base import LearnedOptimizer
from l2obench.tasks.base import Task


@dataclass(frozen=True)
class Family:
    """A task, and the rule as it is trained there."""

    task: Task
    rule: LearnedOptimizer
    """Told which of this task's parameters are of which kind; its meta-parameters are replaced in training."""

    @property
    def identity(self) -> str:
        return identity_of(self.task)

    def seeds(self, purpose: Purpose, first: int, count: int) -> list[int]:
        """Seeds of `count` functions of this family."""
        return [derive_seed(purpose, function_family(self.task), first + k) for k in range(count)]


def make_family(identity: str, rule: LearnedOptimizer) -> Family:
    """The family of an identity, ready to draw functions from.

    Raises:
        RecipeError: the rule does not fit its parameters.
        HeldOut, FileNotFoundError: training may not see it, or its data are not here.
    """
    task = task_registry().create(identity)
    task.require_trainable()
    task.require_data()
    try:
        return Family(task, rule.for_groups(task.groups))
    except ValueError as error:
        raise RecipeError(f"{identity}: {error}") from error
