"""The load of the machine while something is timed: others' work is seen, this run's own is not."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2obench.bench.measure import load
from l2obench.bench.measure.load import Counters, Load, LoadWatch, load_between

# As they are before the fixture of all tests puts quiet ones in their place.
READ_COUNTERS = load.read_counters
BUSY_SECONDS = 1.0
BURN = "import time\nend = time.monotonic() + 60\nwhile time.monotonic() < end: pass"
BURNT = 0.3
BURN_AND_WAIT = (
    f"import time\nwhile time.process_time() < {BURNT}: pass\nprint(flush=True)\nimport sys; sys.stdin.read()"
)
# The system counts in steps of 10 ms, user and system time apart.
ERROR = 0.05


@pytest.fixture
def real_counters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "read_counters", READ_COUNTERS)


def burn(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


@contextmanager
def busy_neighbours() -> Iterator[None]:
    """A process for each processor that does not belong to this run: its parent has ended."""
    options = "stdin=-1, stdout=-3, stderr=-3"
    script = f"import subprocess, sys\nprint(subprocess.Popen([sys.executable, '-c', {BURN!r}], {options}).pid)"
    pids = []
    try:
        for _ in load.usable_processors():
            # The one in between ends at once, so its child is adopted by another process.
            started = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
            pids.append(int(started.stdout))
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGKILL)


@pytest.mark.usefixtures("real_counters")
@pytest.mark.skipif(sys.platform != "linux", reason="children are adopted otherwise")
def test_a_busy_process_for_each_processor_is_load() -> None:
    with busy_neighbours(), LoadWatch() as watch:
        burn(BUSY_SECONDS)
    assert watch.load.under_load is True
    assert watch.load.others_busy is not None
    # This run and its neighbours share the processors: theirs are at least half of them.
    assert watch.load.others_busy > 0.4 * watch.load.processors


def test_own_work_is_that_of_all_processes_of_the_run() -> None:
    before = load._own_seconds()
    burn(BURNT)
    with subprocess.Popen(
        [sys.executable, "-c", BURN_AND_WAIT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert load._own_seconds() - before > 2 * BURNT - ERROR
        assert child.stdin is not None
        child.stdin.close()
    # A process that has ended stays in the sum.
    assert load._own_seconds() - before > 2 * BURNT - ERROR


def own_seconds_there(connection: Connection) -> None:
    connection.send(load._own_seconds())


def test_in_a_worker_the_process_of_the_run_is_its_own() -> None:
    """It shows progress meanwhile, which is not another's work."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    before = load._own_seconds()
    process = context.Process(target=own_seconds_there, args=(theirs,))
    process.start()
    there = ours.recv()
    process.join()
    assert before <= there <= load._own_seconds() + ERROR


numbers = st.floats(0, 1e6)


@given(busy=numbers, idle=st.floats(0.01, 1e6), own=numbers, processors=st.integers(1, 256))
def test_others_are_what_is_busy_and_not_own(busy: float, idle: float, own: float, processors: int) -> None:
    found = load_between(Counters(5.0, 9.0, 2.0, 0.0), Counters(5 + busy, 9 + busy + idle, 2 + own, 0.0), processors)
    assert found.others_busy is not None
    expected = max(busy - own, 0) / (busy + idle) * processors
    assert found.others_busy == pytest.approx(expected, abs=1e-2 + 1e-6 * processors)
    assert 0 <= found.others_busy <= processors


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (Load(0.0, 2), False),
        (Load(0.2, 2), False),
        (Load(0.21, 2), True),
        (Load(3.0, 64), False),
        (Load(None, 2), None),
        (Load(0.0, 2, throttled_seconds=0.005), False),
        (Load(0.0, 2, throttled_seconds=0.1), True),
        (Load(None, 2, throttled_seconds=0.1), True),
    ],
)
def test_a_tenth_of_the_processors_is_quiet(found: Load, expected: bool | None) -> None:
    assert found.under_load is expected
    assert found.columns()["under_load"] is expected


@pytest.mark.parametrize("counters", [(None, Counters(1, 2, 0, 0)), (Counters(1, 2, 0, 0), None)])
def test_a_system_that_says_nothing_leaves_the_load_unknown(counters: tuple[Counters | None, Counters | None]) -> None:
    assert load_between(*counters, processors=4) == Load(None, 4)
    still = Counters(busy=0.0, total=0.0, own=1.0, throttled=0.0)
    assert load_between(still, still, processors=4) == Load(None, 4)


@pytest.mark.usefixtures("real_counters")
def test_counters_that_cannot_be_read_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(percpu: bool) -> object:
        raise PermissionError

    monkeypatch.setattr(load.psutil, "cpu_times", refuse)
    assert load.read_counters([0]) is None


def test_only_the_processors_of_this_process_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container that is held to two processors of many is not disturbed by the rest."""
    times = [type("Times", (), {"user": float(k), "system": 0.0, "idle": 100.0})() for k in range(8)]
    monkeypatch.setattr(load.psutil, "cpu_times", lambda percpu: times)
    found = READ_COUNTERS([2, 3])
    assert found is not None
    assert (found.busy, found.total) == (5.0, 205.0)
    whole = READ_COUNTERS([2, 9])  # numbers that are no places in the list
    assert whole is not None
    assert whole.busy == sum(range(8))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("usage_usec 5\nthrottled_usec 250000\n", 0.25),
        ("usage_usec 5\n", 0.0),
        ("no counts at all here\n", 0.0),
    ],
)
def test_a_quota_says_how_long_it_stopped_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, seconds: float
) -> None:
    (tmp_path / "cpu.stat").write_text(text)
    monkeypatch.setattr(load, "THROTTLED", ((tmp_path / "cpu.stat", "throttled_usec", 1e6),))
    assert load._throttled_seconds() == seconds
