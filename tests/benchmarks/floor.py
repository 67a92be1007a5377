"""What this machine's core could do at best, measured in the same run: products, copies and sigmoids in a second."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from tests.benchmarks.clock import cpu_seconds

TRIES = 9


@dataclass(frozen=True)
class Work:
    """What a path must do at least: floating-point operations of products, bytes moved, sigmoids or tanhs."""

    flops: float = 0.0
    bytes: float = 0.0
    sigmoids: float = 0.0


@dataclass(frozen=True)
class Floor:
    """Rates of one core, a second each."""

    flops: float
    bytes: float
    sigmoids: float

    def seconds(self, work: Work) -> float:
        """How long `work` takes at these rates, one after the other."""
        return work.flops / self.flops + work.bytes / self.bytes + work.sigmoids / self.sigmoids


def measure_floor() -> Floor:
    """The best of several tries: whatever else runs can only slow them down."""
    a, b = torch.randn(1024, 1024), torch.randn(1024, 1024)
    product = torch.empty(1024, 1024)
    source, copy = torch.randn(2**25), torch.empty(2**25)  # 128 MiB, beyond any cache
    cached = torch.randn(2**14)
    return Floor(
        flops=2 * 1024**3 / _best(lambda: torch.mm(a, b, out=product)),
        bytes=2 * 4 * 2**25 / _best(lambda: copy.copy_(source)),
        sigmoids=64 * 2**14 / _best(lambda: [torch.sigmoid(cached, out=cached) for _ in range(64)]),
    )


def _best(run: Callable[[], object]) -> float:
    run()
    seconds = []
    for _ in range(TRIES):
        began = cpu_seconds()
        run()
        seconds.append(cpu_seconds() - began)
    return min(seconds)
