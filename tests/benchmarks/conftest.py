"""Timings as ratios: ours and its peers take turns in one test, so that whatever the machine does falls on all.

Times are of the processor, this process's and those of the processes it started: what others take of a busy core is not
in them. Nothing here fails by a clock; a benchmark fails where ours and a peer do not compute the same.
"""

import gc
import os
import statistics
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from l2obench.bench.measure.load import Load, LoadWatch
from tests.benchmarks.clock import cpu_seconds, repeats_of, rounds_of
from tests.benchmarks.floor import Floor, Work, measure_floor
from tests.benchmarks.gate import Finding, committed_rows, compare
from tests.benchmarks.memory import peak_bytes
from tests.benchmarks.quiet import look, refusal
from tests.benchmarks.standing import describe
from tests.benchmarks.table import Row, describe_load, put_between, to_frame, to_table, write

Call = Callable[[], Any]
ROWS = pytest.StashKey[list[Row]]()
FLOOR = pytest.StashKey[Floor]()
WATCH = pytest.StashKey[LoadWatch]()
LOAD = pytest.StashKey[Load]()
FINDING = pytest.StashKey[Finding]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--performance", type=Path, help="Write the table into this page, and beside it as Parquet.")
    parser.addoption("--busy", action="store_true", help="With --performance: measure on a busy machine all the same.")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[ROWS] = []
    if config.getoption("benchmark_enable", False):
        if config.getoption("--performance") is not None and not config.getoption("--busy"):
            reason = refusal(look())
            if reason is not None:
                raise pytest.UsageError(reason)
        # Before the benchmarks hold themselves to one processor, and before a fixture replaces the counters.
        config.stash[WATCH] = LoadWatch().begin()


@pytest.fixture(scope="session")
def floor(request: pytest.FixtureRequest) -> Floor:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    found: Floor = measure_floor()
    request.config.stash[FLOOR] = found
    return found


@pytest.fixture
def full(request: pytest.FixtureRequest) -> bool:
    """Whether timings are asked for. Without, `make test` checks on small sizes that all compute the same."""
    return bool(request.config.getoption("benchmark_enable"))


@pytest.fixture
def race(benchmark: BenchmarkFixture, request: pytest.FixtureRequest) -> Iterator[Callable[..., dict[str, Any]]]:
    """`race(path, ours, peers, bars)` times ours and its peers in turns, and gives what each returned.

    `peers` are calls by name, or nothing for one that is not installed. `bars` are what is to be reached and aimed at,
    by peer. `work` is what a core must do at least. `prepare`, where given, makes what the calls are given, off the
    clock. Rounds, unless said, are three, or as many as fill a second. In a round, a call of milliseconds is repeated
    after one off the clock, which finds the caches and the allocator's lists as a peer of seconds left them.
    `coordinates` is how many a call updates, each step counted. Without `--benchmark-enable` everything runs once, on
    sizes that `full` makes small.
    """

    def run(
        path: str,
        ours: Callable[..., Any],
        peers: Mapping[str, Callable[..., Any] | None],
        bars: Mapping[str, tuple[str, str]] | None = None,
        work: Work | None = None,
        prepare: Callable[[], tuple[Any, ...]] = tuple,
        rounds: int | None = None,
        coordinates: int | None = None,
    ) -> dict[str, Any]:
        there = {name: peer for name, peer in peers.items() if peer is not None}
        if not benchmark.enabled:
            return {"ours": benchmark(ours, *prepare()), **{name: peer(*prepare()) for name, peer in there.items()}}
        limits = request.getfixturevalue("floor")
        arguments = prepare()
        peak = peak_bytes(lambda: ours(*arguments))
        results = {name: peer(*prepare()) for name, peer in there.items()}  # warm
        seconds: dict[str, list[float]] = {name: [] for name in ["ours", *there]}

        def clocked(name: str, call: Callable[..., Any], *given: Any) -> Any:
            began = cpu_seconds()
            result = call(*given)
            seconds[name].append(cpu_seconds() - began)
            return result

        def warmed(name: str, call: Callable[..., Any], times: int) -> None:
            """So many calls on the clock; where a turn has several, one before them, off the clock."""
            if repeats[name] > 1:
                call(*prepare())
            for _ in range(times):
                clocked(name, call, *prepare())

        def turns() -> tuple[tuple[Any, ...], dict[str, Any]]:
            for name, peer in there.items():
                warmed(name, peer, repeats[name])
            warmed("ours", ours, repeats["ours"] - 1)
            return ("ours", ours, *prepare()), {}

        gc.collect()
        for name, call in {"ours": ours, **there}.items():
            clocked(name, call, *prepare())
        repeats = {name: repeats_of(found.pop()) for name, found in seconds.items()}
        count = rounds or rounds_of(lambda: clocked(*turns()[0]))
        for found in seconds.values():
            found.clear()
        results["ours"] = benchmark.pedantic(clocked, setup=turns, rounds=count, iterations=1)
        median = statistics.median(seconds["ours"])
        for name in peers:
            reach, aim = (bars or {}).get(name, ("", ""))
            ratio = statistics.median(seconds[name]) / median if name in there else None
            row = Row(path, name, median, ratio, reach, aim, work and limits.seconds(work), peak, coordinates)
            request.config.stash[ROWS].append(row)
            benchmark.extra_info[f"times as fast as {name}"] = ratio
        return results

    yield run
    gc.collect()


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Callable[[Row], None]:
    """Puts a row into the table that was measured otherwise than by a race."""
    enabled = request.config.getoption("benchmark_enable")
    return lambda row: request.config.stash[ROWS].append(row) if enabled else None


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Compare the ratios with the committed ones, before they are overwritten; a row that lost a quarter fails."""
    config = session.config
    rows, page = config.stash[ROWS], config.getoption("--performance")
    if not rows:
        return
    config.stash[LOAD] = config.stash[WATCH].end()
    if page is None:
        return
    found = compare(to_frame(rows, config.stash[LOAD]), committed_rows(page.with_suffix(".parquet")))
    config.stash[FINDING] = found
    if found.fails:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    rows = config.stash[ROWS]
    if not rows:
        return
    terminalreporter.write_line(to_table(rows).to_string(index=False))
    page, load = config.getoption("--performance"), config.stash[LOAD]
    terminalreporter.write_line(describe_load(load))
    if page is not None:
        write(page, rows, config.stash[FLOOR], load)
        put_between(page, "standing", describe(rows))
        terminalreporter.write_line(f"written to {page} and {page.with_suffix('.parquet')}")
        for line in config.stash[FINDING].lines():
            terminalreporter.write_line(line)
