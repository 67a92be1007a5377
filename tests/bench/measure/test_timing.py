"""The serial pass: it times each half of a step of every optimizer, and a failure is a row."""

import time

import torch

from l2obench.bench.measure.costs import task_costs
from l2obench.bench.measure.timing import TIMED_STEPS, time_steps
from l2obench.optimizers.base import State, Tensors
from l2obench.optimizers.designed.sgd import SGD
from l2obench.tasks.quadratic import Quadratic


class Slow(SGD):
    """Sleeps 2 ms an update."""

    name = "slow"

    def update_tensor(self, grad: torch.Tensor, state: State, param: torch.Tensor) -> tuple[torch.Tensor, State]:
        time.sleep(0.002)
        return super().update_tensor(grad, state, param)


class Raises(SGD):
    """Fails at its third update."""

    name = "raises"

    def init_tensor(self, param: torch.Tensor) -> State:
        return {"count": 0}

    def update_tensor(self, grad: torch.Tensor, state: State, param: torch.Tensor) -> tuple[torch.Tensor, State]:
        if state["count"] == 2:
            raise ArithmeticError("no third step")
        return grad, {"count": state["count"] + 1}


class Averages(SGD):
    """Its losses are taken elsewhere, as those of a rule that averages its iterates."""

    name = "averages"

    def evaluation_point(self, params: Tensors, state: State) -> Tensors | None:
        return params


class Uncountable(SGD):
    """Refuses to be watched."""

    name = "uncountable"

    def update_tensor(self, grad: torch.Tensor, state: State, param: torch.Tensor) -> tuple[torch.Tensor, State]:
        if torch.utils._python_dispatch._get_current_dispatch_mode() is not None:
            raise RuntimeError("watched")
        return super().update_tensor(grad, state, param)


def test_update_is_counted_after_it_was_timed() -> None:
    task = Quadratic()
    parameters = task_costs(task)["parameters"]
    rows = {row["optimizer"]: row for row in time_steps(task, [SGD(), Averages(), Uncountable()])}
    counts = ("update_flops", "update_bytes", "record_passes")
    assert [rows["sgd"][name] for name in counts] == [parameters, 8 * parameters, 0]  # −lr · g: g read, u written
    assert [rows["averages"][name] for name in counts] == [parameters, 8 * parameters, 1]
    assert not set(counts) & set(rows["uncountable"])
    assert rows["uncountable"]["update_seconds"] > 0
    assert "reason" not in rows["uncountable"]


def test_update_and_gradient_are_timed_apart_and_failures_are_rows() -> None:
    rows = {row["optimizer"]: row for row in time_steps(Quadratic(), [SGD(), Slow(), Raises()])}
    assert rows["raises"]["reason"] == "ArithmeticError: no third step"
    assert "update_seconds" not in rows["raises"]
    for name in ("sgd", "slow"):
        row = rows[name]
        assert row["timed_steps"] == TIMED_STEPS
        assert 0 < row["update_seconds_q25"] <= row["update_seconds"] <= row["update_seconds_q75"]
        assert row["grad_seconds"] > 0
    assert rows["slow"]["update_seconds"] > 0.002 > rows["sgd"]["update_seconds"]
