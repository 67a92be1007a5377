"""The clock of the benchmarks: processor time, which other work on the machine does not take away."""

import resource

ROUNDS = 3


def cpu_seconds() -> float:
    """Of this process with all its threads, and of the processes that it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)
