"""Recipes of meta-training: everything that decides the meta-parameters, as one value that a checkpoint carries."""

import math
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from l2obench.bench.config.identity import alternatives, format_identity, parse_identity
from l2obench.bench.config.registry import optimizer_registry
from l2obench.bench.config.shipped import read_shipped, recipe_names
from l2obench.foundation.errors import describe_findings
from l2obench.foundation.names import explain_unknown

Weighting = Literal["uniform", "linear", "exponential", "final", "learned"] | tuple[float, ...]
Term = Literal["loss", "log-ratio", "bounded-log-ratio", "best-so-far"]
WEIGHTINGS = ("uniform", "linear", "exponential", "final", "learned")
EstimatorName = Literal["tbptt", "full", "es", "pes", "nres", "full-es"]


class RecipeError(ValueError):
    """A recipe that does not exist or does not make sense."""

    exit_code = 2


class Recipe(BaseModel):
    """How a learned optimizer is meta-trained. Defaults follow Andrychowicz et al. 2016, section 3.

    The text below a field is also the help of its option in `l2obench train`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    # The fields keep their order: `model_dump` writes it into checkpoints.
    task: str
    """Task family to train on. Its horizon is the length of a trajectory."""
    mixture: tuple[str, ...] | None = None
    """Task families to train on, `task` among them; each trajectory uses one of them, drawn at random. A parameter with
    bars, as in `mnist-mlp[units=10|20]`, stands for one family with each value. None: only `task`."""
    validation: tuple[str, ...] | None = None
    """Task family to validate on, such as one that is held out from training. Repeatable. Unless given, the families
    that are trained on."""
    optimizer: str = "lstm"
    """Learned optimizer to train. With a checkpoint, training begins with its meta-parameters."""
    trajectories: int = Field(default=1000, ge=1)
    """Number of training trajectories. Each takes horizon / unroll meta-steps."""
    families: int = Field(default=1, ge=1)
    """Task families of one meta-step, each drawn from the mixture. More than one only with full-es."""
    min_horizon: int | None = Field(default=None, ge=1, le=100_000)
    """Steps of the shortest trajectory. Each meta-step has a length of its own, log-uniform between it and max_horizon.
    Unless given, each family has its own horizon. Only for full-es."""
    max_horizon: int | None = Field(default=None, ge=1, le=100_000)
    """Steps of the longest trajectory, together with min_horizon."""
    functions: int = Field(default=8, ge=1)
    """Functions in a meta-batch. A meta-step averages their meta-gradients."""
    unroll: int = Field(default=20, ge=1)
    """Steps of one truncation: a meta-step follows each. The estimator `full` does not truncate."""
    estimator: EstimatorName = "tbptt"
    """Meta-gradient estimator: truncated backpropagation, backpropagation through the full trajectory, or evolution
    strategies: on truncations (es), persistent (pes), with noise reuse (nres), or on full trajectories (full-es)."""
    sigma: float = Field(default=0.01, gt=0)
    """Standard deviation of the perturbations of the meta-parameters. Only for es, pes, nres and full-es."""
    pairs: int = Field(default=4, ge=1)
    """Antithetic pairs of perturbations. Only for es, pes, nres and full-es."""
    standardise: bool = False
    """Divide the differences of a function's pairs by their root mean square, so that each function counts alike and
    none decides alone. Only for es, pes, nres and full-es."""
    fused: bool = False
    """Take the steps of the rule by its compiled program, which needs numba. Numbers differ by rounding. Only for es,
    pes, nres and full-es, on the CPU."""
    teacher: str | None = None
    """Hand-designed optimizer to imitate in the first trajectories, such as `adam[lr=0.003]`. Needs imitation."""
    imitation: int = Field(default=0, ge=0)
    """Number of first trajectories that imitate the teacher. The meta-objective counts after them."""
    first_horizon: int | None = Field(default=None, ge=1)
    """Steps of the first trajectory. The length then grows geometrically and reaches the task's horizon after half of
    the trajectories. Unless given, all trajectories have the task's horizon."""
    random_offset: bool = False
    """Give the first truncation of each trajectory a random length from 1 to the unroll, so that truncations end on
    other steps each time."""
    coordinate_scaling: float | None = Field(default=None, gt=0, le=10)
    """L: scale each coordinate of a function by exp(U[-L, L]) (Lv et al. 2017). Unless given, no scaling."""
    tensor_scaling: float | None = Field(default=None, gt=0, le=10)
    """L: scale each parameter tensor of a function by exp(U[-l, l]), where l is U[0, L] for each function. Unless
    given, no scaling."""
    displacement_scaling: float | None = Field(default=None, gt=0, le=10)
    """L: multiply what a step changes, beside what the weights were at the start, by exp(u + v): u is U[-l, l] for each
    function, v is U[-l/2, l/2] for each parameter tensor, l is 0 for half of the functions and U[0, L] for the others.
    Unless given, no scaling."""
    loss_scaling: float | None = Field(default=None, gt=0, le=10)
    """L: scale each function by exp(U[-L, L]). Unless given, no scaling."""
    weighting: Weighting = "uniform"
    """Weights of the losses along a trajectory: uniform, linear, exponential, final, learned (from the scale of the
    loss at each step), or numbers such as 0,0,1: points spread evenly over the trajectory, joined by straight lines."""
    objective: Term = "loss"
    """Quantity that is weighted and summed: the loss, the logarithm of its ratio to the loss at the start, the same
    with bounds, which a diverged trajectory reaches (bounded-log-ratio), or the best loss so far."""
    least_ratio: float = Field(default=1e-6, gt=0, lt=1)
    """Ratio to the loss at the start below which losses hardly differ. Only for bounded-log-ratio."""
    heldout_share: float = Field(default=0.0, ge=0, le=1)
    """Share of the meta-gradient that is for the held-out loss at the end of a trajectory, where a family has one. Only
    for full-es, on families whose held-out examples are not for tests, such as `perceptron[fold=0]`."""
    lr: float = Field(default=3e-3, gt=0)
    """Initial learning rate of the meta-optimizer, Adam."""
    final_lr: float = Field(default=0.02, gt=0, le=1)
    """Fraction of lr at the end of the cosine decay. 1 keeps the rate constant."""
    average: float | None = Field(default=None, gt=0, lt=1)
    """Decay of a moving average of the meta-parameters over meta-steps (Polyak & Juditsky 1992). The average is what
    is validated and kept. Unless given, there is no average."""
    clip: float = Field(default=1.0, gt=0)
    """Maximum norm of the meta-gradient."""
    coordinates: int | None = Field(default=None, ge=1)
    """Coordinates of each parameter tensor and function that are backpropagated through, sampled at random. Unless
    given, all. Only for tbptt, full and imitation."""
    second_order: bool = False
    """Keep the second derivatives, which the paper drops. Backpropagation then gives the exact meta-gradient of each
    truncation, for small functions."""
    init_std: float | None = Field(default=None, gt=0)
    """Standard deviation of the initial weights, with zero biases. Unless given, the rule's own initialization."""
    memory: int | None = Field(default=None, ge=3)
    """T: initialize the gate biases of LSTM cells for memories of up to T steps (after Tallec & Ollivier 2018,
    equation 16). Only for a rule without a checkpoint. Unless given, the rule's own biases."""
    boundary_losses: Literal["once", "twice"] = "once"
    """How often the logged meta-loss counts the loss between two truncations. DeepMind's release counts it twice. The
    meta-gradient is the same."""
    validate_every: int = Field(default=20, ge=1)
    """Trajectories between two validations."""
    validation_functions: int = Field(default=32, ge=1)
    """Functions of a validation, for each family, the same each time. The checkpoint with the lowest mean final loss
    on them is kept; with several families, the lowest ratio to the loss at the start."""
    seed: int = Field(default=0, ge=0)
    """Seed of the initial meta-parameters and of the training functions."""

    @field_validator("mixture", "validation", mode="before")
    @classmethod
    def _families(cls, value: Any) -> Any:
        """Identities with bars written out."""
        if value is None:
            return None
        identities = [value] if isinstance(value, str) else list(value)
        if not identities:
            raise ValueError("must name at least one family, got none. Try: quadratic, or leave it out")
        return tuple(family for identity in identities for family in alternatives(identity))

    @model_validator(mode="after")
    def _task_in_mixture(self) -> "Recipe":
        known = [format_identity(*parse_identity(identity)) for identity in self.mixture or ()]
        if self.mixture and format_identity(*parse_identity(self.task)) not in known:
            raise ValueError(
                f"task must be one of the mixture ({', '.join(known)}), got {self.task}. Try: add it to the mixture"
            )
        return self

    @model_validator(mode="after")
    def _joint_steps_need_whole_trajectories(self) -> "Recipe":
        low, high = self.min_horizon, self.max_horizon
        if self.estimator != "full-es" and (self.families > 1 or low is not None or high is not None):
            raise ValueError(
                f"estimator must be full-es with families, min_horizon or max_horizon, got {self.estimator}. "
                "Try: estimator=full-es"
            )
        if (low is None) != (high is None) or (low or 0) > (high or 0):
            raise ValueError(
                "min_horizon and max_horizon must be given together, the smaller one first, "
                f"got {low} and {high}. Try: min_horizon=50, max_horizon=500"
            )
        return self

    @model_validator(mode="after")
    def _heldout_loss_at_the_end(self) -> "Recipe":
        if self.heldout_share and self.estimator != "full-es":
            raise ValueError(
                f"estimator must be full-es with heldout_share, got {self.estimator}. Try: estimator=full-es"
            )
        return self

    @model_validator(mode="after")
    def _fused_steps_have_no_derivative(self) -> "Recipe":
        if self.fused and self.estimator in ("tbptt", "full"):
            raise ValueError(
                f"estimator must be es, pes, nres or full-es with fused, got {self.estimator}. Try: leave fused out"
            )
        return self

    @model_validator(mode="after")
    def _teacher_with_imitation(self) -> "Recipe":
        if (self.teacher is None) != (self.imitation == 0):
            raise ValueError(
                "teacher and imitation must be given together, "
                f"got teacher={self.teacher}, imitation={self.imitation}. Try: teacher=adam[lr=0.003], imitation=20"
            )
        return self

    @model_validator(mode="after")
    def _learned_weights_need_losses(self) -> "Recipe":
        if self.weighting == "learned" and self.objective != "loss":
            raise ValueError(
                f"objective must be loss with weighting=learned, got {self.objective}. Try: leave one of them out"
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
            raise ValueError(f"must be {', '.join(WEIGHTINGS)} or numbers such as 0,0.5,1, got {value!r}")
        if not all(0 <= point < math.inf for point in points) or not any(points):
            raise ValueError(f"must be zero or more at every point and above zero at one, got {value!r}")
        return points


def named_recipe(name: str, families: Sequence[str] = ()) -> dict[str, Any]:
    """The values of a recipe, on its own families or on those that are given.

    Args:
        name: that of a recipe of the package. Values under its `[tasks.NAME]` are for that task only.
        families: what to train on, in place of the recipe's own families, which are then not validated on either. Their
            held-out losses have no share unless that is given: where they are those of test examples, it would not do.

    Returns:
        Values by the names of the fields of `Recipe`; not yet checked.

    Raises:
        RecipeError: no recipe has this name, or there is nothing to train on.
    """
    if name not in recipe_names():
        raise RecipeError(explain_unknown("recipe", name, recipe_names()))
    values = tomllib.loads(read_shipped("recipes", name))
    values.pop("description", None)
    by_task = values.pop("tasks", {})
    if families:
        mixture = list(families) if len(families) > 1 else None
        values |= {"task": families[0], "mixture": mixture, "validation": None}
        values.pop("heldout_share", None)
    if "task" not in values:
        raise RecipeError(f"a task is required: recipe {name} names none. Try: -t quadratic")
    return {**values, **by_task.get(values["task"].partition("[")[0], {})}


def optimizer_for(rule: str, recipe: str) -> str:
    """Say what to train: a rule named without parameters takes those of the recipe's optimizer that are its own too.

    Args:
        rule: the identity of a learned optimizer.
        recipe: the identity of the recipe's optimizer.

    Raises:
        IdentityError, UnknownName: the rule is no optimizer.
    """
    name, given = parse_identity(rule)
    fields = getattr(optimizer_registry().resolve(name), "model_fields", {})
    taken = {key: value for key, value in parse_identity(recipe)[1].items() if key in fields}
    return rule if given else format_identity(name, taken)


def compose(rule: str, families: Sequence[str], recipe: str, given: Mapping[str, Any]) -> Recipe:
    """The recipe by which a rule is trained: a named one, with what is given in the place of its own values.

    Args:
        rule: what to train, as in `optimizer_for`.
        families: what to train on; none: the recipe's own families.
        recipe: the name of a recipe of the package.
        given: values that go before the recipe's; 0 takes away a number that a recipe need not have.

    Raises:
        IdentityError, UnknownName: the rule is no optimizer.
        RecipeError: no recipe has this name, or a value is unknown or out of range.
    """
    values = named_recipe(recipe, families)
    may_lack = {name for name, field in Recipe.model_fields.items() if field.default is None}
    left_out = {name: None for name, value in given.items() if value == 0 and name in may_lack}
    return make_recipe(values | {"optimizer": optimizer_for(rule, values.get("optimizer", rule)), **given, **left_out})


def make_recipe(values: dict[str, Any]) -> Recipe:
    """Check the values of a recipe.

    Args:
        values: by the names of the fields of `Recipe`; what is missing has its default.

    Raises:
        RecipeError: a value is unknown or out of range.

    Example:
        >>> make_recipe({"task": "quadratic"}).unroll
        20
    """
    try:
        return Recipe(**values)
    except ValidationError as error:
        raise RecipeError(f"recipe: {describe_findings(error, Recipe)}") from error
