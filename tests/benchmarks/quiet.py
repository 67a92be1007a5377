"""Benchmarks need a quiet machine: on a busy one they are refused, unless one asks for them all the same."""

import time

from l2obench.bench.measure.load import Load, LoadWatch

LOOK_SECONDS = 2.0


def refusal(load: Load) -> str | None:
    """Say why this machine is too busy, in one line; none: it is quiet, or does not say.

    Args:
        load: of the last seconds.

    Example:
        >>> refusal(Load(others_busy=0.05, processors=2)) is None
        True
        >>> refusal(Load(others_busy=1.7, processors=2)).partition(" Try")[0]
        'The machine must be quiet for benchmarks, got other processes on 1.7 of 2 processors.'
    """
    if not load.under_load:
        return None
    if load.others_busy is None or load.throttled_seconds:
        found = f"a quota that stopped this container for {load.throttled_seconds:.2g} s"
    else:
        found = f"other processes on {load.others_busy:.2g} of {load.processors} processors"
    return (
        f"The machine must be quiet for benchmarks, got {found}. "
        "Try: again later, or make benchmark BUSY=1, whose tables say that they must not be quoted."
    )


def look() -> Load:
    """Watch for two seconds what other processes do."""
    with LoadWatch() as watch:
        time.sleep(LOOK_SECONDS)
    return watch.load
