"""Training with the compiled step of a rule, where the estimator needs no derivative of it."""

from l2obench.bench.config.recipe import RecipeError
from l2obench.optimizers.learned.base import LearnedOptimizer
from l2obench.optimizers.learned.fused.rule import FusedRule, can_have_fused_step


def fuse_for_training(rule: LearnedOptimizer, device: str) -> LearnedOptimizer:
    """Give a rule with its compiled step, for estimators that need no derivative.

    Args:
        rule: the learned optimizer.
        device: the torch device.

    Raises:
        RecipeError: the rule has no such step, numba is not installed, or the device is not the CPU.
    """
    if device != "cpu":
        raise RecipeError(f"device must be cpu with fused, got {device}. Try: leave fused out")
    if not isinstance(rule, FusedRule) or not can_have_fused_step(rule):
        raise RecipeError(f"fused must be left out for {rule.name}, which has no fused step. Try: without --fused")
    try:
        return rule.fused()
    except ValueError as error:
        raise RecipeError(str(error)) from error
