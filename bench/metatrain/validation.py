"""The validation loss: one number from the losses on the validation functions of each family.

The checkpoint with the lowest one is kept.
"""

import math
from collections.abc import Sequence

from l2obench.bench.config.recipe import RecipeError

ONE_FAMILY = "mean final loss on the validation functions"
SEVERAL_FAMILIES = "geometric mean over families of the mean final loss over the mean loss at the start"


def validation_criterion(finals: Sequence[float], starts: Sequence[float]) -> float:
    """The mean final loss of one family; of several, the geometric mean of final loss ÷ loss at the start.

    So families of different scale have the same weight: halving the final loss of any of them is worth the same. The
    loss at the start is the same for every rule. The result is infinite where a function diverges.

    Args:
        finals: mean final loss of each family.
        starts: mean loss at θ_0 of each family.

    Raises:
        RecipeError: there are several families and a loss is below zero, so that ratios mean nothing.

    Example:
        >>> validation_criterion([1.0, 100.0], [2.0, 400.0])  # the geometric mean of 1/2 and 1/4
        0.3535533905932738
    """
    if len(finals) == 1:
        return finals[0]
    if min(*finals, *starts) < 0:
        raise RecipeError("validation on several families needs losses above zero. Try: validate on one family")
    ratios = [final / start if start > 0 else math.inf for final, start in zip(finals, starts, strict=True)]
    if 0 in ratios or math.inf in ratios:
        return math.inf if math.inf in ratios else 0.0
    return math.exp(sum(map(math.log, ratios)) / len(ratios))
