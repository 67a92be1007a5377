"""The serial wall-clock pass: one replica, optimizers interleaved step by step, gradient and update timed apart."""

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch

from l2obench.bench.config.registry import identify, identify_functions, optimizer_registry, task_registry
from l2obench.bench.failures import Failure, classify_error
from l2obench.bench.measure.operations import Operations
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.seeds import derive_seed
from l2obench.bench.rollout.step import apply_update, evaluate_loss, observe, start
from l2obench.foundation.global_settings import settings_kept
from l2obench.optimizers.base import Optimizer
from l2obench.tasks.base import Task

# Operations are counted over so many steps, since some rules do more in some: SOAP decomposes in every tenth.
COUNTED_STEPS = 10
# First steps are slower: memory is allocated, and libraries choose their kernels.
WARM_UP_STEPS = 5
TIMED_STEPS = 50
# Part of a timing's description: one taken by another protocol is taken again. Earlier ones did not watch the load.
PROTOCOL = f"one replica, {WARM_UP_STEPS} steps of warm-up, median of {TIMED_STEPS} interleaved steps, load watched"


class _TimedRollout:
    """One optimizer's own rollout of one replica, with both halves of each step timed."""

    def __init__(self, task: Task, optimizer: Optimizer, device: str) -> None:
        self.optimizer = optimizer
        seed = derive_seed("timing", identify_functions(task), 0)
        self.problems = Problems(task, [seed], device)
        self.carry = start(self.problems, optimizer)
        self.grad_seconds: list[float] = []
        self.update_seconds: list[float] = []

    def step(self, record: bool) -> None:
        """Take one step; with `record`, keep the seconds of its halves."""
        synchronize = _synchronizer(self.problems.device)
        synchronize()
        began = time.perf_counter()
        params, state = apply_update(self.optimizer, self.carry)
        synchronize()
        halfway = time.perf_counter()
        carry = evaluate_loss(self.problems, params, state, self.carry.buffers, self.carry.step + 1)
        synchronize()
        ended = time.perf_counter()
        self.carry = observe(self.problems, self.optimizer, carry)
        if record:
            self.update_seconds.append(halfway - began)
            self.grad_seconds.append(ended - halfway)

    def count(self) -> dict[str, float | None]:
        """Count what an update does, as the mean of some more steps; the sum θ + u is not counted."""
        operations = Operations()
        for _ in range(COUNTED_STEPS):
            params = self.carry.params
            with operations:
                updates, state = self.optimizer.update(self.carry.grads, self.carry.state, params)
            params = {name: value + updates[name] for name, value in params.items()}
            carry = evaluate_loss(self.problems, params, state, self.carry.buffers, self.carry.step + 1)
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
    """Time a step of one replica, and count what an update does.

    The optimizers take turns step by step, so that whatever else the machine does falls on all alike.

    Args:
        task: the family; all optimizers get the same function.
        optimizers: those that are compared.
        device: the torch device, which is synchronized around each half of a step.
        on_turn: called with the identity of the optimizer whose turn begins, outside the timed part.

    Returns:
        A row of `timing` for each optimizer: median and quartiles of the seconds of both halves, and counts. One that
        raises gets a row with the reason and no times.
    """
    rows: dict[str, dict[str, Any]] = {}
    rollouts: dict[str, _TimedRollout] = {}
    foreign: dict[str, bool] = {}
    for optimizer in optimizers:
        name = identify(optimizer)
        rows[name] = {
            "task": identify(task),
            "optimizer": name,
            "threads": torch.get_num_threads(),
            "device": device,
        }
        on_turn(name)
        foreign[name] = task_registry().foreign(task.name) or optimizer_registry().foreign(optimizer.name)
        with _turn(rows[name], foreign[name]):
            rollouts[name] = _TimedRollout(task, optimizer, device)
    for turn in range(WARM_UP_STEPS + TIMED_STEPS):
        for name, timed in rollouts.items():
            if "reason" not in rows[name]:
                on_turn(name)
                with _turn(rows[name], foreign[name]):
                    timed.step(record=turn >= WARM_UP_STEPS)
    for name, timed in rollouts.items():
        if "reason" not in rows[name]:
            rows[name] |= _summarize("grad_seconds", timed.grad_seconds)
            rows[name] |= _summarize("update_seconds", timed.update_seconds)
            rows[name]["timed_steps"] = TIMED_STEPS
            on_turn(name)
            # What cannot be counted has its time all the same.
            with contextlib.suppress(Exception), settings_kept() if foreign[name] else contextlib.nullcontext():
                rows[name] |= timed.count()
    return list(rows.values())


@contextlib.contextmanager
def _turn(row: dict[str, Any], foreign: bool) -> Iterator[None]:
    """A turn of one optimizer: what a plugin sets in it, such as the number of threads, does not reach the next."""
    try:
        with settings_kept() if foreign else contextlib.nullcontext():
            yield
    # An optimizer may raise anything; its row says what.
    except Exception as error:
        if not isinstance(failure := classify_error(error, foreign=foreign), Failure):
            raise
        row["reason"] = failure.reason


def _summarize(name: str, seconds: list[float]) -> dict[str, float]:
    q25, median, q75 = statistics.quantiles(seconds, n=4, method="inclusive")
    return {name: median, f"{name}_q25": q25, f"{name}_q75": q75}


def _synchronizer(device: torch.device) -> Callable[[], None]:
    return partial(torch.cuda.synchronize, device) if device.type == "cuda" else lambda: None
