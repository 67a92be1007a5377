"""The processes of one meta-training, as torchrun starts them: functions are split, meta-gradients averaged.

Each process, a *rank*, holds the whole of φ and takes the same steps; rank 0 alone reads and writes the folder. Which
functions and coordinates a meta-step uses does not depend on how many ranks share them.
"""

import datetime
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from l2obench.tasks.base import Tensors

PATIENCE = datetime.timedelta(minutes=30)  # for a rank that is slower, as where it shares its core


class RankLost(RuntimeError):
    """Another process of the training has ended."""

    exit_code = 3


@dataclass(frozen=True)
class Share:
    """The part of a meta-batch that one rank has: functions `first` to `stop - 1` of `total`."""

    first: int
    stop: int
    total: int


@dataclass(frozen=True)
class Ranks:
    """This process among those of its training; by default it is alone."""

    rank: int = 0
    count: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that reads, writes and speaks."""
        return self.rank == 0

    def share(self, total: int) -> Share:
        """This rank's part of so many functions: consecutive ones, as many as the others have, or one more or less."""
        return Share(total * self.rank // self.count, total * (self.rank + 1) // self.count, total)

    def averaged(self, tensors: Tensors, share: Share) -> Tensors:
        """The mean over all functions of what each rank has as the mean over its own, the same on every rank."""
        if self.count == 1:
            return tensors
        weight = (share.stop - share.first) / share.total
        flat = self._reduced(torch.cat([tensor.flatten() for tensor in tensors.values()]) * weight)
        parts = torch.split(flat, [tensor.numel() for tensor in tensors.values()])
        return {name: part.view(tensor.shape) for (name, tensor), part in zip(tensors.items(), parts, strict=True)}

    def mean(self, values: Tensor) -> float:
        """The mean of all ranks' values."""
        if self.count == 1:
            return float(values.mean())
        total, number = self._reduced(torch.stack([values.double().sum(), values.new_tensor(values.numel()).double()]))
        return float(total / number)

    def from_first(self, content: bytes) -> bytes:
        """Rank 0's bytes, on every rank."""
        if self.count == 1:
            return content
        size = torch.tensor([len(content)])
        self._broadcast(size)
        if not int(size):
            return b""
        data = torch.frombuffer(bytearray(content), dtype=torch.uint8) if self.leads else None
        data = torch.empty(int(size), dtype=torch.uint8) if data is None else data
        self._broadcast(data)
        return data.numpy().tobytes()

    def _reduced(self, tensor: Tensor) -> Tensor:
        here = tensor.cpu()
        with _others_present():
            torch.distributed.all_reduce(here)
        return here.to(tensor.device)

    def _broadcast(self, tensor: Tensor) -> None:
        with _others_present():
            torch.distributed.broadcast(tensor, src=0)


@contextmanager
def joined() -> Iterator[Ranks]:
    """This process's place among those that torchrun started; alone where it did not."""
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Ranks()
        return
    torch.distributed.init_process_group("gloo", timeout=PATIENCE)
    try:
        yield Ranks(torch.distributed.get_rank(), count)
    finally:
        torch.distributed.destroy_process_group()


@contextmanager
def _others_present() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # gloo has no kind of its own
        raise RankLost(
            "another process of this training has ended; what was saved is kept, and the same command goes on"
        ) from error
