"""What `l2obench.train` and the commands that train share: the folder and recipe, and a training run to its end."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from l2obench.api.progress import ProgressDisplay, describe_progress
from l2obench.api.training_log import TrainingLog
from l2obench.api.validation_baseline import (
    BASELINES,
    ValidationBaseline,
    compute_baseline,
    is_affordable,
    read_baseline,
)
from l2obench.bench.config.recipe import Recipe, compose
from l2obench.bench.loggers.choice import Loggers
from l2obench.bench.loggers.unfailing import Attempts
from l2obench.bench.metatrain.process_group import ProcessLost
from l2obench.bench.metatrain.progress import Progress
from l2obench.bench.metatrain.session import Session
from l2obench.bench.metatrain.trainer import ignore_validation
from l2obench.bench.store.results_file import cell_name
from l2obench.foundation.errors import describe_error


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
    with _display(session, name, progress) as display:
        _run(session, display)


def train_and_compare(
    session: Session, name: str, tools: Sequence[str] = (), progress: bool = True
) -> ValidationBaseline | None:
    """Train to the end as `train_to_end` does, log it, and tune baselines on the validation functions before.

    Args:
        session: the training, new or resumed.
        name: the heading of the progress.
        tools: where to log, as `read_tools` gives them.
        progress: show it.

    Returns:
        The best tuned baseline on the validation functions. None where tuning would take long beside the training, or
        several processes train.
    """
    warn = partial(print, "l2obench:", file=sys.stderr)
    with _display(session, name, progress) as display:
        show = display.print_line if display else warn
        baseline = _find_baseline(session, display, show)
        if not tools:
            _run(session, display)
            return baseline
        logger = Loggers(tools, session.folder, session.folder.name, fresh=not session.resumed, warn=show)
        log = TrainingLog(logger, session.recipe, baseline)
        attempt = Attempts("the log", show)
        try:
            attempt(lambda: log.begin(session.progress.log))
            _run(session, display, log, attempt)
        finally:
            logger.close()
    return baseline


def _find_baseline(
    session: Session, display: ProgressDisplay | None, show: Callable[[str], Any]
) -> ValidationBaseline | None:
    """Read or compute the baseline. What fails here stops no training."""
    if (found := read_baseline(session)) is not None:
        return found
    finished = session.progress.trajectory == session.recipe.trajectories
    if finished or session.trainer.group.world_size > 1 or not is_affordable(session):
        return None
    say_where: Callable[[str], Any] = _say_nothing
    if display is not None:
        say_where = partial(display.count, session.progress.trajectory, session.recipe.trajectories)
        show(f"before it trains: tuning {', '.join(BASELINES)} on its validation functions")
    try:
        return compute_baseline(session, say_where)
    except Exception as error:
        show(f"no baseline was tuned for comparison: {describe_error(error)}")
        return None
    finally:
        say_where("")


def _say_nothing(_: str) -> None:
    """Where no progress is shown."""


@contextlib.contextmanager
def _display(session: Session, name: str, progress: bool) -> Iterator[ProgressDisplay | None]:
    if not progress:
        yield None
        return
    with ProgressDisplay(name, total=session.recipe.trajectories, completed=session.progress.trajectory) as display:
        yield display


def _run(
    session: Session,
    display: ProgressDisplay | None,
    log: TrainingLog | None = None,
    attempt: Callable[[Callable[[], Any]], None] = lambda call: None,
) -> None:
    total = session.recipe.trajectories

    def on_trajectory(state: Progress) -> None:
        if log is not None:
            attempt(lambda: log.log_trajectory(state))
        if display is not None:
            display.advance(*describe_progress(state, total))

    try:
        session.run(on_trajectory, ignore_validation if log is None else log.keep_validation)
    except BaseException as error:
        # Signals are no `Exception`s. After any other error the state may be wrong, and the one on disk is sound.
        if not isinstance(error, Exception) or isinstance(error, ProcessLost):
            session.save()
        raise
