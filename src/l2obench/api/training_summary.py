"""What a training ends with: how its checkpoint compares with the best tuned baseline, and what to type next."""

import math
import shlex

from l2obench.api.validation_baseline import BASELINES, ValidationBaseline
from l2obench.bench.config.identity import format_identity, parse_identity
from l2obench.bench.config.trainings import CHECKPOINT
from l2obench.bench.metatrain.session import Session
from l2obench.reports.formats import format_number

# Of a command that a user copies.
MOST_TASKS = 4
# In the place of a checkpoint that only the user knows.
OLD = "OLD"


def compare_with_baseline(best_validation: float, baseline: ValidationBaseline | None) -> str:
    """Say how a validation loss compares with the best tuned baseline, and that this is no result.

    Args:
        best_validation: of the checkpoint.
        baseline: on the same functions; None where it was not computed.

    Returns:
        One line.
    """
    if baseline is None:
        return "It is not compared with a tuned baseline yet: the command below does that."
    other = baseline.validation
    if not math.isfinite(other):
        return "On the validation functions every tuned baseline diverges. The command below tries others."
    if other <= 0 or best_validation < 0:
        found = f"its loss is {format_number(best_validation)}; {format_number(other)} is that of {baseline.name}"
    else:
        found = f"its loss is {format_number(best_validation / other)} times that of {baseline.name}"
    return f"On the validation functions {found}. This is no result: validation chose this checkpoint."


def summarize_training(session: Session, baseline: ValidationBaseline | None) -> list[str]:
    """Give the lines with which a training ends.

    Args:
        session: the training, finished.
        baseline: on its validation functions; None where it was not computed.
    """
    best, run, gate = session.progress.best_validation, *next_commands(session)
    return [
        f"Best validation loss {best:.5g}. Checkpoint written to {session.folder / CHECKPOINT}",
        compare_with_baseline(best, baseline),
        f"Next, on new functions: {run}",
        f"Against another checkpoint: {gate}",
    ]


def next_commands(session: Session) -> list[str]:
    """The commands that compare a checkpoint with baselines and with another checkpoint, on new functions.

    Args:
        session: a training that is finished.
    """
    checkpoint = str(session.folder / CHECKPOINT)
    rule = format_identity(parse_identity(session.recipe.optimizer)[0], {"checkpoint": checkpoint})
    tasks = [part for family in session.trainer.validated[:MOST_TASKS] for part in ("-t", family.identity)]
    optimizers = [part for name in (rule, *BASELINES) for part in ("-o", name)]
    against = str(parse_identity(session.recipe.optimizer)[1].get("checkpoint", OLD))
    return [
        shlex.join(["l2obench", "run", *tasks, *optimizers]),
        shlex.join(["l2obench", "check", "--checkpoint", checkpoint, "--against", against, *tasks]),
    ]
