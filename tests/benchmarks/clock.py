"""The clock of the benchmarks: processor time, which other work on the machine does not take away."""

import resource
from collections.abc import Callable

ROUNDS = range(3, 101)
ENOUGH_SECONDS = 1.0


def cpu_seconds() -> float:
    """Of this process with all its threads, and of the processes that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def rounds_of(turn: Callable[[], object]) -> int:
    """As many rounds as fill a second, by what one takes: a single run of a millisecond says little."""
    began = cpu_seconds()
    turn()
    wanted = int(ENOUGH_SECONDS / max(cpu_seconds() - began, 1e-9))
    return min(max(wanted, ROUNDS[0]), ROUNDS[-1])
