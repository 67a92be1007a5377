"""Learned optimizers: rules with meta-parameters, and how a trained one comes out of a checkpoint."""

from abc import abstractmethod
from typing import Any, ClassVar, Self

import torch
from pydantic import PrivateAttr, ValidationError, model_validator

from optimizers.base import Optimizer, Tensors
from optimizers.checkpoint import Checkpoint, CheckpointError, read_checkpoint


class LearnedOptimizer(Optimizer):
    """A rule m(·; φ) whose meta-parameters φ are trained. Given its φ it is an optimizer like any other.

    A subclass names the fields that make its `architecture`; those travel in a checkpoint and come from it.
    """

    tunable: ClassVar[tuple[str, ...]] = ()
    architecture: ClassVar[tuple[str, ...]]

    checkpoint: str | None = None
    """Trained meta-parameters: the name of a shipped checkpoint, or the path of a .safetensors file."""

    _meta_parameters: Tensors = PrivateAttr(default_factory=dict)
    _checkpoint_sha256: str | None = PrivateAttr(default=None)

    @abstractmethod
    def meta_shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the meta-parameters φ."""

    @abstractmethod
    def initialised(self, generator: torch.Generator) -> Self:
        """This architecture with random meta-parameters, where training begins."""

    @property
    def meta_parameters(self) -> Tensors:
        return self._meta_parameters

    @property
    def checkpoint_sha256(self) -> str | None:
        """SHA-256 of the checkpoint file that the meta-parameters came from."""
        return self._checkpoint_sha256

    def with_meta_parameters(self, tensors: Tensors) -> Self:
        """This rule with other meta-parameters φ, on which autograd may be recording."""
        copy = self.model_copy()
        copy._meta_parameters = tensors
        return copy

    @model_validator(mode="after")
    def _load(self) -> Self:
        if self.checkpoint is not None and not self._meta_parameters:
            self._take(read_checkpoint(self.checkpoint))
        return self

    def _take(self, checkpoint: Checkpoint) -> None:
        """The architecture and φ of a checkpoint. A field that was given and contradicts it is an error."""
        if checkpoint.optimizer != self.name:
            raise CheckpointError(f"{self.checkpoint} holds a {checkpoint.optimizer!r} optimizer, not {self.name!r}")
        if unknown := sorted(checkpoint.hyperparameters.keys() - set(self.architecture)):
            raise CheckpointError(f"{self.checkpoint} sets {unknown}, which are not part of the architecture")
        try:
            trained = type(self)(**checkpoint.hyperparameters)
        except ValidationError as error:
            raise CheckpointError(f"{self.checkpoint} is damaged: its architecture is out of range") from error
        for key in self.architecture:
            value = getattr(trained, key)
            if key in self.model_fields_set and getattr(self, key) != value:
                raise CheckpointError(
                    f"{self.checkpoint} was trained with {key}={value}, not {getattr(self, key)}; leave {key} out"
                )
            self.__dict__[key] = value
        self._meta_parameters = checkpoint.checked(trained.meta_shapes())
        self._checkpoint_sha256 = checkpoint.sha256

    def require_trained(self) -> None:
        """Refuse to run without meta-parameters.

        Raises:
            ValueError: there are none; the message says how to get some.
        """
        if not self._meta_parameters:
            raise ValueError(
                f"{self.name} has no meta-parameters: give checkpoint=NAME, or train it, 'l2obench train {self.name}'"
            )

    def describe_architecture(self) -> dict[str, Any]:
        """The values of the architecture's fields, as a checkpoint keeps them."""
        return {key: getattr(self, key) for key in self.architecture}
