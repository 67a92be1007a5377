"""Hashes of what a seed gives to an optimizer: its function and its minibatches. Equal hashes prove a pairing."""

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from torch import Tensor

from l2obench.bench.failures import ContractBroken
from l2obench.foundation.global_settings import generator_states, same_states
from l2obench.tasks.base import Tensors

# Of a large tensor so many values are hashed, evenly spaced: all of them would take more than 1 % of a short run.
MOST_VALUES = 4_096


class Proof:
    """The hash of each seed, fed as its function and minibatches are drawn.

    Args:
        count: seeds.
    """

    def __init__(self, count: int) -> None:
        self._hashes = [hashlib.sha256() for _ in range(count)]

    def add(self, kind: str, drawn: Sequence[Tensors]) -> None:
        """Add the tensors of every seed.

        Args:
            kind: what they are.
            drawn: tensors by name for each seed.
        """
        for digest, tensors in zip(self._hashes, drawn, strict=True):
            for name in sorted(tensors):
                value = tensors[name]
                digest.update(f"{kind} {name} {value.dtype} {tuple(value.shape)} ".encode())
                digest.update(_bytes(value))

    def hexdigests(self) -> list[str]:
        """Give the hash of each seed so far."""
        return [digest.hexdigest() for digest in self._hashes]


@contextlib.contextmanager
def drawing_nothing(what: str) -> Iterator[None]:
    """Refuse random numbers from the global generators: each optimizer would get different ones.

    Args:
        what: the method of the task that is called in the block.

    Raises:
        ContractBroken: numbers were drawn.
    """
    before: tuple[Any, ...] = generator_states()
    yield
    if not same_states(before, generator_states()):
        raise ContractBroken(
            f"{what} must draw random numbers from the generator of its seed only, got draws from a global generator. "
            "Try: torch.randn(..., generator=generator)"
        )


def _bytes(value: Tensor) -> bytes:
    flat = value.detach().cpu().reshape(-1)
    if flat.numel() > MOST_VALUES:
        flat = flat[:: -(-flat.numel() // MOST_VALUES)]
    content: bytes = flat.contiguous().view(-1).numpy().tobytes()
    return content
