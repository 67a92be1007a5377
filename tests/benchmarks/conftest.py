"""Timings as ratios: ours and a peer take turns in one test, so that whatever the machine does falls on both."""

import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

ROUNDS = 7
_RATIOS: list[tuple[str, float]] = []


@pytest.fixture
def versus(benchmark: BenchmarkFixture) -> Callable[..., Any]:
    """`versus(ours, peer)` times both, interleaved; gives what each returned, for a check that they did the same."""

    def run(ours: Callable[[], Any], peer: Callable[[], Any]) -> tuple[Any, Any]:
        seconds: list[float] = []
        results: list[Any] = []

        def peer_first() -> None:
            began = time.perf_counter()
            results.append(peer())
            seconds.append(time.perf_counter() - began)

        mine = benchmark.pedantic(ours, setup=peer_first, rounds=ROUNDS, warmup_rounds=1)
        if benchmark.enabled:
            ratio = statistics.median(seconds[1:]) / benchmark.stats.stats.median
            benchmark.extra_info["times faster than its peer"] = round(ratio, 2)
            _RATIOS.append((benchmark.name, ratio))
        return mine, results[-1]

    return run


def pytest_terminal_summary(terminalreporter: Any) -> Iterator[None]:
    for name, ratio in _RATIOS:
        terminalreporter.write_line(f"{name}: {ratio:.1f} times as fast as its peer")
    return iter(())
