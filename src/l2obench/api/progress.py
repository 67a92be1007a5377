"""Progress: a bar below the lines on a terminal, only the lines in a pipe. What cannot be shown stops no work."""

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from l2obench.foundation.plain_text import escape_controls, let_controls_pass

if TYPE_CHECKING:
    from l2obench.bench.metatrain.progress import Progress as TrainingProgress


@contextlib.contextmanager
def unfailing() -> Iterator[None]:
    """Go on with the work where a line cannot be shown.

    The reader of a pipe has ended, a terminal was closed, a disk is full, or a stream of the user's is closed.
    """
    with contextlib.suppress(OSError, ValueError):
        yield


class ProgressDisplay:
    """Lines of progress, with a bar below them on a terminal.

    Args:
        name: what is in progress.
        total: its number of steps; None: not known yet.
        completed: how many of them are done.
    """

    def __init__(self, name: str, total: int | None = None, completed: int = 0) -> None:
        self.name = name
        self.console = Console(file=let_controls_pass(sys.stderr), highlight=False)
        # Identities have square brackets, which are no markup.
        name_column = TextColumn("{task.description}", markup=False)
        columns = [name_column, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
        self.bar = Progress(*columns, TimeRemainingColumn(), console=self.console, disable=not self.console.is_terminal)
        self.item = self.bar.add_task(name, total=total, completed=completed)

    def __enter__(self) -> "ProgressDisplay":
        with unfailing():
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        with unfailing():
            self.bar.stop()

    def print_line(self, line: str) -> None:
        """Print a line; on a terminal it stands above the bar.

        Args:
            line: its text; control characters are escaped.
        """
        with unfailing():
            if self.console.is_terminal:
                self.console.print(escape_controls(line), markup=False)
            else:
                _print(line)

    def count(self, completed: int, total: int, where: str) -> None:
        """Move the bar to `completed` of `total`, and say where the work is done.

        Args:
            completed: how many parts are done.
            total: how many parts there are.
            where: what is worked on; empty: nothing is said.
        """
        with unfailing():
            self.bar.update(
                self.item, completed=completed, total=total, description=" ".join(filter(None, [self.name, where]))
            )

    def advance(self, completed: int, line: str | None) -> None:
        """Move the bar, and print a line if there is one.

        Args:
            completed: how many parts are done.
            line: the line; None: there is none.
        """
        with unfailing():
            self.bar.update(self.item, completed=completed)
        if line is not None:
            self.print_line(line)


def _print(line: str) -> None:
    try:
        print(escape_controls(line), flush=True)
    # A stream that is not UTF-8 has no `×`.
    except UnicodeEncodeError:
        print(line.encode("ascii", "backslashreplace").decode(), flush=True)


def describe_progress(progress: "TrainingProgress", total: int) -> tuple[int, str | None]:
    """Give the number of trajectories done, and a line where there is a validation or a setback.

    Args:
        progress: the state of the training.
        total: trajectories of the whole training.
    """
    row = progress.log[-1]
    if "event" in row:
        return progress.trajectory, f"trajectory {progress.trajectory} of {total}: {row['event']}"
    if "validation" not in row:
        return progress.trajectory, None
    return progress.trajectory, (
        f"trajectory {progress.trajectory} of {total}: meta-loss {row['meta_loss']:.4g}, "
        f"validation {row['validation']:.4g}, best {progress.best_validation:.4g}"
    )
