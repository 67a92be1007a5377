"""The loop over the trajectories of a meta-training."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

from l2obench.bench.metatrain.progress import Progress
from l2obench.bench.metatrain.trainer import OnValidation, Trainer, ignore_validation


def train(
    trainer: Trainer,
    progress: Progress,
    on_trajectory: Callable[[Progress], None],
    around: Callable[[int], AbstractContextManager[None]] = lambda trajectory: nullcontext(),
    on_validation: OnValidation = ignore_validation,
) -> Progress:
    """Train to the end of the recipe.

    Args:
        trainer: of the recipe.
        progress: the state to go on from.
        on_trajectory: called with the state after each trajectory.
        around: given a trajectory's number, makes the context in which it runs.
        on_validation: as `Trainer.validate` takes it.

    Raises:
        MetaTrainingDiverged: too many meta-gradients in a row were not finite.
    """
    while progress.trajectory < trainer.recipe.trajectories:
        with around(progress.trajectory):
            progress = trainer.run_trajectory(progress, on_validation)
        on_trajectory(progress)
    return progress
