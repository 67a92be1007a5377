"""The options that choose an executor. They are checked before the executor is imported."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from l2obench.foundation.regular_file import FileRefused, read_regular_file

if TYPE_CHECKING:
    from l2obench.bench.config.suite import Cell
    from l2obench.bench.run.executors.base import Executor

# A gigabyte; each of them is sent to every worker.
MAX_CHECKPOINT_BYTES = 2**30


class ChoiceError(ValueError):
    """Options of a run that do not go together, or what they need is not installed."""

    exit_code = 2


class ExecutorName(StrEnum):
    """Values of `--executor`."""

    serial = "serial"
    local = "local"
    dask = "dask"


@dataclass(frozen=True)
class ExecutorChoice:
    """An executor and its options."""

    name: ExecutorName
    workers: int | None
    scheduler: str | None
    resources: dict[str, float]

    def make(self, cells: "Sequence[Cell]", timeout: float | None, report: Callable[[str], Any]) -> "Executor":
        """Make the executor for a run of these cells.

        Args:
            cells: what is to be run; checkpoints that they name by path are sent to the workers of a cluster.
            timeout: seconds that a step may take; None: plugins have the default, ours as long as they need.
            report: called with a line for each part of a job that begins.

        Raises:
            TyperException: Dask is not installed.
        """
        if self.name is ExecutorName.serial:
            from l2obench.bench.run.executors.serial import SerialExecutor

            return SerialExecutor(timeout, report)
        if self.name is ExecutorName.local:
            from l2obench.bench.run.executors.local import LocalExecutor

            return LocalExecutor(self.workers, timeout, report)
        try:
            from l2obench.bench.run.executors.dask import DaskExecutor
        except ImportError as error:
            raise ChoiceError("--executor dask needs Dask. Try: pip install distributed") from error
        files = _read_checkpoints(cells)
        return DaskExecutor(self.scheduler, self.workers, timeout, self.resources, files, report)


def choose_executor(
    name: ExecutorName, workers: int | None, scheduler: str | None, resources: str | None
) -> ExecutorChoice:
    """Read the options of `l2obench run` that choose an executor.

    Args:
        name: value of `--executor`.
        workers: processes to start; None: as many as fit.
        scheduler: address of a Dask scheduler; given one, the executor is Dask's.
        resources: `NAME=AMOUNT,…` that a worker offers.

    Raises:
        ChoiceError: they contradict each other, or a resource is not written as NAME=AMOUNT.
    """
    if scheduler is not None:
        name = ExecutorName.dask
        if workers is not None:
            raise ChoiceError("--workers must be left out with --scheduler, whose workers run already")
    if name is ExecutorName.serial and workers is not None:
        raise ChoiceError("--workers needs several processes. Try: --executor local")
    if name is not ExecutorName.dask and resources is not None:
        raise ChoiceError("--resources needs --executor dask")
    return ExecutorChoice(name, workers, scheduler, _parse_resources(resources or ""))


def _parse_resources(text: str) -> dict[str, float]:
    amounts = {}
    for part in filter(None, text.split(",")):
        name, _, amount = part.partition("=")
        try:
            amounts[name.strip()] = float(amount)
        except ValueError:
            amounts[name.strip()] = -1.0
        if not (name.strip() and 0 < amounts[name.strip()] < float("inf")):
            raise ChoiceError(f"--resources must be NAME=AMOUNT,…, got {part!r}. Try: --resources GPU=1,MEMORY=8e9")
    return amounts


def _read_checkpoints(cells: "Sequence[Cell]") -> dict[str, bytes]:
    """The checkpoint files that optimizers name by path. Workers on other machines do not have them."""
    from l2obench.foundation.tensor_metadata import TENSOR_FILE_SUFFIX

    fields = ("checkpoint", "conv", "fc")
    named = {getattr(cell.optimizer, field, None) for cell in cells for field in fields}
    paths = sorted(name for name in named if isinstance(name, str) and name.endswith(TENSOR_FILE_SUFFIX))
    try:
        return {path: read_regular_file(Path(path), MAX_CHECKPOINT_BYTES) for path in paths}
    except FileRefused as error:
        raise ChoiceError(f"a checkpoint cannot be sent to workers: {error}") from error
