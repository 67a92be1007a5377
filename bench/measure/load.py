"""How busy other processes kept the machine while something was timed. A time that was taken under load is not quoted.

The system's counters of each processor are read before and after, and what this run itself used is taken off. They
count every process that shares the processors, those of other containers among them. The load average would not do: it
looks back a minute, and counts this run itself. Where a container's quota stopped this run, the kernel says for how
long.
"""

import multiprocessing
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import psutil

# The share of the processors that others may keep busy. A desktop at rest, or a monitoring agent, needs a few per cent.
QUIET_SHARE = 0.1
# The counters of a processor advance by 10 ms: in so much time, and that of the timing, an error of two is below 0.1.
LOOK_SECONDS = 0.25
# Seconds that a quota may stop the run: any real stop lasts tens of milliseconds, several times a second.
QUIET_THROTTLED_SECONDS = 0.01
# Where cgroups, version 2 and 1, say how long a quota stopped their processes; the number is in these units a second.
THROTTLED = (
    (Path("/sys/fs/cgroup/cpu.stat"), "throttled_usec", 1e6),
    (Path("/sys/fs/cgroup/cpu/cpu.stat"), "throttled_time", 1e9),
)
_BUSY = ("user", "nice", "system", "irq", "softirq", "steal", "interrupt", "dpc")
_IDLE = ("idle", "iowait")


@dataclass(frozen=True)
class Counters:
    """Seconds since the machine's start, all processors together."""

    busy: float
    """Of all processes."""
    total: float
    """Busy or not."""
    own: float
    """Of this run: its process and all that it started."""
    throttled: float
    """Seconds for which a quota stopped this run's container."""


@dataclass(frozen=True)
class Load:
    """What else a machine did during an interval."""

    others_busy: float | None
    """Processors that other processes kept busy, on average. None: the system does not say."""
    processors: int
    """Processors that this process may use."""
    throttled_seconds: float = 0.0
    """Seconds for which the quota of this run's container stopped it."""

    @property
    def under_load(self) -> bool | None:
        """Whether times of this interval must not be quoted. None: the system does not say what others did."""
        if self.throttled_seconds > QUIET_THROTTLED_SECONDS:
            return True
        return None if self.others_busy is None else self.others_busy > QUIET_SHARE * self.processors

    def columns(self) -> dict[str, Any]:
        """What a row of `timing` says of it."""
        return {
            "others_busy": self.others_busy,
            "processors": self.processors,
            "throttled_seconds": self.throttled_seconds,
            "under_load": self.under_load,
        }


class LoadWatch:
    """Watches what other processes do, from a moment before its block until the block's end.

    Example:
        >>> with LoadWatch() as watch:
        ...     _ = sum(range(1000))
        >>> watch.load.processors >= 1
        True
    """

    load: Load
    """Known after the block."""

    def __enter__(self) -> Self:
        return self.begin()

    def __exit__(self, *_: object) -> None:
        self.end()

    def begin(self) -> Self:
        """Begin to watch, and wait a moment."""
        self._processors = usable_processors()
        self._before = read_counters(self._processors)
        # Others' work that ends as ours begins was in the caches a moment ago.
        time.sleep(LOOK_SECONDS)
        return self

    def end(self) -> Load:
        """End the watch; `load` is known then."""
        self.load = load_between(self._before, read_counters(self._processors), len(self._processors))
        return self.load


def load_between(before: Counters | None, after: Counters | None, processors: int) -> Load:
    """The load of an interval.

    Args:
        before: the counters at its start; None where they cannot be read.
        after: those at its end.
        processors: how many processors the counters are of.

    Example:
        >>> start = Counters(busy=10.0, total=20.0, own=1.0, throttled=0.0)
        >>> end = Counters(busy=13.0, total=24.0, own=3.0, throttled=0.0)
        >>> load_between(start, end, processors=2)  # of 4 seconds of two processors, others used 1
        Load(others_busy=0.5, processors=2, throttled_seconds=0.0)
    """
    # A system that hides its counters from a container may also give constant ones.
    if before is None or after is None or after.total <= before.total:
        return Load(None, processors)
    others = (after.busy - before.busy) - (after.own - before.own)
    share = max(others, 0.0) / (after.total - before.total)
    return Load(round(share * processors, 3), processors, max(after.throttled - before.throttled, 0.0))


def usable_processors() -> list[int]:
    """The processors that this process may use: a container may be held to some of the machine's."""
    count = psutil.cpu_count() or 1
    # Not on macOS and Windows.
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(count))


def read_counters(processors: list[int]) -> Counters | None:
    """Read the counters of these processors; None where the system does not give them.

    Args:
        processors: numbers of processors.
    """
    try:
        every = psutil.cpu_times(percpu=True)
        # With processors switched off, a place in the list is no number of a processor: then all are counted.
        chosen = [every[at] for at in processors] if max(processors) < len(every) else every
        busy = sum(getattr(times, name, 0.0) for times in chosen for name in _BUSY)
        idle = sum(getattr(times, name, 0.0) for times in chosen for name in _IDLE)
        return Counters(busy, busy + idle, _own_seconds(), _throttled_seconds())
    except (OSError, psutil.Error):
        return None


def _own_seconds() -> float:
    """Processor time of this run: of the process that started this one, where this is a worker, and of all below."""
    parent = multiprocessing.parent_process()
    root = psutil.Process(os.getpid() if parent is None else parent.pid)
    seconds = 0.0
    for process in [root, *root.children(recursive=True)]:
        # One that has just ended is in the time of its parent's children.
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            seconds += times.user + times.system
            seconds += getattr(times, "children_user", 0.0) + getattr(times, "children_system", 0.0)
    return seconds


def _throttled_seconds() -> float:
    for path, name, units in THROTTLED:
        with suppress(OSError, ValueError):
            counts = dict(line.split() for line in path.read_text().splitlines())
            return float(counts.get(name, 0.0)) / units
    return 0.0
