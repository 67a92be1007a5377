"""Trainings that a suite compares: one learned optimizer by recipes that differ in what a grid says."""

import itertools
import math
import re
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from l2obench.bench.config.identity import format_identity, parse_identity
from l2obench.bench.config.recipe import Recipe, compose

CHECKPOINT = "checkpoint.safetensors"
"""What a training keeps, in its folder."""
# Each is read as a checkpoint, or trained.
MAX_TRAININGS = 10_000
Value = str | bool | int | float | list[float]


class Trainings(BaseModel):
    """One training for every combination of the grid's values."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-zA-Z0-9{][\w.{}+-]*$")
    """What the checkpoints are called, a value of the grid in the place of each `{parameter}`."""
    rule: str
    """The learned optimizer to train, as `l2obench train` takes it."""
    task: str | None = None
    """The family to train on; none: the recipe's."""
    recipe: str = "paper"
    settings: dict[str, Value] = {}
    """Values of the recipe that all of these trainings have."""
    grid: dict[str, list[Value]] = {}
    """Values of the recipe with those that each takes."""

    @model_validator(mode="after")
    def _names_differ(self) -> "Trainings":
        if (count := math.prod(map(len, self.grid.values()))) > MAX_TRAININGS:
            raise ValueError(f"trainings {self.name}: grid must give at most {MAX_TRAININGS:,}, got {count:,}")
        names = [name for name, _ in self._combinations()]
        if len(set(names)) < len(names) or not all(re.match(r"[a-zA-Z0-9][\w.+-]*$", name) for name in names):
            raise ValueError(
                f"trainings {self.name}: expected all parameters of the grid in the name, and no others: "
                + (", ".join(f"{{{key}}}" for key in self.grid) or "there are none")
            )
        return self

    def recipes(self) -> Iterator[tuple[str, Recipe]]:
        """The name and the recipe of every training.

        Raises:
            IdentityError, UnknownName: the rule is no optimizer.
            RecipeError: a recipe does not exist or does not make sense.
        """
        families = [self.task] if self.task else []
        for name, values in self._combinations():
            yield name, compose(self.rule, families, self.recipe, {**self.settings, **values})

    def optimizer(self, checkpoint: str) -> str:
        """The identity of the trained rule.

        Args:
            checkpoint: the path or name of its checkpoint.
        """
        return format_identity(parse_identity(self.rule)[0], {"checkpoint": checkpoint})

    def _combinations(self) -> Iterator[tuple[str, dict[str, Value]]]:
        """The grid's combinations, each with its name."""
        for chosen in itertools.product(*self.grid.values()):
            values, name = dict(zip(self.grid, chosen, strict=True)), self.name
            for key, value in values.items():
                name = name.replace(f"{{{key}}}", _word(value))
            yield name, values


def with_common(common: Any, trainings: Any) -> list[Any]:
    """Trainings as a suite's file has them, each with what is common to all; its own values come first.

    Args:
        common: the table `[each_training]` of a suite's file, as TOML gives it.
        trainings: its list of tables `[[trainings]]`.

    Returns:
        The trainings; what is no table is left as it is, for the model to refuse.

    Raises:
        ValueError: what is common is no table, or there is nothing to share it.
    """
    if not (isinstance(common, dict) and isinstance(common.get("settings", {}), dict)):
        raise ValueError("each_training: expected a table with keys of [[trainings]]")
    if not (isinstance(trainings, list) and trainings):
        raise ValueError("each_training: there are no trainings; add [[trainings]], or leave it out")
    return [_joined(common, each) for each in trainings]


def _joined(common: dict[str, Any], training: Any) -> Any:
    """One of them; what is no table is left for others to refuse."""
    if not (isinstance(training, dict) and isinstance(own := training.get("settings", {}), dict)):
        return training
    return common | training | {"settings": common.get("settings", {}) | own}


def _word(value: Value) -> str:
    """A value as a part of a file's name."""
    if isinstance(value, list):
        return "_".join(map(_word, value))
    return re.sub(r"[^\w.+-]+", "_", f"{value:g}" if isinstance(value, float) else str(value))
