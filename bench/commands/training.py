"""Meta-training with a progress display, as `train` and `train-suite` run it."""

from typing import TYPE_CHECKING

from l2obench.bench.commands.process import Terminated

if TYPE_CHECKING:
    from l2obench.bench.metatrain.session import Session


def train_to_end(session: "Session", name: str) -> None:
    """Train to the end and show the progress as `name`. An interrupted session is saved first."""
    from l2obench.api.progress import ProgressDisplay, describe_progress
    from l2obench.bench.metatrain.process_group import ProcessLost

    total = session.recipe.trajectories
    display = ProgressDisplay(name, total=total, completed=session.progress.trajectory)
    try:
        with display:
            session.run(lambda progress: display.advance(*describe_progress(progress, total)))
    except (Terminated, ProcessLost):
        session.save()
        raise
