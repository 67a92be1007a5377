"""Adam with decoupled weight decay."""

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field
from torch import Tensor

from l2obench.optimizers.base import State, per_replica
from l2obench.optimizers.designed.adam import Adam
from l2obench.optimizers.search_space import ADAPTIVE_RATE, SCHEDULES, Decay, Dimension, LogRange


class AdamW(Adam):
    """u = u_Adam − lr · λ · θ.

    State of a tensor: that of `adam`.

    Source: Loshchilov & Hutter 2019, "Decoupled weight decay regularization", algorithm 2; as `torch.optim.AdamW`.
    """

    name: ClassVar[str] = "adamw"
    search_space: ClassVar[Mapping[str, Dimension] | None] = {
        "lr": ADAPTIVE_RATE,
        "beta1": Decay(0.5, 0.98),
        "beta2": Decay(0.9, 0.999),
        "weight_decay": LogRange(1e-4, 1.0),
        **SCHEDULES,
    }

    weight_decay: float = Field(default=1e-2, ge=0)
    """λ. The default is torch's."""

    def update_tensor(self, grad: Tensor, state: State, param: Tensor) -> tuple[Tensor, State]:
        update, state = super().update_tensor(grad, state, param)
        decay = per_replica(self.lr, grad) * per_replica(self.weight_decay, grad)
        return update - decay * param, state

    def flops_per_coordinate(self) -> float | None:
        return 13  # Adam, and lr λ · θ subtracted
