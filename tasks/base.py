"""The protocol of a task: a family of functions to minimise, written for one replica and run for many.

    problem = task.sample(generator)                one function for each seed: θ₀ and data
    draws = task.draw(generator, steps)             the randomness of its minibatches
    at each step:
        batch = task.minibatch(data, draws at this step)
        losses, grads = task.loss_and_grad(params, batch)
    metrics = task.evaluate(params)                 held-out metrics, at the end

Shapes. A *replica* is one optimizee: one function under one setting of the optimizer. Replicas come stacked as
`[seeds, settings, ...]`, the seed outermost, so that the settings of one seed share its data and its minibatches. Only
`sample` and `loss` must be written, and both are about ONE replica: no stacked dimension appears in them.

An `nn.Module` with data becomes a task by `l2obench.tasks.module`. `l2obench test-plugin NAME` tests this protocol.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from l2obench.foundation.model_class import ModelClass
from l2obench.foundation.replica_gradients import gradient_of_each, replica_gradients
from l2obench.foundation.tensors import Tensors as Tensors  # part of this page: a task imports it from here

Gradient = Callable[[Tensors, Tensors], tuple[Tensor, Tensors]]
"""What `Task.loss_and_grad` is: from parameters and a minibatch to losses and gradients."""


@dataclass(frozen=True)
class Problem:
    """One function drawn from a family: where the optimizee starts, and the tensors that define the function."""

    params: Tensors
    data: Tensors = field(default_factory=dict)
    buffers: Tensors = field(default_factory=dict)
    """What an evaluation of the loss changes and no optimizer sees, such as the running statistics of batch norm."""


class Task(BaseModel, ABC, metaclass=ModelClass):
    """A family of functions. Its fields are the family's parameters; two tasks with equal fields are the same task.

    A subclass gives `sample` and `loss`. All else has a default: override `draw` and `minibatch` for minibatches,
    `loss_and_grad` where a hand-batched gradient is faster than the default (and test it against this one), and
    `evaluate` where there is held-out data. Where functions carry buffers, override `loss_and_buffers` and
    `evaluate_with_buffers`.

    Example:
        >>> class Parabola(Task):
        ...     name = "parabola"
        ...     steepness: float = 1.0
        ...
        ...     def sample(self, generator):
        ...         minimum = torch.randn(3, generator=generator)
        ...         return Problem(params={"x": torch.zeros(3)}, data={"minimum": minimum})
        ...
        ...     def loss(self, params, batch):
        ...         return self.steepness * (params["x"] - batch["minimum"]).square().sum()
        >>> task = Parabola(steepness=2.0)
        >>> params = {"x": torch.zeros(1, 2, 3)}  # one seed, two settings
        >>> losses, grads = task.loss_and_grad(params, {"minimum": torch.ones(1, 3)})
        >>> losses, grads["x"][0, 0]
        (tensor([[6., 6.]]), tensor([-4., -4., -4.]))
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    name: ClassVar[str]
    """The family's name on the command line and in results."""
    version: ClassVar[int] = 1
    """Raised whenever the same seed would give other numbers: results of two versions are not comparable."""
    final_window: ClassVar[int] = 1
    """The final loss of a trajectory is the mean of its last `final_window` losses (minibatch losses are noisy)."""
    tolerance: ClassVar[float] = 0.02
    """By how much of itself the final loss may grow before `l2obench check` calls it a regression: what nobody who
    uses the task would mind. Noise needs no room here, the check's intervals take care of it."""
    floor: ClassVar[float] = 1e-12
    """The final loss at or below which differences are float32 rounding: comparisons count such losses as equal."""
    metric_directions: ClassVar[Mapping[str, Literal["lower", "higher"]]] = {"loss": "lower", "accuracy": "higher"}
    """Which values of each held-out metric are better. A metric that is not named here gets no verdict."""
    groups: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Names of parameters by kind of layer (`conv`, `fc`), for optimizers that treat the kinds differently."""
    changes_no_function: ClassVar[tuple[str, ...]] = ("horizon",)
    """Parameters on which neither the functions nor the minibatches of a seed depend: its seeds do not, either."""
    snapshot_steps: ClassVar[tuple[int, ...]] = ()
    """Steps at which a run keeps pictures of its first seeds. A family that names some gives `picture`."""
    horizon: int = Field(default=100, ge=1, le=1_000_000)
    """Number of optimizer steps. The functions and minibatches of a seed do not depend on it."""

    @abstractmethod
    def sample(self, generator: torch.Generator) -> Problem:
        """Draw one function of the family.

        Args:
            generator: the source of all randomness, seeded for one function. The global one must not be used.

        Returns:
            θ₀ and data of ONE function, float32 on the CPU. The engine moves and stacks them.
        """

    @abstractmethod
    def loss(self, params: Tensors, batch: Tensors) -> Tensor:
        """The scalar loss of ONE replica, which is batched over replicas by `torch.vmap`, and differentiated.

        It must be pure: no in-place operation, no randomness, no branch on the value of a tensor.

        Args:
            params: θ, with the names and shapes that `sample` gave.
            batch: what `minibatch` returns, without the dimension for seeds.
        """

    def draw(self, generator: torch.Generator, steps: int) -> Tensors:
        """Draw the randomness of minibatches, such as the indices of examples; none by default.

        Args:
            generator: that of the function, where `sample` or the last `draw` left it.
            steps: how many minibatches; the engine asks for some at a time.

        Returns:
            `[steps, ...]` each. Small tensors, since those of many steps are kept: indices rather than examples.
        """
        return {}

    def minibatch(self, data: Tensors, draw: Tensors) -> Tensors:
        """What `loss` is given at one step.

        Args:
            data: `Problem.data` of all seeds, `[seeds, ...]` each. Only read.
            draw: one step of `draw` of all seeds, `[seeds, ...]` each, on the device of the run.

        Returns:
            `[seeds, ...]` each; all settings of a seed share it.
        """
        return {**data, **draw}

    def stream(self, generator: torch.Generator) -> Iterator[Tensors] | None:
        """The minibatches of one function one after the other, without end, in place of `draw` and `minibatch`.

        Args:
            generator: the source of all randomness; nothing else uses it from then on.

        Returns:
            Minibatches without a dimension for seeds, for sources that cannot be indexed, such as a `DataLoader`.
            None: the engine calls `draw` and `minibatch`.
        """
        return None

    def loss_and_buffers(self, params: Tensors, buffers: Tensors, batch: Tensors) -> tuple[Tensor, Tensors]:
        """The scalar loss of ONE replica, and its buffers after this evaluation, in new tensors where they change.

        Args:
            params, buffers, batch: of ONE replica, as `loss` gets them.
        """
        return self.loss(params, batch), buffers

    def loss_and_grad(self, params: Tensors, batch: Tensors) -> tuple[Tensor, Tensors]:
        """Losses and gradients of all replicas, without a graph.

        Args:
            params: θ, `[seeds, settings, ...]` each. Only read.
            batch: from `minibatch`, `[seeds, ...]` each. Only read.

        Returns:
            Losses `[seeds, settings]`, and gradients with the names and shapes of `params` in new tensors.
        """

        def evaluate(own: Tensors, none: Tensors, minibatch: Tensors) -> tuple[Tensor, Tensors]:
            return self.loss(own, minibatch), none

        return replica_gradients(type(self), evaluate, params, {}, batch)[:2]

    def loss_grad_and_buffers(
        self, params: Tensors, buffers: Tensors, batch: Tensors
    ) -> tuple[Tensor, Tensors, Tensors]:
        """`loss_and_grad` of functions that carry buffers, which it gives after this evaluation. Called once a step.

        Args:
            params, buffers: `[seeds, settings, ...]` each.
            batch: `[seeds, ...]` each.
        """
        if buffers:
            return replica_gradients(type(self), self.loss_and_buffers, params, buffers, batch)
        return *self.loss_and_grad(params, batch), buffers

    def differentiable_loss_grad_and_buffers(
        self, params: Tensors, buffers: Tensors, batch: Tensors
    ) -> tuple[Tensor, Tensors, Tensors]:
        """The same by `torch.func`, so that autograd can pass through the gradient; one by hand may work in place.

        Args:
            params, buffers, batch: as `loss_grad_and_buffers` gets them.
        """
        return gradient_of_each(self.loss_and_buffers, params, buffers, batch)

    def runs_one_by_one(self) -> str | None:
        """Why replicas can only be evaluated one after the other; None: they can be together."""
        return None

    def compiled_loss_and_grad(self) -> Gradient | None:
        """For `--compile`: `loss_and_grad` as a program of the family's own making.

        None: `torch.compile` makes one of `loss_and_grad` itself, together with the optimizer's update.
        """
        return None

    def activation_bytes(self) -> float:
        """What `loss_and_grad` holds for each replica besides parameters, gradients and minibatch; 0 if that is less.

        Runs use it to decide how many replicas fit into memory at once.
        """
        return 0.0

    def evaluate(self, params: Tensors) -> Tensors:
        """Held-out metrics at the end of a run.

        Args:
            params: θ_T, `[seeds, settings, ...]` each. Only read.

        Returns:
            `[seeds, settings]` each, by name (see `metric_directions`); empty where the family has no test split.
        """
        return {}

    def evaluate_with_buffers(self, params: Tensors, buffers: Tensors) -> Tensors:
        """`evaluate` of functions that carry buffers, with each replica's own.

        Args:
            params, buffers: `[seeds, settings, ...]` each. Only read.
        """
        return self.evaluate(params)

    def picture(self, params: Tensors) -> Tensor:
        """What the parameters look like, `[seeds, settings, 3, height, width]` uint8.

        Args:
            params: `[seeds, settings, ...]` each.
        """
        raise NotImplementedError(f"{self.name} names snapshot_steps and gives no picture")

    def originals(self, generator: torch.Generator) -> Tensors:
        """The images that `sample` draws a function from, by what they are.

        Args:
            generator: in the state in which `sample` gets it.

        Returns:
            `[3, height, width]` uint8 each.
        """
        return {}

    def for_tuning(self) -> "Task":
        """The family on whose functions hyperparameters are chosen for this one.

        Itself, where the seeds alone keep functions apart. A family drawn from test data gives its counterpart on
        training data.
        """
        return self

    def require_trainable(self) -> None:
        """Make sure that a learned optimizer may be trained on this family.

        Raises:
            HeldOut: it holds something that is kept for tests; the message says what to train on instead.
        """

    def overlaps(self, other: "Task", parameter: str) -> bool:
        """Whether this family and another one use some of the same data, in part or whole.

        By default two values overlap if they are equal; a family whose values are sets says more.

        Args:
            other: the other family.
            parameter: the field that picks out the data, such as `labels`.
        """
        return bool(getattr(self, parameter) == getattr(other, parameter))

    def require_data(self) -> None:
        """Make sure that the data are on this machine; called before anything runs.

        Raises:
            FileNotFoundError: they are not; the message says how to get them.
        """

    def sources(self) -> dict[str, Any]:
        """Where the data come from, for the manifest: a description and a SHA-256 for each source."""
        return {}

    def final_loss(self, losses: Tensor) -> Tensor:
        """The final loss of trajectories: the mean over the last `final_window` losses.

        Args:
            losses: f(θ₀) … f(θ_T), `[..., steps + 1]`.
        """
        return losses[..., -self.final_window :].mean(-1)
