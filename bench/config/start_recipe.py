"""Recipes of learned initializations: everything that decides a start, as one value that its file carries."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from l2obench.bench.config.recipe import RecipeError
from l2obench.foundation.errors import describe_findings

MethodName = Literal["maml", "fomaml", "reptile", "meta-sgd"]
DEFAULTS: dict[MethodName, dict[str, Any]] = {
    "reptile": {"lr": 1.0, "inner_lr": 0.02},  # θ₀ moves a fraction `lr` of the way, without Adam
    "meta-sgd": {"lr": 3e-4, "clip": 1.0},  # learned rates approach the edge of stability, and sometimes cross it
}
"""Defaults of a method that differ from those of the recipe."""


class StartRecipe(BaseModel):
    """How an initialization is learned.

    Inner rate and meta-batch are those of Finn et al. 2017 for sinusoids (section 5.1, appendix A.1), who take 70,000
    outer steps at 1e-3. Fewer steps at a higher rate that decays are ours.

    The text below a field is also the help of its option in `l2obench train-start`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    method: MethodName
    task: str
    """Task family to learn the start on. Its horizon is the number of steps k after which a start is judged."""
    inner_lr: float = Field(default=0.01, gt=0)
    """Learning rate of the gradient descent from the start; with meta-sgd, the initial value of all learned rates.
    reptile: 0.02."""
    trajectories: int = Field(default=2000, ge=1)
    """Number of outer steps. Each runs k steps on every function of a meta-batch."""
    functions: int = Field(default=25, ge=1)
    """Functions in a meta-batch."""
    lr: float = Field(default=3e-3, gt=0)
    """Initial learning rate of Adam on the start, or ε of Reptile. It decays by a cosine.
    reptile: 1.0, meta-sgd: 3e-4."""
    final_lr: float = Field(default=0.02, gt=0, le=1)
    """Fraction of lr at the end of the decay. 1 keeps the rate constant."""
    clip: float | None = Field(default=None, gt=0)
    """Maximum norm of the direction of an outer step. Unless given, no bound. meta-sgd: 1.0."""
    validation_functions: int = Field(default=512, ge=1)
    """Functions on which the start is judged at the end. No other pool of seeds holds them."""
    seed: int = Field(default=0, ge=0)
    """Seed of the initial values and of the training functions."""


def make_start_recipe(values: dict[str, Any]) -> StartRecipe:
    """A checked recipe, with the method's defaults for values that are not given.

    Args:
        values: fields of a `StartRecipe`; `method` and `task` are required.

    Raises:
        RecipeError: a value is unknown or out of range.
    """
    try:
        return StartRecipe(**(DEFAULTS.get(values["method"], {}) | values))
    except ValidationError as error:
        raise RecipeError(f"recipe: {describe_findings(error, StartRecipe)}") from error
