"""Step time of HEAD against BASE. Clocks differ between machines: only ratios within one run are compared."""

from collections.abc import Iterable

from l2obench.bench.gate.side import Recorded

# Most runs have one of them. A fixed order gives the same ratio whatever else both runs have.
REFERENCES = ("adam", "sgd")


def step_time_ratio(base: Recorded, head: Recorded) -> float | None:
    """Seconds a step, HEAD's over BASE's; none where the runs share nothing that they could be measured by.

    Both sides from one timing pass: their own ratio. From two: each is divided by the step of the same third optimizer
    in its own pass, `adam` if both have it, else another that both have.

    Args:
        base: a cell of BASE.
        head: the same cell of HEAD.
    """
    before = base.clock.step_seconds.get(base.key[1])
    after = head.clock.step_seconds.get(head.key[1])
    if not before or not after:
        return None
    if base.clock.run == head.clock.run:
        return after / before
    common = base.clock.step_seconds.keys() & head.clock.step_seconds.keys() - {base.key[1], head.key[1]}
    reference = _chosen(common)
    if reference is None or not base.clock.step_seconds[reference] or not head.clock.step_seconds[reference]:
        return None
    return (after / head.clock.step_seconds[reference]) / (before / base.clock.step_seconds[reference])


def _chosen(names: Iterable[str]) -> str | None:
    ordered = sorted(names)
    return next((name for name in REFERENCES if name in ordered), next(iter(ordered), None))
