"""The serial wall-clock pass: one replica, optimizers interleaved step by step, gradient and update timed apart."""

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch

from l2obench.bench.config.registry import function_family, identity_of
from l2obench.bench.measure.operations import Operations
from l2obench.bench.rollout.loop import evaluated, observe, start, updated
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.seeds import derive_seed
from l2obench.foundation.errors import describe_error
from l2obench.optimizers.base import Optimizer
from l2obench.tasks.base import Task

COUNTED_STEPS = 10  # some rules do more in some steps than in others, as SOAP every tenth
WARM_UP_STEPS = 5
TIMED_STEPS = 50
PROTOCOL = f"one replica, {WARM_UP_STEPS} steps of warm-up, median of {TIMED_STEPS} interleaved steps"


class _Clocked:
    """One optimizer's own rollout of one replica, with a stopwatch on each half of a step."""

    def __init__(self, task: Task, optimizer: Optimizer, device: str) -> None:
        self.optimizer = optimizer
        seed = derive_seed("timing", function_family(task), 0)
        self.problems = Problems(task, [seed], device)
        self.carry = start(self.problems, optimizer)
        self.grad_seconds: list[float] = []
        self.update_seconds: list[float] = []

    def step(self, record: bool) -> None:
        synchronise = _synchronise(self.problems.device)
        synchronise()
        began = time.perf_counter()
        params, state = updated(self.optimizer, self.carry)
        synchronise()
        halfway = time.perf_counter()
        carry = evaluated(self.problems, params, state, self.carry.buffers, self.carry.step + 1)
        synchronise()
        ended = time.perf_counter()
        self.carry = observe(self.problems, self.optimizer, carry)
        if record:
            self.update_seconds.append(halfway - began)
            self.grad_seconds.append(ended - halfway)

    def counts(self) -> dict[str, float | None]:
        """What an update does, from the mean of some more steps, as `Operations` counts; without θ + u."""
        operations = Operations()
        for _ in range(COUNTED_STEPS):
            params = self.carry.params
            with operations:
                updates, state = self.optimizer.update(self.carry.grads, self.carry.state, params)
            params = {name: value + updates[name] for name, value in params.items()}
            carry = evaluated(self.problems, params, state, self.carry.buffers, self.carry.step + 1)
            self.carry = observe(self.problems, self.optimizer, carry)
        averages = self.optimizer.evaluation_point(self.carry.params, self.carry.state) is not None
        flops = operations.flops
        return {
            "update_flops": None if flops is None else flops / COUNTED_STEPS,
            "update_bytes": operations.bytes / COUNTED_STEPS,
            "record_passes": int(averages),
        }


@torch.no_grad()
def time_steps(
    task: Task, optimizers: Sequence[Optimizer], device: str = "cpu", on_turn: Callable[[str], Any] = lambda _: None
) -> list[dict[str, Any]]:
    """Seconds a step of one replica, one row for each optimizer: medians and quartiles; then what an update does.

    The optimizers take turns step by step, so that whatever else the machine does falls on all alike. One that raises
    gets a row with the reason and no times. `on_turn` is told whose turn begins, off the clock.
    """
    rows: dict[str, dict[str, Any]] = {}
    clocked: dict[str, _Clocked] = {}
    for optimizer in optimizers:
        name = identity_of(optimizer)
        rows[name] = {
            "task": identity_of(task),
            "optimizer": name,
            "threads": torch.get_num_threads(),
            "device": device,
        }
        on_turn(name)
        with _failure_noted(rows[name]):
            clocked[name] = _Clocked(task, optimizer, device)
    for turn in range(WARM_UP_STEPS + TIMED_STEPS):
        for name, clock in clocked.items():
            if "reason" not in rows[name]:
                on_turn(name)
                with _failure_noted(rows[name]):
                    clock.step(record=turn >= WARM_UP_STEPS)
    for name, clock in clocked.items():
        if "reason" not in rows[name]:
            rows[name] |= _summary("grad_seconds", clock.grad_seconds)
            rows[name] |= _summary("update_seconds", clock.update_seconds)
            rows[name]["timed_steps"] = TIMED_STEPS
            on_turn(name)
            with contextlib.suppress(Exception):  # what cannot be counted has its time all the same
                rows[name] |= clock.counts()
    return list(rows.values())


@contextlib.contextmanager
def _failure_noted(row: dict[str, Any]) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # a stranger's optimizer may raise anything; its row says what
        row["reason"] = describe_error(error)


def _summary(name: str, seconds: list[float]) -> dict[str, float]:
    q25, median, q75 = statistics.quantiles(seconds, n=4, method="inclusive")
    return {name: median, f"{name}_q25": q25, f"{name}_q75": q75}


def _synchronise(device: torch.device) -> Callable[[], None]:
    return partial(torch.cuda.synchronize, device) if device.type == "cuda" else lambda: None
