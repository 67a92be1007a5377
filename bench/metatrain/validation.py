"""What the kept checkpoint is chosen by: one number from the losses on the validation functions of each family."""

import math
from collections.abc import Sequence

from l2obench.bench.config.recipe import RecipeError

ONE = "mean final loss on the validation functions"
SEVERAL = "geometric mean over families of the mean final loss over the mean loss at the start"


def criterion(finals: Sequence[float], starts: Sequence[float]) -> float:
    """The mean final loss of one family; of several, the geometric mean of final loss over loss at the start.

    Families of other scale count alike: the loss at the start is the same for every rule, and to halve the final loss
    of one family is worth as much as to halve that of another. Infinite where a function diverges.

    Args:
        finals: mean final loss of each family.
        starts: mean loss at θ_0 of each family.

    Raises:
        RecipeError: a loss of several families is below zero, so ratios say nothing.
    """
    if len(finals) == 1:
        return finals[0]
    if min(*finals, *starts) < 0:
        raise RecipeError("validation on several families needs losses above zero; validate on one")
    ratios = [final / start if start > 0 else math.inf for final, start in zip(finals, starts, strict=True)]
    if 0 in ratios or math.inf in ratios:
        return math.inf if math.inf in ratios else 0.0
    return math.exp(sum(map(math.log, ratios)) / len(ratios))
