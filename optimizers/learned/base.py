"""Learned optimizers: rules with meta-parameters, and how a trained one comes out of a checkpoint.

A rule may have one network for all parameters, or two: the paper's section 3.3 has one for convolution filters and one
for everything else. Meta-parameters of the two are named `conv/…` and `fc/…`.
"""

import hashlib
import math
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import PrivateAttr, ValidationError, model_validator
from torch import Tensor

from l2obench.foundation.own_file import MAX_BYTES
from l2obench.optimizers.base import CoordinatewiseOptimizer, Optimizer, State, Tensors
from l2obench.optimizers.learned.checkpoint import Checkpoint, CheckpointError, read_checkpoint
from l2obench.optimizers.learned.unrolled import Unrolled

# The kinds of parameters that have a network each with `networks=conv-fc`; prefixes in checkpoints: never rename.
KINDS = ("conv", "fc")
# As a checkpoint's name: untrained meta-parameters.
RANDOM = "random"
# Of 4 bytes each; a checkpoint with more could not be read again.
MAX_META_PARAMETERS = MAX_BYTES // 4


class LearnedOptimizer(Optimizer):
    """A rule m(·; φ) whose meta-parameters φ are trained. Given its φ it is an optimizer like any other.

    A subclass names the fields that make its `architecture`; those travel in a checkpoint and come from it.
    """

    tunable: ClassVar[tuple[str, ...]] = ()
    architecture: ClassVar[tuple[str, ...]]
    stacks_meta_parameters: ClassVar[bool] = False
    """Whether each of the meta-parameters may be a stack, `[settings, ...]`, with one value for each setting. It is not
    inherited: a subclass may compute something else."""

    checkpoint: str | None = None
    """Trained meta-parameters: the name of a shipped checkpoint, or the path of a .safetensors file. `random`:
    untrained ones, the same every time, for what an update costs and to see what training adds."""

    networks: Literal["one", "conv-fc"] = "one"
    """`conv-fc`: a network for convolution filters and one for all other parameters (section 3.3)."""
    conv: str | None = None
    """With `fc`: the checkpoint that the network for convolution filters comes from."""
    fc: str | None = None
    """With `conv`: the checkpoint that the network for all other parameters comes from."""

    _meta_parameters: Tensors = PrivateAttr(default_factory=dict)
    _checkpoint_sha256: str | None = PrivateAttr(default=None)
    _recipe: Mapping[str, Any] = PrivateAttr(default_factory=dict)
    _kinds: dict[str, str] = PrivateAttr(default_factory=dict)
    _parts: dict[str, Any] = PrivateAttr(default_factory=dict)

    @abstractmethod
    def network_shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of one network's meta-parameters."""

    @abstractmethod
    def random_network(self, generator: torch.Generator) -> Tensors:
        """Meta-parameters of one network, where training begins.

        Args:
            generator: the source of all randomness.

        Returns:
            Tensors with the names and shapes of `network_shapes`, float32 on the CPU.
        """

    def meta_shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the meta-parameters φ."""
        shapes = self.network_shapes()
        if self.networks == "one":
            return shapes
        return {f"{kind}/{name}": shape for kind in KINDS for name, shape in shapes.items()}

    def initialised(self, generator: torch.Generator) -> Self:
        """This architecture with random meta-parameters, where training begins.

        Args:
            generator: the source of all randomness.

        Raises:
            CheckpointError: the architecture has more meta-parameters than a checkpoint can hold.

        Example:
            >>> from l2obench.optimizers.learned.learned_adam import LearnedAdam
            >>> rule = LearnedAdam().initialised(torch.Generator().manual_seed(0))
            >>> {name: tuple(tensor.shape) for name, tensor in rule.meta_parameters.items()} == rule.meta_shapes()
            True
        """
        if (count := sum(map(math.prod, self.meta_shapes().values()))) > MAX_META_PARAMETERS:
            raise CheckpointError(
                f"{self.name} must have at most {MAX_META_PARAMETERS:,} meta-parameters, which a checkpoint can hold, "
                f"got {count:,}. Try: fewer hidden units or layers"
            )
        if self.networks == "one":
            return self.with_meta_parameters(self.random_network(generator))
        networks = {kind: self.random_network(generator) for kind in KINDS}
        return self.with_meta_parameters(_join_networks(networks))

    def for_groups(self, groups: Mapping[str, tuple[str, ...]]) -> Self:
        """This rule with the kind of each parameter of a task, which `networks=conv-fc` needs.

        Args:
            groups: names of parameters by kind, from `Task.groups`.

        Raises:
            ValueError: the rule is not coordinatewise, or the task has no parameters of a kind.
        """
        if self.networks == "one":
            return self
        if not issubclass(type(self), CoordinatewiseOptimizer):
            raise ValueError(f"networks=conv-fc needs a coordinatewise rule; {self.name} is not one")
        if missing := [kind for kind in KINDS if not groups.get(kind)]:
            raise ValueError(
                f"{self.name} with networks=conv-fc needs a task with parameters of the kinds conv and fc; "
                f"this one has no {' and no '.join(missing)}"
            )
        copy = self.model_copy()
        copy._kinds = {name: kind for kind in KINDS for name in groups[kind]}
        return copy

    def kind(self, name: str) -> str:
        """Say which network updates a parameter.

        Args:
            name: that of the parameter in the task, or of a kind, which stands for itself.
        """
        if self.networks == "one":
            return ""
        return name if name in KINDS else self._kinds[name]

    def kind_by_shape(self, param: Tensor) -> str:
        """Say which network updates a parameter of this shape.

        A filter of a convolution has three axes at least: outputs, inputs, and those of its signal or picture.

        Args:
            param: of one replica, `[...]`.
        """
        return "" if self.networks == "one" else KINDS[param.ndim < 3]

    def of_kind(self, kind: str) -> Self:
        """Give the rule of one network.

        Args:
            kind: as `kind` gives it.
        """
        if self.networks == "one":
            return self
        if kind not in self._parts:
            part = self.model_copy(update={"networks": "one"})
            prefix = f"{kind}/"
            part._meta_parameters = {
                name.removeprefix(prefix): value
                for name, value in self._meta_parameters.items()
                if name.startswith(prefix)
            }
            self._parts[kind] = part
        return self._parts[kind]  # type: ignore[no-any-return]

    @property
    def meta_parameters(self) -> Tensors:
        found: Tensors = (self.__pydantic_private__ or {})["_meta_parameters"]  # so that torch.compile can follow
        return found

    @property
    def checkpoint_sha256(self) -> str | None:
        """SHA-256 of the checkpoint file that the meta-parameters came from."""
        return self._checkpoint_sha256

    @property
    def recipe(self) -> Mapping[str, Any]:
        """How the meta-parameters were trained, as their checkpoint says; empty without one.

        Of two checkpoints: both recipes, under `conv` and `fc`, and what they have in common.
        """
        return self._recipe

    def trainings(self) -> Iterator[Mapping[str, Any]]:
        """The recipes of all trainings that led to the meta-parameters, the last one first."""
        recipe: Any = self._recipe
        while isinstance(recipe, Mapping) and recipe:
            yield recipe
            recipe = recipe.get("started_from")

    def with_meta_parameters(self, tensors: Tensors) -> Self:
        """This rule with other meta-parameters φ, on which autograd may be recording.

        Args:
            tensors: with the names and shapes of `meta_shapes`. Not validated.
        """
        copy = self.model_copy()
        copy._meta_parameters = tensors
        return copy

    def model_copy(self, **options: Any) -> Self:
        """A copy; the rules of its two networks are made anew, of its own values."""
        copy = super().model_copy(**options)
        copy._parts = {}
        return copy

    def takes_stacks(self) -> bool:
        """Whether `with_meta_parameters` may be given a stack: this very class says so."""
        return bool(vars(type(self)).get("stacks_meta_parameters"))

    def unroll(self, state: State, steps: int) -> "Unrolled | None":
        """This rule on one tensor with its backward pass by hand; None: autograd is to find it.

        Only asked of a coordinatewise rule whose updates do not depend on the parameters. A subclass that changes the
        formula has none, or its own.

        Args:
            state: of that tensor, before the first step; only read.
            steps: how many there will be.
        """
        return None

    @model_validator(mode="after")
    def _read_checkpoints(self) -> Self:
        if self._meta_parameters:
            return self
        if self.conv is not None or self.fc is not None:
            self._use_two_checkpoints()
        elif self.checkpoint == RANDOM:
            self._meta_parameters = self.initialised(torch.Generator().manual_seed(0)).meta_parameters
        elif self.checkpoint is not None:
            self._use_checkpoint(read_checkpoint(self.checkpoint))
        return self

    def _use_two_checkpoints(self) -> None:
        """A network from each of two checkpoints, which must be of one architecture."""
        if self.checkpoint is not None or self.conv is None or self.fc is None:
            raise CheckpointError(f"{self.name}: give conv and fc a checkpoint each, and leave checkpoint out")
        given = {key: getattr(self, key) for key in self.architecture if key in self.model_fields_set}
        given.pop("networks", None)
        rules = {kind: type(self)(checkpoint=getattr(self, kind), **given) for kind in KINDS}
        networks = {kind: rule.of_kind(kind) for kind, rule in rules.items()}
        conv, fc = (networks[kind].describe_architecture() for kind in KINDS)
        if conv != fc:
            different = ", ".join(f"{key} is {conv[key]} and {fc[key]}" for key in conv if conv[key] != fc[key])
            raise CheckpointError(f"{self.conv} and {self.fc} are of two architectures: {different}")
        self.__dict__.update(conv | {"networks": "conv-fc"})
        self._meta_parameters = _join_networks({kind: rule.meta_parameters for kind, rule in networks.items()})
        both = " ".join(str(rules[kind].checkpoint_sha256) for kind in KINDS)
        self._checkpoint_sha256 = hashlib.sha256(both.encode()).hexdigest()
        first, second = (rules[kind].recipe for kind in KINDS)
        common = {key: value for key, value in first.items() if key in second and second[key] == value}
        self._recipe = {**common, "conv": first, "fc": second}

    def _use_checkpoint(self, checkpoint: Checkpoint) -> None:
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
        self._recipe = checkpoint.recipe

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


def _join_networks(networks: Mapping[str, Tensors]) -> Tensors:
    """The meta-parameters of several networks under one roof, each named `kind/…`."""
    return {f"{kind}/{name}": tensor for kind, network in networks.items() for name, tensor in network.items()}
