"""The protocol of an optimizer: `init`, `observe` and `update`, the same for hand-designed and learned rules.

    state = rule.init(params)
    at each step:
        state = rule.observe(state, losses, horizon)
        updates, state = rule.update(grads, state, params)
        params = params + updates

`params`, `grads` and `updates` are dicts of tensors by parameter name. They hold many replicas (optimizees) at once,
stacked as `[seeds, settings, ...]`: a seed is one function and its minibatches, a setting is one value of each
hyperparameter. A parameter `[20, 784]` of one replica is `[seeds, settings, 20, 784]` here. No replica may influence
another. Whether a rule keeps this protocol: `l2obench test-plugin NAME`.

To write a rule that treats every coordinate alike, derive from `CoordinatewiseOptimizer`; otherwise from `Optimizer`.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor

from l2obench.foundation.model_class import ModelClass
from l2obench.foundation.tensors import Tensors as Tensors  # part of this page: a rule imports it from here
from l2obench.foundation.tensors import tensors_bytes
from l2obench.optimizers.search_space import Dimension

# Keeps slopes under a root finite: ∞ times a gradient of 0 is NaN. Far below ε² of every rule, it changes no update.
SMALLEST = 1e-30
Use = Literal["curvature", "loss", "horizon"]
State = dict[str, Any]
"""What a rule remembers between steps: nested dicts, lists and tuples of tensors and numbers; each rule names them."""


class Optimizer(BaseModel, ABC, metaclass=ModelClass):
    """An update rule. Its fields are its hyperparameters: numbers, or (see `stacked`) one value for each replica.

    A learned optimizer differs in one thing only: it has meta-parameters (`meta_parameters` is not empty). An instance
    never changes; everything that changes from step to step is in the state.

    Example:
        >>> class NormalizedSGD(Optimizer):
        ...     name = "normalized-sgd"
        ...     lr: float = 0.1
        ...
        ...     def init(self, params):
        ...         return {}
        ...
        ...     def update(self, grads, state, params):
        ...         squares = [grad.flatten(2).square().sum(-1) for grad in grads.values()]
        ...         size = self.lr / sum(squares).sqrt()  # [seeds, settings]
        ...         return {name: -per_replica(size, grad) * grad for name, grad in grads.items()}, state
        >>> params = {"x": torch.tensor([[[3.0, 4.0]]])}  # one seed, one setting
        >>> rule = NormalizedSGD()
        >>> updates, state = rule.update(grads=params, state=rule.init(params), params=params)
        >>> updates["x"]
        tensor([[[-0.0600, -0.0800]]])
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True, arbitrary_types_allowed=True
    )

    name: ClassVar[str]
    """The rule's name on the command line and in results."""
    version: ClassVar[int] = 1
    """Raised whenever the rule would give other numbers: results of two versions are not comparable."""
    tunable: ClassVar[tuple[str, ...]] = ("lr",)
    """Hyperparameters that the track `tuned` searches, on a logarithmic grid."""
    search_space: ClassVar[Mapping[str, Dimension] | None] = None
    """What the tracks `budget=N` search, by hyperparameter; None: what is tunable, with a schedule."""
    uses: ClassVar[tuple[Use, ...]] = ()
    """What the rule uses beyond gradients; `curvature` is estimated from them."""
    lr_scales_update: ClassVar[bool] = True
    """Whether `lr` only multiplies the update, and the state does not depend on it."""
    compiled_up_to: ClassVar[float] = math.inf
    """Coordinates of all replicas up to which `--compile` makes a program of `update`; more are faster without."""

    @abstractmethod
    def init(self, params: Tensors) -> State:
        """The state before the first step.

        Args:
            params: θ₀, `[seeds, settings, ...]` each. Only read.

        Returns:
            A state whose tensors belong to nobody else. Its tensors have the device and type of the parameters.

        Raises:
            ValueError: a learned rule has no meta-parameters, or other ones than these parameters need.
        """

    @abstractmethod
    def update(self, grads: Tensors, state: State, params: Tensors) -> tuple[Tensors, State]:
        """The updates to add to `params`, and the next state.

        Where no autograd graph is recorded (in runs), memory is reused: the rule may overwrite the tensors of `state`,
        and the caller the updates. Where a graph is recorded (in meta-training), neither may happen.

        Args:
            grads: gradients at `params` on this step's minibatch, `[seeds, settings, ...]` each. Only read. A replica
                that has diverged may have NaN or infinity here, and must not disturb the others.
            state: from `init`, the last `update`, or `observe` on either.
            params: θ, of the same shapes. Only read.

        Returns:
            Updates with the names, shapes and type of `params`, and the next state.
        """

    def observe(self, state: State, losses: Tensor, horizon: int) -> State:
        """Put into the state what a rule needs beyond the gradient: the loss, or the number of steps.

        Called once before each `update`, the first one included. A rule that overrides it says so in `uses`.

        Args:
            state: from `init` or the last `update`. The rule may overwrite it.
            losses: at the parameters of the next `update`, on its minibatch, `[seeds, settings]`. Only read; a rule
                that averages its iterates gets those at its `evaluation_point`.
            horizon: the number of updates from `init` to the end of the run.

        Returns:
            The state for the next `update`.
        """
        return state

    def for_groups(self, groups: Mapping[str, tuple[str, ...]]) -> Self:
        """This rule for a task whose parameters are of several kinds; most rules treat all alike.

        Args:
            groups: names of parameters by kind of layer (`conv`, `fc`), from `Task.groups`.

        Raises:
            ValueError: the rule needs kinds that are not there.
        """
        return self

    def evaluation_point(self, params: Tensors, state: State) -> Tensors | None:
        """Where losses and held-out metrics are taken, for a rule that averages its iterates; None: at `params`.

        Args:
            params: θ, `[seeds, settings, ...]` each. Only read.
            state: after the last `update`. Only read.
        """
        return None

    def state_bytes(self, state: State) -> int:
        """Count the bytes that a state takes.

        Args:
            state: from `init` or `update`.
        """
        return tensors_bytes(state)

    def flops_per_coordinate(self) -> float | None:
        """Arithmetic operations of one update, for each coordinate; None where nobody has counted them.

        Every addition, multiplication, division, square root, exponential, logarithm, sign or absolute value is one;
        comparisons, selections and copies are none, and neither is what a whole tensor shares (Adam's bias correction).
        A subclass that changes the formula counts anew.
        """
        return None

    @property
    def meta_parameters(self) -> Tensors:
        """The trained tensors of a learned optimizer; empty for a hand-designed one."""
        return {}

    def stacked(self, hyperparameters: Mapping[str, Tensor]) -> Self:
        """This rule with one value of a hyperparameter for each replica: a whole grid runs in one rollout.

        Args:
            hyperparameters: `[seeds, settings]` or `[1, settings]` each, by the name of the field. Not validated.
        """
        return self.model_copy(update=dict(hyperparameters))


class CoordinatewiseOptimizer(Optimizer):
    """A rule in which no coordinate's update depends on another coordinate: one function, applied to each tensor.

    The engine relies on it: meta-training may follow a random subset of the coordinates. The last dimensions of every
    tensor in a parameter's state are therefore that parameter's shape.

    State: for each parameter by its name, what `init_tensor` returns.
    """

    @abstractmethod
    def init_tensor(self, param: Tensor) -> State:
        """The state of one parameter tensor before the first step.

        Args:
            param: θ₀, `[seeds, settings, ...]`. Only read.
        """

    @abstractmethod
    def update_tensor(self, grad: Tensor, state: State, param: Tensor) -> tuple[Tensor, State]:
        """The update of one parameter tensor, and its next state, under the contract of `update`.

        Args:
            grad: like `param`.
            state: from `init_tensor`, or the last call.
            param: θ, `[seeds, settings, ...]`. Only read.
        """

    def kind(self, name: str) -> str:
        """Give the kind of a parameter: the same of all, unless the rule has several networks.

        Args:
            name: that of the parameter in the task.
        """
        return ""

    def kind_by_shape(self, param: Tensor) -> str:
        """Give the kind of a module's parameter: by its shape, since it has no name.

        Args:
            param: without dimensions for seeds and settings.
        """
        return ""

    def of_kind(self, kind: str) -> Self:
        """Give the rule for parameters of a kind.

        Args:
            kind: as `kind` gives it.
        """
        return self

    def init(self, params: Tensors) -> State:
        return {name: self.of_kind(self.kind(name)).init_tensor(param) for name, param in params.items()}

    def update(self, grads: Tensors, state: State, params: Tensors) -> tuple[Tensors, State]:
        rules = {name: self.of_kind(self.kind(name)) for name in params}
        results = {name: rules[name].update_tensor(grads[name], state[name], param) for name, param in params.items()}
        return (
            {name: update for name, (update, _) in results.items()},
            {name: new_state for name, (_, new_state) in results.items()},
        )


def per_replica(hyperparameter: float | Tensor, like: Tensor) -> float | Tensor:
    """A hyperparameter, ready to multiply `like`: `[seeds or 1, settings]` gains the trailing dimensions it lacks.

    Args:
        hyperparameter: a number, which is returned as it is, or one value for each replica.
        like: `[seeds, settings, ...]`.

    Example:
        >>> per_replica(torch.tensor([[0.1, 0.2]]), torch.ones(3, 2, 20, 784)).shape
        torch.Size([1, 2, 1, 1])
        >>> per_replica(0.1, torch.ones(3, 2, 20, 784))
        0.1
    """
    if not isinstance(hyperparameter, Tensor):
        return hyperparameter
    return hyperparameter.reshape(*hyperparameter.shape, *[1] * (like.ndim - hyperparameter.ndim))


def blend(old: Tensor, new: Tensor, weight: float | Tensor) -> Tensor:
    """(1 − weight) · old + weight · new, as in an exponential moving average.

    Args:
        old: a tensor of the state, whose memory the result takes where no graph is recorded: half the passes over it.
        new: of the same shape.
        weight: 1 − β.

    Example:
        >>> with torch.no_grad():
        ...     blend(torch.tensor([1.0]), torch.tensor([2.0]), 0.25)
        tensor([1.2500])
    """
    return torch.lerp(old, new, weight) if torch.is_grad_enabled() else old.lerp_(new, weight)


def power(beta: float | Tensor, step: int | Tensor) -> float | Tensor:
    """βᵗ, for corrections of moments that start at zero.

    Args:
        beta: a decay, as `per_replica` returns it.
        step: t. A tensor in a compiled program, where an exponential is several times cheaper than a general power.

    Example:
        >>> power(0.5, 3)
        0.125
    """
    if isinstance(step, int):
        return beta**step
    return (torch.as_tensor(beta, dtype=step.dtype).log() * step).exp()


def root(square: Tensor) -> Tensor:
    """Compute √square, with a finite slope at 0 for autograd.

    Args:
        square: 0 or more, of any shape.
    """
    return square.clamp_min(SMALLEST).sqrt()
