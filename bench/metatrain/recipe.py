"""Recipes of meta-training: everything that decides the meta-parameters, as one value that a checkpoint carries."""

import tomllib
from importlib import resources
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.identity import canonical, parse_identity
from bench.registry import optimizer_registry, unknown

Weighting = Literal["uniform", "linear", "final"]


class RecipeError(ValueError):
    """A recipe that does not exist or does not make sense."""

    exit_code = 2


class Recipe(BaseModel):
    """How a learned optimizer is trained. Defaults follow the paper where it states a value (section 3)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    task: str
    """Identity of the family to train on; its horizon is the length of a trajectory."""
    optimizer: str = "lstm"
    """Identity of the learned optimizer, without a checkpoint."""
    trajectories: int = Field(default=1000, ge=1)
    """Trajectories in all; each is horizon / unroll meta-steps."""
    functions: int = Field(default=8, ge=1)
    """Functions whose meta-gradients are averaged in a meta-step."""
    unroll: int = Field(default=20, ge=1)
    """Steps of a truncation."""
    first_horizon: int | None = Field(default=None, ge=1)
    """Steps of the first trajectory; they grow geometrically, and reach the task's horizon after half of the
    trajectories. None: all trajectories are as long as the task says."""
    weighting: Weighting = "uniform"
    """w_t of the meta-objective Σ w_t f(θ_t): all equal, growing linearly with t, or the final step only."""
    lr: float = Field(default=3e-3, gt=0)
    """Adam's learning rate on φ at the start."""
    final_lr: float = Field(default=0.02, gt=0, le=1)
    """Fraction of `lr` reached at the end, by cosine decay; 1 for a constant rate."""
    average: float | None = Field(default=None, gt=0, lt=1)
    """Decay of a moving average of φ over meta-steps (Polyak & Juditsky 1992), which is what is validated and kept;
    none: φ itself."""
    clip: float = Field(default=1.0, gt=0)
    """Bound on the norm of the meta-gradient."""
    coordinates: int | None = Field(default=None, ge=1)
    """Coordinates of each parameter tensor and function that carry a graph, drawn at random; none: all."""
    second_order: bool = False
    """Keep ∂∇f/∂φ, which the paper drops: an exact meta-gradient of each truncation, for small functions."""
    init_std: float | None = Field(default=None, gt=0)
    """Standard deviation of the initial weights with zero biases; none: the rule's own initialisation."""
    boundary_losses: Literal["once", "twice"] = "once"
    """DeepMind's release sums unroll + 1 losses, so those at a truncation count twice in its meta-loss. The gradient
    is the same (the first loss of a truncation does not depend on φ there): only the logged meta-loss differs."""
    validate_every: int = Field(default=20, ge=1)
    """Trajectories between validations."""
    validation_functions: int = Field(default=32, ge=1)
    """Functions of a validation, the same each time, in no other pool of seeds. The checkpoint with the lowest mean
    final loss on them is kept."""
    seed: int = Field(default=0, ge=0)


def recipe_names() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(path.name.removesuffix(".toml") for path in _folder().iterdir() if path.name.endswith(".toml"))


def named_recipe(name: str, task: str) -> dict[str, Any]:
    """The values that a recipe sets for a task: those for all, then those under `[tasks.NAME]`.

    Raises:
        RecipeError: no recipe has this name.
    """
    if name not in recipe_names():
        raise RecipeError(unknown("recipe", name, recipe_names()))
    values = tomllib.loads((_folder() / f"{name}.toml").read_text(encoding="utf-8"))
    by_task = values.pop("tasks", {})
    return {**values, **by_task.get(task.partition("[")[0], {})}


def optimizer_for(rule: str, recipe: str) -> str:
    """What to train: a rule named without parameters takes those of the recipe's optimizer that are its own too.

    Raises:
        IdentityError, UnknownName: the rule is no optimizer.
    """
    name, given = parse_identity(rule)
    fields = getattr(optimizer_registry().resolve(name), "model_fields", {})
    taken = {key: value for key, value in parse_identity(recipe)[1].items() if key in fields}
    return rule if given else canonical(name, taken)


def make_recipe(values: dict[str, Any]) -> Recipe:
    """A checked recipe.

    Raises:
        RecipeError: a value is unknown or out of range.
    """
    try:
        return Recipe(**values)
    except ValidationError as error:
        findings = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg'].lower()}" for item in error.errors())
        raise RecipeError(f"recipe: {findings}") from error


def _folder() -> Any:
    return resources.files("bench.metatrain") / "recipes"
