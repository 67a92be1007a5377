"""The processes of one meta-training, as torchrun starts them: they share the work, and average meta-gradients.

Each process (rank) holds all meta-parameters and takes the same steps; rank 0 alone reads and writes the folder. Which
functions and coordinates a meta-step uses does not depend on the number of processes.
"""

import datetime
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from l2obench.foundation.tensors import Tensors, flatten, unflatten

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

# Generous, since a rank that shares its core with other work may be many times slower than the others.
TIMEOUT = datetime.timedelta(minutes=30)


class ProcessLost(RuntimeError):
    """Another process of the training has ended."""

    exit_code = 3


@dataclass(frozen=True)
class Shard:
    """The part of a meta-batch on one rank: functions `first` to `stop - 1` of `total`."""

    first: int
    stop: int
    total: int


@dataclass(frozen=True)
class ProcessGroup:
    """This process among those of its training; by default it is the only one."""

    rank: int = 0
    world_size: int = 1
    store: "Store | None" = None
    """What all processes share; None where this is the only one."""

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0, which reads the folder, writes it, and prints."""
        return self.rank == 0

    def shard(self, total: int) -> Shard:
        """This rank's part of a meta-batch: consecutive functions, and at most one more than any other rank has.

        Args:
            total: functions of the meta-batch.

        Example:
            >>> [ProcessGroup(rank, 3).shard(7) for rank in range(3)]
            [Shard(first=0, stop=2, total=7), Shard(first=2, stop=4, total=7), Shard(first=4, stop=7, total=7)]
        """
        return Shard(total * self.rank // self.world_size, total * (self.rank + 1) // self.world_size, total)

    def claim(self, batch: str, count: int) -> Iterator[int]:
        """Take items of a batch one after another, so that no process waits while an item is left.

        Args:
            batch: its name, the same on every rank and never used before.
            count: its items.

        Yields:
            Numbers from 0 to `count` - 1, each on one rank only.

        Raises:
            ProcessLost: another process has ended.
        """
        if self.store is None:
            yield from range(count)
            return
        while True:
            with _report_lost_process():
                item = self.store.add(f"claims/{batch}", 1) - 1
            if item >= count:
                return
            yield item

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum of the tensors of all ranks, the same on every rank.

        Args:
            tensor: of the same shape on each rank.
        """
        return tensor if self.world_size == 1 else self._all_reduce(tensor)

    def average(self, tensors: Tensors, shard: Shard) -> Tensors:
        """All-reduce means over shards to the mean over all functions.

        Args:
            tensors: on each rank, the mean over the functions of its shard; of any shape.
            shard: this rank's.

        Returns:
            Tensors of the same shapes, the same on every rank.
        """
        if self.world_size == 1:
            return tensors
        # Shards differ in size by one function: each mean counts by the number of its functions.
        weight = (shard.stop - shard.first) / shard.total
        return unflatten(self._all_reduce(flatten(tensors) * weight), tensors)

    def mean(self, values: Tensor) -> float:
        """The mean of the values of all ranks, the same on every rank.

        Args:
            values: of any shape; ranks may have different numbers of them.
        """
        if self.world_size == 1:
            return float(values.mean())
        sums = torch.stack([values.double().sum(), values.new_tensor(values.numel()).double()])
        total, number = self._all_reduce(sums)
        return float(total / number)

    def broadcast(self, content: bytes) -> bytes:
        """Give the bytes of rank 0 on every rank.

        Args:
            content: that of rank 0; what the others pass is ignored.

        Raises:
            ProcessLost: another process has ended.
        """
        if self.world_size == 1:
            return content
        size = torch.tensor([len(content)])
        self._broadcast(size)
        if not int(size):
            return b""
        data = torch.frombuffer(bytearray(content), dtype=torch.uint8) if self.is_main else None
        data = torch.empty(int(size), dtype=torch.uint8) if data is None else data
        self._broadcast(data)
        return data.numpy().tobytes()

    def _all_reduce(self, tensor: Tensor) -> Tensor:
        # gloo reduces CPU tensors everywhere; with nccl every rank would need a GPU of its own.
        on_cpu = tensor.cpu()
        with _report_lost_process():
            torch.distributed.all_reduce(on_cpu)
        return on_cpu.to(tensor.device)

    def _broadcast(self, tensor: Tensor) -> None:
        with _report_lost_process():
            torch.distributed.broadcast(tensor, src=0)


SINGLE_PROCESS = ProcessGroup()


@contextmanager
def init_process_group() -> Iterator[ProcessGroup]:
    """Join the processes that torchrun started, and leave them at the end; one process where it started none."""
    world_size = int(os.environ.get("WORLD_SIZE", "1"))
    if world_size == 1:
        yield SINGLE_PROCESS
        return
    # Not at the top: one process trains with a torch that was built without this, too.
    from torch.distributed.rendezvous import rendezvous

    store, rank, _ = next(rendezvous("env://", timeout=TIMEOUT))
    torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=world_size, timeout=TIMEOUT)
    try:
        yield ProcessGroup(rank, world_size, store)
    finally:
        torch.distributed.destroy_process_group()


@contextmanager
def _report_lost_process() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # gloo has no class of its own for this
        raise ProcessLost(
            "another process of this training has ended; what was saved is kept. Try: the same command again"
        ) from error
