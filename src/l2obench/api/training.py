"""`l2obench.train`: meta-train a learned optimizer."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from l2obench.api.naming import BadArgument, optimizer_identities, task_identities
from l2obench.api.training_session import plan_training, train_to_end
from l2obench.bench.config.identity import alternatives, format_identity, parse_identity
from l2obench.bench.config.recipe import Recipe
from l2obench.bench.config.trainings import CHECKPOINT
from l2obench.bench.metatrain.session import Session
from l2obench.bench.process import process_set_up
from l2obench.foundation.names import explain_unknown

if TYPE_CHECKING:
    from l2obench.tasks.base import Task


@dataclass(frozen=True)
class Training:
    """What a training gave."""

    folder: Path
    recipe: Recipe
    best_validation: float
    """The lowest validation loss, which is that of the checkpoint."""
    log: pd.DataFrame
    """One row for each trajectory: its meta-loss, and its validation loss where there was one."""

    @property
    def checkpoint(self) -> Path:
        """The best meta-parameters with all that made them."""
        return self.folder / CHECKPOINT

    @property
    def optimizer(self) -> str:
        """The identity that `run` and `load` take."""
        return format_identity(parse_identity(self.recipe.optimizer)[0], {"checkpoint": str(self.checkpoint)})


def train(
    optimizer: str,
    tasks: "str | type[Task] | Task | Sequence[str | type[Task] | Task]" = (),
    *,
    recipe: str = "paper",
    out: str | Path | None = None,
    device: str = "cpu",
    force: bool = False,
    progress: bool = True,
    **settings: Any,
) -> Training:
    """Meta-train a learned optimizer, and keep the best by validation.

    Args:
        optimizer: the learned optimizer, as in `"lstm"` or `"lstm[p=5]"`; with a checkpoint, from there on.
        tasks: the family to train on, by its identity, class or object; several make a mixture, and so does
            `"mnist-mlp[units=10|20]"`. Without any: the recipe's.
        recipe: where values that are not given come from: `paper` and the others of `l2obench list recipes`.
        out: the training folder. The same call goes on where an earlier one ended. None: `results/training/…`.
        device: the torch device.
        force: begin anew, and replace a training that is there.
        progress: show what is done.
        settings: fields of `Recipe`, as in `trajectories=100`; they go before those of the recipe.

    Returns:
        The checkpoint, its validation loss and the log.

    Raises:
        BadArgument: a setting has no such name.
        RecipeError: the recipe does not exist, or a value is out of range.
        StoreError: `out` holds another training, or can't be written.

    Example:
        >>> import tempfile
        >>> short = {"trajectories": 1, "functions": 2, "validation_functions": 2}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     trained = train("lstm", "quadratic[horizon=20]", out=folder, progress=False, **short)
        ...     trained.checkpoint.exists()
        True
    """
    fields = [name for name in Recipe.model_fields if name not in ("task", "mixture", "optimizer")]
    for name in settings:
        if name not in fields:
            raise BadArgument(explain_unknown("setting of train", name, fields))
    (rule,) = optimizer_identities(optimizer)
    folder, made = plan_training(rule, _families(tasks), recipe, settings, out)
    with process_set_up():
        session = Session(folder, made, device, force)
        train_to_end(session, "training", progress)
    done = session.progress
    return Training(session.folder, made, done.best_validation, pd.DataFrame(done.log))


def _families(tasks: Any) -> list[str]:
    """The identities of the families, those with bars written out."""
    given = [tasks] if isinstance(tasks, str | type) or not isinstance(tasks, Sequence) else tasks
    written_out = [one for item in given for one in (alternatives(item) if isinstance(item, str) else [item])]
    return task_identities(written_out) if written_out else []
