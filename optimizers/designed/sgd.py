"""Stochastic gradient descent."""

from typing import ClassVar

from pydantic import Field
from torch import Tensor

from l2obench.optimizers.base import CoordinatewiseOptimizer, State, per_replica


class SGD(CoordinatewiseOptimizer):
    """u = −lr · g.

    State of a tensor: none.

    Source: Robbins & Monro 1951, "A stochastic approximation method"; as `torch.optim.SGD`.
    """

    name: ClassVar[str] = "sgd"

    lr: float = Field(default=1e-3, gt=0)
    """Learning rate. The default is torch's."""

    def init_tensor(self, param: Tensor) -> State:
        return {}

    def update_tensor(self, grad: Tensor, state: State, param: Tensor) -> tuple[Tensor, State]:
        return -per_replica(self.lr, grad) * grad, state

    def flops_per_coordinate(self) -> float | None:
        return 1  # lr · g
