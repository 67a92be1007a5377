"""Task families that a learned optimizer is trained or validated on."""

from dataclasses import dataclass

from l2obench.bench.config.recipe import RecipeError
from l2obench.bench.config.registry import identify, identify_functions, task_registry
from l2obench.bench.rollout.seeds import Purpose, derive_seed
from l2obench.optimizers.learned.base import LearnedOptimizer
from l2obench.tasks.base import Task


@dataclass(frozen=True)
class Family:
    """A task family, and the rule as it is trained there."""

    task: Task
    rule: LearnedOptimizer
    """The rule with the parameter groups of this task. Training replaces its meta-parameters."""

    @property
    def identity(self) -> str:
        return identify(self.task)

    @property
    def may_have_heldout_loss(self) -> bool:
        """Whether the task evaluates at all; a task of modules says only in a run whether it has held-out examples."""
        task = type(self.task)
        return task.evaluate is not Task.evaluate or task.evaluate_with_buffers is not Task.evaluate_with_buffers

    def seeds(self, purpose: Purpose, first: int, count: int) -> list[int]:
        """Seeds of the functions `first` to `first + count - 1` of this family.

        Args:
            purpose: the pool they come from.
            first: number of the first function.
            count: how many.
        """
        return [derive_seed(purpose, identify_functions(self.task), first + k) for k in range(count)]


def make_family(identity: str, rule: LearnedOptimizer) -> Family:
    """Make the family of an identity, ready to draw functions from.

    Args:
        identity: of the task.
        rule: the learned optimizer, for any task.

    Raises:
        RecipeError: the rule does not fit the parameter groups of the task.
        HeldOut: the task is kept for tests, so training may not see it.
        FileNotFoundError: its data are not on this machine.
    """
    task = task_registry().create(identity)
    task.require_trainable()
    task.require_data()
    try:
        return Family(task, rule.for_groups(task.groups))
    except ValueError as error:
        raise RecipeError(f"{identity}: {error}") from error
