"""Gradient descent with a learned rate for every single parameter, as Meta-SGD learns them beside an initialisation."""

from typing import ClassVar, Self

import torch
from pydantic import Field

from l2obench.optimizers.base import Optimizer, State, Tensors, per_replica
from l2obench.optimizers.learned.base import LearnedOptimizer

# Where all rates begin: MAML's inner rate on sinusoids.
FIRST_RATE = 0.01
HOW_TO_LEARN = "'l2obench train-start meta-sgd'"


class Misfit(ValueError):
    """Parameters that the learned rates are not for."""

    exit_code = 2


class MetaSGD(LearnedOptimizer, Optimizer):
    """u = −α ∘ g, with φ = α as large as θ: a rate for each coordinate, which may be negative.

    The rates belong to one architecture, by the names and shapes of its parameters. `l2obench train-start meta-sgd`
    learns them together with the initialisation that they are for.

    State: none.

    Source: Li et al. 2017, "Meta-SGD: learning to learn quickly for few-shot learning". Ours: all rates begin equal, at
    MAML's.
    """

    name: ClassVar[str] = "meta-sgd"
    architecture: ClassVar[tuple[str, ...]] = ("shapes",)

    shapes: dict[str, tuple[int, ...]] = Field(default={})
    """The shape of each parameter, by name; from the checkpoint."""
    lr: float = Field(default=1.0, gt=0)
    """Multiplies the update; 1 is as trained."""

    def network_shapes(self) -> dict[str, tuple[int, ...]]:
        return self.shapes

    def random_network(self, generator: torch.Generator) -> Tensors:
        """MAML's rate everywhere: nothing is random."""
        return {name: torch.full(shape, FIRST_RATE) for name, shape in self.shapes.items()}

    def initialised(self, generator: torch.Generator) -> Self:
        if not self.shapes:
            raise Misfit(f"{self.name} has no shapes to learn rates for; {HOW_TO_LEARN} takes them from its task")
        return super().initialised(generator)

    def require_trained(self) -> None:
        if not self.meta_parameters:
            raise Misfit(f"{self.name} has no rates: give checkpoint=NAME, or learn them, {HOW_TO_LEARN}")

    def flops_per_coordinate(self) -> float | None:
        return 2  # α · g, · lr

    def init(self, params: Tensors) -> State:
        self.require_trained()
        found = {name: tuple(value.shape[2:]) for name, value in params.items()}
        if found != self.shapes:
            different = sorted(name for name in {*found, *self.shapes} if found.get(name) != self.shapes.get(name))
            raise Misfit(
                f"{self.name} with checkpoint {self.checkpoint} has rates for other parameters ({', '.join(different)} "
                "differ in name or shape); use it on the task that it was learned on"
            )
        return {}

    def update(self, grads: Tensors, state: State, params: Tensors) -> tuple[Tensors, State]:
        rates = {name: self.meta_parameters[name].to(grad) for name, grad in grads.items()}
        return {name: grad * rates[name] * -per_replica(self.lr, grad) for name, grad in grads.items()}, state
