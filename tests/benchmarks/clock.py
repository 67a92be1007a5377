"""The clock of the benchmarks: processor time, which other work on the machine does not take away."""

import resource
from collections.abc import Callable

ROUNDS = range(3, 101)
ENOUGH_SECONDS = 1.0
# Of the repetitions in one round: a call that takes longer than half of it warms the caches for itself.
TURN_SECONDS = 0.05
MOST_REPEATS = 10


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


def repeats_of(seconds: float) -> int:
    """As many calls in a round as fill a twentieth of a second, 1 to 10.

    Args:
        seconds: what a call takes.

    Example:
        >>> repeats_of(0.02), repeats_of(2.0), repeats_of(1e-4)
        (2, 1, 10)
    """
    return min(max(int(TURN_SECONDS / max(seconds, 1e-9)), 1), MOST_REPEATS)
