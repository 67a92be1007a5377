"""The protocol of a rule's own derivative: some steps of it on one tensor, differentiated by hand."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor

from l2obench.optimizers.base import State, Tensors


class Unrolled(ABC):
    """Some steps of a rule on one tensor, without a graph, and then the derivative of all updates by hand."""

    @abstractmethod
    def update(self, grad: Tensor) -> Tensor:
        """The next update, without a graph.

        Args:
            grad: of the tensor, `[seeds, settings, ...]`. Only read.
        """

    @abstractmethod
    def state(self) -> State:
        """The state after the updates so far."""

    @abstractmethod
    def gradient(self, targets: Sequence[Tensor]) -> Tensors:
        """∂/∂φ of Σ_s ⟨u_s, targets_s⟩; asked once, after the last step.

        Args:
            targets: for each step, like its update.

        Returns:
            By the names of the meta-parameters, in their shapes.
        """
