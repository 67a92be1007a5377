"""The serial pass: it times each half of a step of every optimizer, and a failure is a row."""

import time

import torch

from bench.timing import TIMED_STEPS, time_steps
from optimizers.base import State
from optimizers.sgd import SGD
from tasks.quadratic import Quadratic


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
