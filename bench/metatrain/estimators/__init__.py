"""Gradient estimators, by the name that a recipe gives them."""

from typing import Any

from l2obench.bench.config.recipe import Recipe
from l2obench.bench.config.registry import optimizer_registry
from l2obench.bench.metatrain.estimators.base import Estimator
from l2obench.bench.metatrain.estimators.bptt import BPTT
from l2obench.bench.metatrain.estimators.es import ES
from l2obench.bench.metatrain.estimators.full_es import FullES
from l2obench.bench.metatrain.estimators.imitation import Imitation
from l2obench.bench.metatrain.estimators.nres import NRES
from l2obench.bench.metatrain.estimators.objective import Objective
from l2obench.bench.metatrain.estimators.perturbed_replicas import EvolutionStrategy
from l2obench.bench.metatrain.estimators.pes import PES
from l2obench.bench.metatrain.estimators.second_order import SecondOrderBPTT


def make_estimator(recipe: Recipe) -> Estimator:
    """Make the estimator of a recipe.

    Args:
        recipe: `estimator` names it; `objective`, `second_order`, `coordinates`, `sigma`, `pairs` and the like set it.

    Example:
        >>> from l2obench.bench.config.recipe import make_recipe
        >>> make_estimator(make_recipe({"task": "quadratic", "estimator": "pes", "pairs": 8}))
        PES(objective=Objective(term='loss', least_ratio=1e-06), whole=False, sigma=0.01, pairs=8, standardise=False)
    """
    objective = Objective(recipe.objective, recipe.least_ratio)
    match recipe.estimator:
        case "tbptt" | "full" as name:
            if recipe.second_order:
                return SecondOrderBPTT(objective=objective, whole=name == "full")
            return BPTT(objective=objective, whole=name == "full", coordinates=recipe.coordinates)
        case name:
            common: dict[str, Any] = {"sigma": recipe.sigma, "pairs": recipe.pairs, "standardise": recipe.standardise}
            if name == "full-es":
                return FullES(objective=objective, heldout_share=recipe.heldout_share, **common)
            kinds: dict[str, type[EvolutionStrategy]] = {"es": ES, "pes": PES, "nres": NRES}
            return kinds[name](objective=objective, **common)


def make_imitation(recipe: Recipe) -> Imitation | None:
    """Make the estimator of the first trajectories, which imitate a teacher.

    Args:
        recipe: `teacher` is the identity of an optimizer.

    Returns:
        None where the recipe names no teacher.

    Raises:
        IdentityError, UnknownName: the teacher is no optimizer.
    """
    if recipe.teacher is None:
        return None
    return Imitation(teacher=optimizer_registry().create(recipe.teacher), coordinates=recipe.coordinates)
