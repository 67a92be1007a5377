"""What `l2obench.train` and the commands that train share: the folder and recipe, and a training run to its end."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from l2obench.api.progress import ProgressDisplay, describe_progress
from l2obench.bench.config.recipe import Recipe, compose
from l2obench.bench.metatrain.process_group import ProcessLost
from l2obench.bench.metatrain.session import Session
from l2obench.bench.store.results_file import cell_name


def plan_training(
    rule: str, families: Sequence[str], recipe: str, settings: Mapping[str, Any], out: str | Path | None
) -> tuple[Path, Recipe]:
    """Decide where a training is kept, and how it trains.

    Args:
        rule: the learned optimizer.
        families: task families to train on; without any, the recipe's.
        recipe: the name of a recipe.
        settings: fields of `Recipe` that go before the recipe's.
        out: the training folder; None: one below `results/training` that is named after the rest.

    Raises:
        RecipeError, UnknownName, BadParameters: as `compose` says.
    """
    composed = compose(rule, families, recipe, settings)
    parts = [rule, *([" + ".join(families)] if families else []), recipe]
    return Path("results/training") / cell_name(*parts) if out is None else Path(out), composed


def replicate(folder: Path, recipe: Recipe, replicates: int) -> list[tuple[Path, Recipe]]:
    """The folder and the recipe of each training of a recipe: their seeds follow one another.

    Args:
        folder: of all; of a single training, its own.
        recipe: of the first.
        replicates: how many there are.
    """
    if replicates == 1:
        return [(folder, recipe)]
    return [
        (folder / f"replicate-{number + 1}", recipe.model_copy(update={"seed": recipe.seed + number}))
        for number in range(replicates)
    ]


def train_to_end(session: Session, name: str, progress: bool = True) -> None:
    """Train to the end and show the progress as `name`. An interrupted session is saved first.

    Args:
        session: the training, new or resumed.
        name: the heading of the progress.
        progress: show it.
    """
    total = session.recipe.trajectories
    if not progress:
        _run(session, None)
        return
    with ProgressDisplay(name, total=total, completed=session.progress.trajectory) as display:
        _run(session, display)


def _run(session: Session, display: ProgressDisplay | None) -> None:
    total = session.recipe.trajectories
    try:
        session.run(lambda state: display.advance(*describe_progress(state, total)) if display else None)
    except BaseException as error:
        # Signals are no `Exception`s. After any other error the state may be wrong, and the one on disk is sound.
        if not isinstance(error, Exception) or isinstance(error, ProcessLost):
            session.save()
        raise
