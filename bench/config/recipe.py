"""Recipes of meta-training: everything that decides the meta-parameters, as one value that a checkpoint carries."""

import math
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from l2obench.bench.config.identity import alternatives, canonical, parse_identity
from l2obench.bench.config.registry import optimizer_registry
from l2obench.foundation.errors import describe_findings
from l2obench.foundation.names import explain_unknown

Weighting = Literal["uniform", "linear", "exponential", "final", "learned"] | tuple[float, ...]
Term = Literal["loss", "log-ratio", "best-so-far"]
WEIGHTINGS = ("uniform", "linear", "exponential", "final", "learned")
EstimatorName = Literal["tbptt", "full", "es", "pes", "nres"]


class RecipeError(ValueError):
    """A recipe that does not exist or does not make sense."""

    exit_code = 2


class Recipe(BaseModel):
    """How a learned optimizer is trained. Defaults follow the paper where it states a value (section 3)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    task: str
    """Identity of the family to train on; its horizon is the length of a trajectory."""
    mixture: tuple[str, ...] | None = None
    """Families to train on, `task` among them; each trajectory is on one of them, drawn at random. A parameter with
    bars, as in `mnist-mlp[units=10|20]`, stands for a family with each of the values. None: `task` alone."""
    validation: tuple[str, ...] | None = None
    """Families to validate on, such as ones held out from training; None: those that are trained on."""
    optimizer: str = "lstm"
    """Identity of the learned optimizer. With a checkpoint, training begins with its meta-parameters."""
    trajectories: int = Field(default=1000, ge=1)
    """Trajectories in all; each is horizon / unroll meta-steps."""
    functions: int = Field(default=8, ge=1)
    """Functions whose meta-gradients are averaged in a meta-step."""
    unroll: int = Field(default=20, ge=1)
    """Steps of a truncation; `full` has none."""
    estimator: EstimatorName = "tbptt"
    """How the meta-gradient is estimated: by truncated backpropagation, backpropagation through the whole
    trajectory, or evolution strategies: on truncations, persistent, or with noise reused."""
    sigma: float = Field(default=0.01, gt=0)
    """Standard deviation of the perturbations of φ; for es, pes and nres."""
    pairs: int = Field(default=4, ge=1)
    """Antithetic pairs of perturbations; for es, pes and nres."""
    teacher: str | None = None
    """A hand-designed optimizer with its hyperparameters, such as `adam[lr=0.003]`, to imitate first; none: nobody."""
    imitation: int = Field(default=0, ge=0)
    """The first so many trajectories bring the rule's updates near the teacher's, before the meta-objective counts."""
    first_horizon: int | None = Field(default=None, ge=1)
    """Steps of the first trajectory; they grow geometrically, and reach the task's horizon after half of the
    trajectories. None: all trajectories are as long as the task says."""
    random_offset: bool = False
    """The first truncation of a trajectory has a random length from 1 to the unroll, so that boundaries fall on other
    steps each time."""
    coordinate_scaling: float | None = Field(default=None, gt=0, le=10)
    """Every coordinate of a function is scaled by exp(U[−L, L]) with this L (Lv et al. 2017); none: as it is."""
    loss_scaling: float | None = Field(default=None, gt=0, le=10)
    """Every function is scaled by exp(U[−L, L]) with this L; none: as it is."""
    weighting: Weighting = "uniform"
    """w_t of the meta-objective Σ w_t f(θ_t): all equal, growing linearly or exponentially with t, the final step only,
    learned as the inverse of the loss's scale at each step, or numbers: points spread evenly over the trajectory, with
    straight lines between them."""
    objective: Term = "loss"
    """What is weighted: the loss, its logarithm over that at the start, or the best loss so far."""
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
    """Coordinates of each parameter tensor and function that carry a graph, drawn at random; none: all. For
    backpropagation and imitation: es, pes and nres have no graph."""
    second_order: bool = False
    """Keep ∂∇f/∂φ, which the paper drops: backpropagation then gives the exact meta-gradient of each truncation, for
    small functions. Evolution strategies drop nothing."""
    init_std: float | None = Field(default=None, gt=0)
    """Standard deviation of the initial weights with zero biases; none: the rule's own initialisation."""
    memory: int | None = Field(default=None, ge=3)
    """T: LSTM cells begin with memories of up to T steps, by their forget and input biases (after Tallec & Ollivier
    2018, *Can recurrent neural networks warp time?*, equation 16). None: the rule's own biases."""
    boundary_losses: Literal["once", "twice"] = "once"
    """DeepMind's release sums unroll + 1 losses, so those at a truncation count twice in its meta-loss. The gradient
    is the same (the first loss of a truncation does not depend on φ there): only the logged meta-loss differs."""
    validate_every: int = Field(default=20, ge=1)
    """Trajectories between validations."""
    validation_functions: int = Field(default=32, ge=1)
    """Functions of a validation, of each family, the same each time, in no other pool of seeds. The checkpoint with the
    lowest mean final loss on them is kept; with several families, the lowest ratio to the loss at the start."""
    seed: int = Field(default=0, ge=0)

    @field_validator("mixture", "validation", mode="before")
    @classmethod
    def _families(cls, value: Any) -> Any:
        """Identities with bars written out."""
        if value is None:
            return None
        identities = [value] if isinstance(value, str) else list(value)
        if not identities:
            raise ValueError("it is empty; expected one family at least, such as 'quadratic', or leave it out")
        return tuple(family for identity in identities for family in alternatives(identity))

    @model_validator(mode="after")
    def _task_in_mixture(self) -> "Recipe":
        known = [canonical(*parse_identity(identity)) for identity in self.mixture or ()]
        if self.mixture and canonical(*parse_identity(self.task)) not in known:
            raise ValueError(
                f"task {self.task} is not in the mixture ({', '.join(known)}); train on one that is, or add it"
            )
        return self

    @model_validator(mode="after")
    def _teacher_with_lessons(self) -> "Recipe":
        if (self.teacher is None) != (self.imitation == 0):
            raise ValueError(
                f"teacher={self.teacher}, imitation={self.imitation}: expected whom to imitate, and for how many "
                "trajectories, such as teacher=adam[lr=0.003], imitation=20"
            )
        return self

    @model_validator(mode="after")
    def _losses_have_scales(self) -> "Recipe":
        if self.weighting == "learned" and self.objective != "loss":
            raise ValueError(
                f"weighting=learned learns the scales of losses, and objective={self.objective} is another thing; "
                "leave one of them out"
            )
        return self

    @field_validator("weighting", mode="before")
    @classmethod
    def _named_or_points(cls, value: Any) -> Any:
        """Names as they are, points as numbers; `0,0,1` as on the command line."""
        if value in WEIGHTINGS:
            return value
        try:
            points = tuple(map(float, value.split(",") if isinstance(value, str) else value))
        except (TypeError, ValueError):
            points = ()
        if not points:
            raise ValueError(f"{value!r} is none of {', '.join(WEIGHTINGS)}, and no numbers such as 0,0.5,1")
        if not all(0 <= point < math.inf for point in points) or not any(points):
            raise ValueError(f"{value!r} must be zero or more at every point, and sum to more than zero")
        return points


def recipe_names() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(path.name.removesuffix(".toml") for path in _folder().iterdir() if path.name.endswith(".toml"))


def named_recipe(name: str, families: Sequence[str] = ()) -> dict[str, Any]:
    """The values of a recipe, on its own families or on those that are given.

    Args:
        name: that of a recipe of the package. Values under its `[tasks.NAME]` are for that task only.
        families: what to train on, in place of the recipe's own families, which are then not validated on either.

    Raises:
        RecipeError: no recipe has this name, or there is nothing to train on.
    """
    if name not in recipe_names():
        raise RecipeError(explain_unknown("recipe", name, recipe_names()))
    values = tomllib.loads((_folder() / f"{name}.toml").read_text(encoding="utf-8"))
    by_task = values.pop("tasks", {})
    if families:
        mixture = list(families) if len(families) > 1 else None
        values |= {"task": families[0], "mixture": mixture, "validation": None}
    if "task" not in values:
        raise RecipeError(f"recipe {name} names no task to train on; give one, as in -t quadratic")
    return {**values, **by_task.get(values["task"].partition("[")[0], {})}


def optimizer_for(rule: str, recipe: str) -> str:
    """What to train: a rule named without parameters takes those of the recipe's optimizer that are its own too.

    Raises:
        IdentityError, UnknownName: the rule is no optimizer.
    """
    name, given = parse_identity(rule)
    fields = getattr(optimizer_registry().resolve(name), "model_fields", {})
    taken = {key: value for key, value in parse_identity(recipe)[1].items() if key in fields}
    return rule if given else canonical(name, taken)


def compose(rule: str, families: Sequence[str], recipe: str, given: Mapping[str, Any]) -> Recipe:
    """The recipe by which a rule is trained: a named one, with what is given in the place of its own values.

    Args:
        rule: what to train, as in `optimizer_for`.
        families: what to train on; none: the recipe's own families.
        recipe: the name of a recipe of the package.
        given: values that go before the recipe's; `coordinates` of 0 means all.

    Raises:
        IdentityError, UnknownName: the rule is no optimizer.
        RecipeError: no recipe has this name, or a value is unknown or out of range.
    """
    values = named_recipe(recipe, families)
    values |= {"optimizer": optimizer_for(rule, values.get("optimizer", rule)), **given}
    return make_recipe(values | {"coordinates": values.get("coordinates") or None})


def make_recipe(values: dict[str, Any]) -> Recipe:
    """A checked recipe.

    Raises:
        RecipeError: a value is unknown or out of range.
    """
    try:
        return Recipe(**values)
    except ValidationError as error:
        raise RecipeError(f"recipe: {describe_findings(error, Recipe)}") from error


def _folder() -> Any:
    return resources.files("l2obench.bench.config") / "recipes"
