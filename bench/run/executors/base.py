"""The protocol of an executor, a place where assignments are done, and the loop that keeps one busy.

Cells are independent and a chain's numbers do not depend on where it ran, so all that an executor decides is when. It
neither reads nor writes the run's folder: answers come back through it, and the caller keeps them.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Self

from l2obench.bench.config.suite import Cell
from l2obench.bench.run.cell import Chain, Rows
from l2obench.bench.run.work import Answer, Assignment


class ExecutorError(RuntimeError):
    """The place where assignments are done cannot be reached, is not fit for them, or is gone."""

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Executor(ABC):
    """A place where assignments are done. Entered before the timing pass; it does nothing until one is submitted.

    Args:
        report: called with a line for each part of a job that begins, from any thread.
    """

    def __init__(self, report: Callable[[str], Any] = lambda _: None) -> None:
        self.report = report

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def submit(self, assignment: Assignment) -> None:
        """Have an assignment done, now or later."""

    @abstractmethod
    def finished(self) -> Answer:
        """Wait for the next answer to any assignment submitted; ask only while one is under way.

        Raises:
            ExecutorError: none will come.
        """

    @abstractmethod
    def room(self, needed: Mapping[str, float]) -> int:
        """How many assignments may be under way, if each needs these resources."""

    def processes_here(self) -> int:
        """How many processes share this machine's memory while assignments are done."""
        return 1

    def places(self) -> str:
        """Where assignments are done, for the line of progress."""
        return ""

    @abstractmethod
    def close(self) -> None:
        """Give up what is under way, and leave nothing running."""


def run_chains(executor: Executor, chains: Iterable[tuple[Cell, Chain]]) -> Iterator[tuple[Cell, Rows]]:
    """Run chains to their ends on an executor, and give each cell with its rows as it is finished.

    A chain is begun only where there is room for it, so that finished cells, not begun ones, are what a run is rich in.
    """
    waiting = iter(chains)
    following = next(waiting, None)
    under_way: dict[Assignment, tuple[Cell, Chain]] = {}
    while following is not None or under_way:
        while following is not None and len(under_way) < max(1, executor.room(following[0].resources)):
            cell, chain = following
            rows = _advance(executor, under_way, cell, chain)
            following = next(waiting, None)
            if rows is not None:
                yield cell, rows
        if under_way:
            answer = executor.finished()
            cell, chain = under_way.pop(answer.assignment)
            rows = _advance(executor, under_way, cell, chain, answer)
            if rows is not None:
                yield cell, rows


def _advance(
    executor: Executor,
    under_way: dict[Assignment, tuple[Cell, Chain]],
    cell: Cell,
    chain: Chain,
    answer: Answer | None = None,
) -> Rows | None:
    """Bring a chain to its next assignment and submit that; its rows, if it has come to its end."""
    try:
        if answer is None:
            assignment = next(chain)
        elif answer.failure is not None:
            assignment = chain.throw(answer.failure)
        else:
            assignment = chain.send(answer.result)
    except StopIteration as end:
        return list(end.value)
    under_way[assignment] = cell, chain
    executor.submit(assignment)
    return None
