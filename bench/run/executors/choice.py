"""The options that choose an executor, checked before anything is imported for them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from l2obench.bench.config.suite import Cell
    from l2obench.bench.run.executors.base import Executor


class ChoiceError(ValueError):
    """Options of executors that do not go together, or an executor that is not installed."""

    exit_code = 2


class ExecutorName(StrEnum):
    """The executors by the names that `--executor` takes."""

    serial = "serial"
    local = "local"
    dask = "dask"


@dataclass(frozen=True)
class Choice:
    """An executor, and what it is given."""

    name: ExecutorName
    workers: int | None
    scheduler: str | None
    resources: dict[str, float]

    def executor(self, cells: "Sequence[Cell]", timeout: float | None, report: Callable[[str], Any]) -> "Executor":
        """The executor for a run of these cells."""
        if self.name is ExecutorName.serial:
            from l2obench.bench.run.executors.serial import SerialExecutor

            return SerialExecutor(timeout, report)
        if self.name is ExecutorName.local:
            from l2obench.bench.run.executors.local import LocalExecutor

            return LocalExecutor(self.workers, timeout, report)
        try:
            from l2obench.bench.run.executors.dask import DaskExecutor
        except ImportError as error:
            raise ChoiceError("--executor dask needs Dask: pip install 'l2obench[dask]'") from error
        files = _checkpoints(cells)
        return DaskExecutor(self.scheduler, self.workers, timeout, self.resources, files, report)


def chosen(name: ExecutorName, workers: int | None, scheduler: str | None, resources: str | None) -> Choice:
    """The executor that the options name.

    Raises:
        ChoiceError: they do not go together, or a resource is not written as NAME=AMOUNT.
    """
    if scheduler is not None:
        name = ExecutorName.dask
        if workers is not None:
            raise ChoiceError("--workers is for workers started here; those of --scheduler are there already")
    if name is ExecutorName.serial and workers is not None:
        raise ChoiceError("--workers needs --executor local or --executor dask")
    if name is not ExecutorName.dask and resources is not None:
        raise ChoiceError("--resources needs --executor dask")
    return Choice(name, workers, scheduler, _amounts(resources or ""))


def _amounts(text: str) -> dict[str, float]:
    amounts = {}
    for part in filter(None, text.split(",")):
        name, _, amount = part.partition("=")
        try:
            amounts[name.strip()] = float(amount)
        except ValueError:
            amounts[name.strip()] = -1.0
        if not (name.strip() and 0 < amounts[name.strip()] < float("inf")):
            raise ChoiceError(f"--resources {text}: {part!r} is not NAME=AMOUNT, as in GPU=1,MEMORY=8e9")
    return amounts


def _checkpoints(cells: "Sequence[Cell]") -> dict[str, bytes]:
    """The checkpoint files that optimizers name by path: workers elsewhere have none of them."""
    from l2obench.foundation.tensor_metadata import TENSOR_FILE_SUFFIX

    fields = ("checkpoint", "conv", "fc")
    named = {getattr(cell.optimizer, field, None) for cell in cells for field in fields}
    paths = sorted(name for name in named if isinstance(name, str) and name.endswith(TENSOR_FILE_SUFFIX))
    return {path: Path(path).read_bytes() for path in paths}
