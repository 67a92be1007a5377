"""What the commands that meta-train share."""

from typing import TYPE_CHECKING

from l2obench.bench.commands.process import Terminated

if TYPE_CHECKING:
    from l2obench.bench.metatrain.session import Session


def finish(session: "Session", name: str) -> None:
    """Train to the end, with progress under that name; what there is when it is interrupted is kept."""
    from l2obench.api.progress import ProgressDisplay, training_line
    from l2obench.bench.metatrain.ranks import RankLost

    total = session.recipe.trajectories
    lines = ProgressDisplay(name, total=total, completed=session.progress.trajectory)
    try:
        with lines:
            session.run(lambda progress: lines.advance(*training_line(progress, total)))
    except (Terminated, RankLost):
        session.save()
        raise
