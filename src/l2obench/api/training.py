"""`l2obench.train`: meta-train a learned optimizer."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from l2obench.api.naming import BadArgument, optimizer_identities, task_identities
from l2obench.api.training_session import plan_training, replicate, train_and_compare
from l2obench.api.training_summary import compare_with_baseline
from l2obench.api.validation_baseline import ValidationBaseline
from l2obench.bench.config.identity import alternatives, format_identity, parse_identity
from l2obench.bench.config.recipe import Recipe
from l2obench.bench.config.trainings import CHECKPOINT
from l2obench.bench.loggers.choice import read_tools
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
    baseline: ValidationBaseline | None = None
    """The best tuned baseline on the same validation functions; None where it was not computed."""
    replicates: "tuple[Training, ...]" = ()
    """All trainings of the recipe, in the order of their seeds; empty where there is one."""

    @property
    def comparison(self) -> str:
        """How the validation loss compares with the best tuned baseline, in one line. It is no result."""
        return compare_with_baseline(self.best_validation, self.baseline)

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
    replicates: int = 1,
    device: str = "cpu",
    data_dir: str | Path | None = None,
    force: bool = False,
    progress: bool = True,
    log: str | Sequence[str] = (),
    **settings: Any,
) -> Training:
    """Meta-train a learned optimizer, and keep the best by validation.

    Args:
        optimizer: the learned optimizer, as in `"lstm"` or `"lstm[p=5]"`; with a checkpoint, from there on.
        tasks: the family to train on, by its identity, class or object; several make a mixture, and so does
            `"mnist-mlp[units=10|20]"`. Without any: the recipe's.
        recipe: where values that are not given come from: `paper` and the others of `l2obench list recipes`.
        out: the training folder. The same call goes on where an earlier one ended. None: `results/training/…`.
        replicates: train the recipe with so many seeds, from `seed` on. A claim about a recipe needs three or more.
        device: the torch device.
        data_dir: the folder of downloaded data; None: the environment variable `L2OBENCH_DATA`.
        force: begin anew, and replace a training that is there.
        progress: show what is done.
        log: where curves, pictures and the recipe are logged besides: `"tensorboard"`, `"wandb"`, `"mlflow"`, or
            several.
        settings: fields of `Recipe`, as in `trajectories=100`; they go before those of the recipe.

    Returns:
        The checkpoint, its validation loss and the log. Of several trainings: the best by validation, with all of them
        in `replicates`.

    Raises:
        BadArgument: a setting has no such name, or `replicates` is no whole number from 1 on.
        RecipeError: the recipe does not exist, or a value is out of range.
        LogError: `log` names something else, or its package is not installed.
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
    if isinstance(replicates, bool) or not isinstance(replicates, int) or replicates < 1:
        raise BadArgument(f"replicates must be a whole number from 1 on, got {replicates!r}. Try: replicates=3")
    tools = read_tools(log)
    folder, made = plan_training(rule, _families(tasks), recipe, settings, out)
    found = []
    with process_set_up(device, data_dir):
        for number, (place, seeded) in enumerate(replicate(folder, made, replicates), start=1):
            session = Session(place, seeded, device, force)
            name = "training" if replicates == 1 else f"training {number} of {replicates}"
            baseline = train_and_compare(session, name, tools, progress)
            done = session.progress
            found.append(Training(session.folder, seeded, done.best_validation, pd.DataFrame(done.log), baseline))
    best = min(found, key=lambda training: training.best_validation)
    return best if replicates == 1 else dataclasses.replace(best, replicates=tuple(found))


def _families(tasks: Any) -> list[str]:
    """The identities of the families, those with bars written out."""
    given = [tasks] if isinstance(tasks, str | type) or not isinstance(tasks, Sequence) else tasks
    written_out = [one for item in given for one in (alternatives(item) if isinstance(item, str) else [item])]
    return task_identities(written_out) if written_out else []
