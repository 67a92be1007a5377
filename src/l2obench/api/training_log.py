"""What a training logs with `--log`: curves, the best tuned baseline as a line, pictures of validation, the recipe."""

import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from l2obench.api.validation_baseline import ValidationBaseline
from l2obench.bench.config.recipe import Recipe
from l2obench.bench.loggers.base import Logger, Value
from l2obench.bench.metatrain.progress import Progress

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TAGS = {
    "meta_loss": "training/meta_loss",
    "final_loss": "training/final_loss",
    "gradient_norm": "training/gradient_norm",
    "lr": "training/learning_rate",
    "seconds": "training/seconds",
    "horizon": "training/horizon",
    "validation": "validation/loss",
}
"""Column of the training's log → name of the chart."""
BASELINE = "best tuned baseline"
# A picture has some 60 kB, and a validation may come after every trajectory.
PICTURES = 50
# Axes and lines that can still be told apart.
FAMILIES, FUNCTIONS = 6, 32


class TrainingLog:
    """Logs a training as it goes.

    Args:
        logger: where to.
        recipe: of the training.
        baseline: what the validation loss is compared with; None: nothing.
    """

    def __init__(self, logger: Logger, recipe: Recipe, baseline: ValidationBaseline | None) -> None:
        self._logger, self._recipe, self._baseline = logger, recipe, baseline
        validations = -(-recipe.trajectories // recipe.validate_every)
        self._between = recipe.validate_every * -(-validations // PICTURES)
        self._validated: dict[str, Tensor] = {}

    def begin(self, log: Sequence[dict[str, Any]]) -> None:
        """Log the recipe, and of a training that was resumed what has not been logged yet.

        Args:
            log: rows of the trajectories until now.
        """
        self._logger.log_hyperparameters(flatten(self._recipe))
        self._logger.log_text("recipe", f"```json\n{json.dumps(self._recipe.model_dump(), indent=2)}\n```")
        if self._baseline is not None:
            self._logger.log_text("baseline", f"```json\n{self._baseline.model_dump_json(indent=2)}\n```")
            self._log_baseline(0)
        for row in log:
            self._log_row(row)
        self._logger.flush()

    def keep_validation(self, identity: str, losses: Tensor) -> None:
        """Keep the losses of a validation until its trajectory is logged.

        Args:
            identity: of the family.
            losses: `[functions, 1, steps + 1]`.
        """
        self._validated[identity] = losses

    def log_trajectory(self, progress: Progress) -> None:
        """Log the newest trajectory. Nothing of it is lost if the process is killed from here on.

        Args:
            progress: the state after it.
        """
        self._log_row(progress.log[-1])
        is_last = progress.trajectory == self._recipe.trajectories
        if self._validated and (progress.trajectory % self._between == 0 or is_last):
            figure = draw_validation(self._validated, progress.trajectory)
            self._logger.log_figure("validation/trajectories", figure, progress.trajectory)
        self._validated = {}
        self._logger.flush()

    def _log_row(self, row: dict[str, Any]) -> None:
        step = row["trajectory"] + 1
        if "event" in row:
            self._logger.log_text("events", f"trajectory {step}: {row['event']}", step)
        for column, tag in TAGS.items():
            value = row.get(column)
            # A validation where a function diverges is infinite, and no chart has a place for it.
            if value is not None and math.isfinite(value):
                self._logger.log_scalar(tag, float(value), step)
        if "validation" in row:
            self._log_baseline(step)

    def _log_baseline(self, step: int) -> None:
        if self._baseline is not None and math.isfinite(value := self._baseline.validation):
            self._logger.log_scalar(TAGS["validation"], value, step, line=BASELINE)


def flatten(recipe: Recipe) -> dict[str, Value]:
    """Give the values of a recipe that tools can compare: lists as texts, and none that was left out.

    Args:
        recipe: any.

    Example:
        >>> flatten(Recipe(task="quadratic", validation=("quadratic", "mnist-mlp")))["validation"]
        'quadratic, mnist-mlp'
    """
    given = {name: value for name, value in recipe.model_dump().items() if value is not None}
    return {
        name: value if isinstance(value, str | int | float | bool) else ", ".join(map(str, value))
        for name, value in given.items()
    }


def draw_validation(validated: dict[str, Tensor], trajectory: int) -> "Figure":
    """Draw the loss of each validation function over the steps, an axes for each family.

    Args:
        validated: losses `[functions, 1, steps + 1]` by family; the first families and functions are drawn.
        trajectory: after how many the rule was validated.
    """
    # Not through pyplot: its backend is the caller's.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = list(validated.items())[:FAMILIES]
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(1 + 3.6 * columns, 0.6 + 2.8 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    for place, (identity, losses) in enumerate(shown, start=1):
        axes = figure.add_subplot(rows, columns, place)
        some = losses[:FUNCTIONS, 0].cpu().numpy()
        axes.plot(some.T, color="#9aa7b8", linewidth=0.7)
        axes.plot(losses[:, 0].cpu().numpy().mean(0), color="#c1440e", linewidth=2, label="mean")
        axes.set_title(identity.replace("$", r"\$"), fontsize="small")
        axes.set(xlabel="step", ylabel="loss")
        if some.min() > 0:
            axes.set_yscale("log")
        axes.legend(frameon=False, fontsize="small")
    few = f", the first {FUNCTIONS} functions" if any(len(losses) > FUNCTIONS for _, losses in shown) else ""
    hidden = f", {len(shown)} of {len(validated)} families" if len(shown) < len(validated) else ""
    figure.suptitle(f"Validation after trajectory {trajectory}{few}{hidden}", fontsize="medium")
    return figure
