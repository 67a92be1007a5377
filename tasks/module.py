"""`ModuleTask`: a task from an `nn.Module`, its data and its loss, as they stand in a training script."""

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from l2obench.tasks.base import Problem, Task, Tensors
from l2obench.tasks.modules.batches import BadModule
from l2obench.tasks.modules.randomness import next_seed
from l2obench.tasks.modules.sources import Columns
from l2obench.tasks.modules.workshop import Workshop, workshop


class ModuleTask(Task):
    """A family of functions: one model, freshly initialised for each seed, on minibatches that belong to the seed.

    A subclass gives `make_model`, `batch_loss`, and `training_data` or `minibatches`. With `heldout_data` it has
    held-out metrics. Its fields are parameters of the task.

    - Buffers (batch norm) are carried along with each replica, and no optimizer sees them.
    - Dropout and other randomness belong to the seed and the step: all optimizers get the same masks.
    - Frozen parameters (`requires_grad=False`) stay as they are; a tensor that layers share is one parameter.
    - Many replicas of a small model run together by `torch.vmap`, all others one after the other
      (`l2obench.tasks.modules.batching`).

    Example:
        >>> class Line(ModuleTask):
        ...     def make_model(self):
        ...         return nn.Linear(1, 1)
        ...
        ...     def training_data(self):
        ...         x = torch.linspace(-1, 1, 64).unsqueeze(1)
        ...         return x, 2 * x + 1
        ...
        ...     def batch_loss(self, model, batch):
        ...         x, y = batch
        ...         return nn.functional.mse_loss(model(x), y)
        >>> sorted(Line(batch=8).sample(torch.Generator()).params)
        ['bias', 'weight']
    """

    final_window: ClassVar[int] = 10

    batch: int = Field(default=32, ge=1, le=100_000)
    """Examples in a minibatch; a `DataLoader` or `minibatches` has a size of its own."""

    def make_model(self) -> nn.Module:
        """The model, freshly initialised, in the mode in which it is trained.

        Called once a seed; the global generators of Python, NumPy and PyTorch are set from the seed before.
        """
        raise BadModule(_missing(self, "make_model", "the model", "make_model(self): return nn.Linear(10, 1)"))

    def training_data(self) -> Any:
        """Tensors or arrays with one row an example, in a tuple or dict; or a `Dataset`; or a `DataLoader`."""
        raise BadModule(_missing(self, "training_data", "what it learns from", "training_data(self): return x, y"))

    def minibatches(self, generator: torch.Generator) -> Iterable[Any]:
        """In place of `training_data`: one epoch of minibatches. Called again at the end of each epoch.

        Args:
            generator: the source of all randomness, besides the global generators; it belongs to the seed.

        Returns:
            Minibatches, all nested alike.
        """
        raise NotImplementedError

    def batch_loss(self, model: Any, batch: Any) -> Tensor:
        """The loss of a minibatch.

        Args:
            model: from `make_model`, with the parameters of one replica.
            batch: nested as the data are: `x, y = batch`.

        Returns:
            A scalar tensor that depends on the model's parameters.
        """
        example = "batch_loss(self, model, batch): x, y = batch; return mse_loss(model(x), y)"
        raise BadModule(_missing(self, "batch_loss", "the loss", example))

    def heldout_data(self) -> Any:
        """What the trained model is tested on, in any form that `training_data` may take; None: nothing."""
        return None

    def heldout_metrics(self, model: Any, batch: Any) -> dict[str, Any]:
        """Metrics of a held-out minibatch; the mean over all examples is kept.

        Args:
            model: in evaluation mode, with the parameters and buffers of one replica.
            batch: nested as the held-out data are.

        Returns:
            Numbers or scalar tensors by name. Give each a direction in `metric_directions`; `loss` and `accuracy` have
            one.
        """
        return {"loss": self.batch_loss(model, batch)}

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if "name" not in cls.__dict__:
            cls.name = f"{cls.__module__}:{cls.__qualname__}"

    def sample(self, generator: torch.Generator) -> Problem:
        return self._workshop().start(next_seed(generator))

    def draw(self, generator: torch.Generator, steps: int) -> Tensors:
        rows = self._columns().draw(generator, steps)
        return {**rows, "noise": torch.randint(2**63 - 1, (steps,), generator=generator)}

    def minibatch(self, data: Tensors, draw: Tensors) -> Tensors:
        return {**self._columns().gathered(draw["index"]), "noise": draw["noise"]}

    def stream(self, generator: torch.Generator) -> Iterator[Tensors] | None:
        return self._workshop().training.stream(generator)

    def loss(self, params: Tensors, batch: Tensors) -> Tensor:
        return self.loss_and_buffers(params, {}, batch)[0]

    def loss_and_buffers(self, params: Tensors, buffers: Tensors, batch: Tensors) -> tuple[Tensor, Tensors]:
        return self._workshop().loss_and_buffers(params, buffers, batch)

    def loss_and_grad(self, params: Tensors, batch: Tensors) -> tuple[Tensor, Tensors]:
        losses, grads, _ = self.loss_grad_and_buffers(params, self._workshop().buffers_like(params), batch)
        return losses, grads

    def loss_grad_and_buffers(
        self, params: Tensors, buffers: Tensors, batch: Tensors
    ) -> tuple[Tensor, Tensors, Tensors]:
        first, made = next(iter(params.values())), self._workshop()
        if made.batching().together(first.shape[0] * first.shape[1], first.device.type):
            return made.together(params, buffers, batch)
        return made.one_by_one(params, buffers, batch)

    def differentiable_loss_grad_and_buffers(
        self, params: Tensors, buffers: Tensors, batch: Tensors
    ) -> tuple[Tensor, Tensors, Tensors]:
        if self._workshop().batching().refused is None:
            return self._workshop().differentiable_together(params, buffers, batch)
        return self._workshop().differentiable_one_by_one(params, buffers, batch)

    def compiled_loss_and_grad(self) -> Callable[[Tensors, Tensors], tuple[Tensor, Tensors]]:
        """As it stands: a program cannot follow a module whose tensors are exchanged."""
        return self.loss_and_grad

    def runs_one_by_one(self) -> str | None:
        return self._workshop().batching().refused

    def activation_bytes(self) -> float:
        """Of replicas that run together; one after the other, a graph is gone before the next is made."""
        found = self._workshop().batching()
        return float(found.saved_bytes) if found.together(2**30, "cpu") else 0.0

    def evaluate(self, params: Tensors) -> Tensors:
        return self.evaluate_with_buffers(params, self._workshop().buffers_like(params))

    def evaluate_with_buffers(self, params: Tensors, buffers: Tensors) -> Tensors:
        return self._workshop().evaluate(params, buffers)

    def require_data(self) -> None:
        _ = self._workshop().training, self._workshop().heldout

    def sources(self) -> dict[str, Any]:
        return self._workshop().facts()

    def _workshop(self) -> Workshop:
        return workshop(self, type(self).minibatches is not ModuleTask.minibatches)

    def _columns(self) -> Columns:
        source = self._workshop().training
        assert isinstance(source, Columns)  # a stream has no rows to draw, and the engine takes the stream
        return source


def make_module_task(
    name: str,
    *,
    model: nn.Module | Callable[[], nn.Module],
    data: Any,
    loss: Callable[[Any, Any], Tensor],
    heldout: Any = None,
    metrics: Callable[[Any, Any], dict[str, Any]] | None = None,
    metric_directions: Mapping[str, Literal["lower", "higher"]] | None = None,
    **fields: Any,
) -> ModuleTask:
    """A `ModuleTask` from objects, for use from Python; no other process can make it again from its name.

    Args:
        name: what results call it.
        model: a function that makes one, freshly initialised; or a module, where every seed begins.
        data: as `ModuleTask.training_data` returns it; or a function like `ModuleTask.minibatches`, without `self`.
        loss: `loss(model, batch)`, a scalar tensor.
        heldout: as `ModuleTask.heldout_data` returns it.
        metrics: `metrics(model, batch)`, numbers by name; the loss, unless given.
        metric_directions: which values of each metric are better; `loss` and `accuracy` need none.
        fields: `batch`, examples in a minibatch, and `horizon`, optimizer steps.

    Raises:
        ValidationError: a field is out of range, or no field of `ModuleTask`.

    Example:
        >>> x = torch.linspace(-1, 1, 64).unsqueeze(1)
        >>> task = make_module_task(
        ...     "line", model=lambda: nn.Linear(1, 1), data=(x, 2 * x + 1),
        ...     loss=lambda model, batch: (model(batch[0]) - batch[1]).square().mean(), horizon=20,
        ... )
        >>> task.horizon
        20
    """
    methods: dict[str, Any] = {
        "make_model": lambda self: copy.deepcopy(model) if isinstance(model, nn.Module) else model(),
        "batch_loss": lambda self, made, batch: loss(made, batch),
        "heldout_data": lambda self: heldout,
    }
    if callable(data):
        methods["minibatches"] = lambda self, generator: data(generator)
    else:
        methods["training_data"] = lambda self: data
    if metrics is not None:
        methods["heldout_metrics"] = lambda self, made, batch: metrics(made, batch)
    if metric_directions is not None:
        methods["metric_directions"] = {**ModuleTask.metric_directions, **metric_directions}
    about = {"name": name, "__module__": __name__, "__doc__": f"The task {name!r}, made in Python."}
    made: ModuleTask = type("Made", (ModuleTask,), {**about, **methods})(**fields)
    return made


def _missing(task: ModuleTask, method: str, what: str, example: str) -> str:
    return f"{type(task).__name__} must define {method}, {what}. Try: def {example}"
