"""The protocol of an executor, which runs assignments somewhere, and the loop that keeps one busy.

Cells are independent, and a chain's numbers do not depend on where it ran. So an executor decides only when and where.
It neither reads nor writes the run's folder: answers come back through it, and the caller keeps them.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Self

from l2obench.bench.config.suite import Cell
from l2obench.bench.failures import RunStopped
from l2obench.bench.run.cell import Chain, Rows
from l2obench.bench.run.work import Answer, Assignment


class ExecutorError(RuntimeError):
    """An executor cannot be reached, is not fit for the assignments, or is gone."""

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Executor(ABC):
    """Runs assignments somewhere. It is entered before the timing pass, and does nothing until one is submitted.

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
        """Take an assignment, to run it now or later.

        Args:
            assignment: `finished` gives its answer.
        """

    @abstractmethod
    def finished(self) -> Answer:
        """Wait for the next answer to any assignment submitted; ask only while one is under way.

        Raises:
            ExecutorError: none will come.
        """

    @abstractmethod
    def room(self, needed: Mapping[str, float]) -> int:
        """Count the assignments that may be under way.

        Args:
            needed: resources that each needs, by Dask's names.
        """

    def processes_here(self) -> int:
        """Count the processes that share this machine's memory while assignments run."""
        return 1

    def places(self) -> str:
        """Say where assignments run, for the line of progress."""
        return ""

    @abstractmethod
    def close(self) -> None:
        """Give up what is under way, and leave nothing running."""


def run_chains(executor: Executor, chains: Iterable[tuple[Cell, Chain]]) -> Iterator[tuple[Cell, Rows]]:
    """Run chains to their ends on an executor.

    A chain is begun only where there is room for it. A run that is stopped then has many finished cells, and few that
    were begun in vain.

    Args:
        executor: where the assignments run.
        chains: each cell with its chain, in the order in which they are begun.

    Returns:
        Each cell with its rows, as soon as it is finished.
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
    """Bring a chain to its next assignment and submit that; its rows, if it has come to its end.

    Raises:
        RunStopped: something failed that is neither the task nor the optimizer.
    """
    if answer is not None and answer.stopped_by is not None:
        if isinstance(answer.stopped_by, RunStopped):
            raise RunStopped(f"{' '.join(cell.key)}: {answer.stopped_by}") from answer.stopped_by
        raise answer.stopped_by
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
