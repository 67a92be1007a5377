"""Progress on a terminal: lines under a bar; in a pipe: plain lines."""

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Lines:
    """Lines of progress: below a bar on a terminal, plain in a pipe."""

    def __init__(self, total: int | None = None, completed: int = 0) -> None:
        self.console = Console(stderr=True, highlight=False)
        columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()]
        self.bar = Progress(*columns, TimeRemainingColumn(), console=self.console, disable=not self.console.is_terminal)
        self.item = self.bar.add_task("training" if total else "running", total=total, completed=completed)

    def __enter__(self) -> "Lines":
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def show(self, line: str) -> None:
        """A line of its own; on a terminal it stands above the bar."""
        if self.console.is_terminal:
            self.console.print(line, markup=False)
        else:
            print(line, flush=True)

    def advance(self, completed: int, line: str | None) -> None:
        """Move the bar, and show a line if there is one."""
        self.bar.update(self.item, completed=completed)
        if line is not None:
            self.show(line)
