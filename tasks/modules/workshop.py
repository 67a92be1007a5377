"""What is made once for all tasks of one class and parameters: data, a module for each device, and how replicas run."""

import weakref
from collections.abc import Callable
from functools import cached_property, partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from l2obench.foundation.replica_gradients import gradient_of_each
from l2obench.tasks.base import Problem, Tensors
from l2obench.tasks.modules.batches import BadModule, Structure, examples
from l2obench.tasks.modules.batching import REPLICAS, Batching, try_batching
from l2obench.tasks.modules.randomness import OwnRandomness
from l2obench.tasks.modules.replicas import Replicas
from l2obench.tasks.modules.sources import Columns, Source, Stream, make_source

# Workshops at a time: each holds data, and a suite has few tasks of this kind.
KEPT = 8

_workshops: dict[tuple[type, str], "Workshop"] = {}
_latest: tuple[weakref.ref[Any], "Workshop"] | None = None


class Described(Protocol):
    """What a `ModuleTask` gives."""

    batch: int
    model_fields_set: set[str]

    def make_model(self) -> nn.Module: ...
    def training_data(self) -> Any: ...
    def minibatches(self, generator: torch.Generator) -> Any: ...
    def batch_loss(self, model: Any, batch: Any) -> Tensor: ...
    def heldout_data(self) -> Any: ...
    def heldout_metrics(self, model: Any, batch: Any) -> dict[str, Any]: ...


class Workshop:
    """Everything that a `ModuleTask` needs more than once.

    Args:
        task: gives model, data and loss.
        own_minibatches: whether it gives minibatches by a function of its own.
    """

    def __init__(self, task: Described, own_minibatches: bool) -> None:
        self._task = task
        self._name = type(task).__name__
        self._own_minibatches = own_minibatches
        self._replicas: dict[tuple[torch.device, torch.dtype], Replicas] = {}
        self._batching: Batching | None = None

    @cached_property
    def training(self) -> Source:
        """Where minibatches come from."""
        task, given = self._task, "batch" in self._task.model_fields_set
        if self._own_minibatches:
            if given:
                raise BadModule(f"{self._name}.minibatches has a batch size of its own, got batch={task.batch} as well")
            return Stream(task.minibatches, f"{self._name}.minibatches")
        with OwnRandomness(0).active():  # a random split is the same in every process
            data = task.training_data()
        return make_source(data, f"{self._name}.training_data", task.batch, given)

    @cached_property
    def heldout(self) -> Source | None:
        """What trained models are tested on."""
        with OwnRandomness(0).active():
            data = self._task.heldout_data()
        batch, what = self._task.batch, f"{self._name}.heldout_data"
        return None if data is None else make_source(data, what, batch, batch_given=False)

    def start(self, seed: int) -> Problem:
        """The model as a seed initialises it.

        Args:
            seed: sets all global generators before `make_model`.

        Raises:
            BadModule: `make_model` gives no module, nothing to train, or parameters that are not float32 on the CPU.
        """
        with OwnRandomness(seed).active():
            replicas = Replicas(self._model(), self._task.batch_loss)
        params = {name: value.detach().clone() for name, value in replicas.params.items()}
        if not params:
            raise BadModule(
                f"{self._name}.make_model must give a model with parameters to train, got none. "
                "Try: leave requires_grad_(False) out for one layer at least"
            )
        for name, value in params.items():
            if value.dtype != torch.float32 or value.device.type != "cpu":
                raise BadModule(
                    f"{self._name}.make_model must give float32 parameters on the CPU, got {name!r} as {value.dtype} "
                    f"on {value.device}. Try: .float().cpu()"
                )
        return Problem(params, buffers={name: value.detach().clone() for name, value in replicas.buffers.items()})

    def _model(self) -> nn.Module:
        model: Any = self._task.make_model()
        if not isinstance(model, nn.Module):
            got = f"the class {model.__name__}" if isinstance(model, type) else type(model).__name__
            raise BadModule(f"{self._name}.make_model must return an nn.Module, got {got}. Try: return nn.Linear(2, 1)")
        if any(isinstance(value, nn.parameter.UninitializedParameter) for value in model.parameters()):
            raise BadModule(
                f"{self._name}.make_model must not return lazy layers. Try: call the model once on an input"
            )
        return model

    def loss_and_buffers(self, params: Tensors, buffers: Tensors, batch: Tensors) -> tuple[Tensor, Tensors]:
        """Loss and buffers of ONE replica, pure.

        Args:
            params: of one replica.
            buffers: likewise.
            batch: of one seed.
        """
        return self._replicas_like(params).loss_and_buffers(params, buffers, batch, self._structure())

    def one_by_one(self, params: Tensors, buffers: Tensors, batch: Tensors) -> tuple[Tensor, Tensors, Tensors]:
        """Losses `[seeds, settings]`, gradients and buffers of all replicas, one after the other.

        Args:
            params: `[seeds, settings, ...]` each. Only read.
            buffers: likewise.
            batch: `[seeds, ...]` each.
        """
        last = self.batching().channels_last and next(iter(params.values())).is_cpu
        return self._replicas_like(params).one_by_one(params, buffers, batch, self._structure(), last)

    def differentiable_one_by_one(
        self, params: Tensors, buffers: Tensors, batch: Tensors
    ) -> tuple[Tensor, Tensors, Tensors]:
        """Compute the same one replica after the other, with a graph of the gradients.

        Args:
            params: `[seeds, settings, ...]` each.
            buffers: `[seeds, settings, ...]` each.
            batch: `[seeds, ...]` each.
        """
        return self._replicas_like(params).differentiable_one_by_one(params, buffers, batch, self._structure())

    def buffers_like(self, params: Tensors) -> Tensors:
        """The buffers of a new model for every replica.

        Args:
            params: `[seeds, settings, ...]` each.
        """
        shape = next(iter(params.values())).shape[:2]
        own = self._replicas_like(params).buffers
        return {name: value.detach().expand(*shape, *value.shape).clone() for name, value in own.items()}

    def batching(self) -> Batching:
        """How replicas run: tried once, on one step of two replicas."""
        if self._batching is None:
            random = torch.Generator().manual_seed(0)
            problem = self.start(0)
            if (stream := self.training.stream(random)) is not None:
                batch = {name: value.unsqueeze(0) for name, value in next(stream).items()}
            else:
                assert isinstance(self.training, Columns)
                rows = self.training.gathered(self.training.draw(random, 1)["index"])
                batch = {**rows, "noise": torch.zeros(1, dtype=torch.int64)}
            batch = {name: value.float() if value.is_floating_point() else value for name, value in batch.items()}
            params, buffers = (
                {name: value.expand(1, REPLICAS, *value.shape).clone() for name, value in tensors.items()}
                for tensors in (problem.params, problem.buffers)
            )
            alone = partial(self._replicas_like(params).one_by_one, structure=self._structure())
            self._batching = try_batching(alone, self.loss_and_buffers, params, buffers, batch)
        return self._batching

    def together(self, params: Tensors, buffers: Tensors, batch: Tensors) -> tuple[Tensor, Tensors, Tensors]:
        """Losses `[seeds, settings]`, gradients and buffers of all replicas at once, without a graph.

        Args:
            params: `[seeds, settings, ...]` each.
            buffers: likewise.
            batch: `[seeds, ...]` each.
        """
        return self.batching().way(self.loss_and_buffers, params, buffers, batch)

    def differentiable_together(
        self, params: Tensors, buffers: Tensors, batch: Tensors
    ) -> tuple[Tensor, Tensors, Tensors]:
        """The same by `torch.func`, so that autograd can pass through the gradients.

        Args:
            params, buffers, batch: as `together` gets them.
        """
        return gradient_of_each(self.loss_and_buffers, params, buffers, batch, own_views=True)

    def evaluate(self, params: Tensors, buffers: Tensors) -> Tensors:
        """The mean over held-out examples of every metric.

        Args:
            params: `[seeds, settings, ...]` each. Only read.
            buffers: likewise.

        Returns:
            `[seeds, settings]` each, by name; empty without held-out data.

        Raises:
            BadModule: there are no examples, or `heldout_metrics` gives something else than numbers by name.
        """
        if self.heldout is None:
            return {}
        first = next(iter(params.values()))
        replicas, shape = self._replicas_like(params), first.shape[:2]
        totals: dict[str, list[float]] = {}
        count = 0
        for tensors in self.heldout.once():
            here = {
                name: value.to(first.device, first.dtype if value.is_floating_point() else None)
                for name, value in tensors.items()
            }
            assert self.heldout.structure is not None
            found: list[dict[str, float]] = []
            measure: Callable[[nn.Module], None] = partial(self._measure, self.heldout.structure.nested(here), found)
            replicas.metrics(params, buffers, measure)
            weight = examples(tensors)
            count += weight
            for name in found[0]:
                sums = totals.setdefault(name, [0.0] * len(found))
                totals[name] = [total + weight * one[name] for total, one in zip(sums, found, strict=True)]
        if not count:
            raise BadModule(f"{self._name}.heldout_data must hold examples, got none")
        return {
            name: torch.tensor(sums, dtype=torch.float64).div(count).view(shape).to(first.device, first.dtype)
            for name, sums in totals.items()
        }

    def _measure(self, batch: Any, found: list[dict[str, float]], model: nn.Module) -> None:
        metrics = self._task.heldout_metrics(model, batch)
        if not isinstance(metrics, dict) or not metrics or not all(isinstance(name, str) for name in metrics):
            raise BadModule(
                f"{self._name}.heldout_metrics must return numbers by name, got {type(metrics).__name__}. "
                'Try: return {"loss": self.batch_loss(model, batch)}'
            )
        if found and found[0].keys() != metrics.keys():
            raise BadModule(
                f"{self._name}.heldout_metrics must give the same names every time, got {', '.join(metrics)}"
            )
        found.append({name: self._number(name, value) for name, value in metrics.items()})

    def _number(self, name: str, value: Any) -> float:
        if isinstance(value, Tensor) and value.ndim:
            raise BadModule(
                f"{self._name}.heldout_metrics must give scalars, got {name!r} with shape {tuple(value.shape)}. "
                "Try: .mean()"
            )
        try:
            return float(value)
        except (TypeError, ValueError) as error:
            raise BadModule(
                f"{self._name}.heldout_metrics must give numbers, got {name!r} as {type(value).__name__}"
            ) from error

    def facts(self) -> dict[str, Any]:
        """What is known of the data, for the manifest."""
        known = {"training data": self.training.facts()}
        if self.heldout is not None:
            known["held-out data"] = self.heldout.facts()
        return {f"{self._name}, {what}": facts for what, facts in known.items() if facts}

    def _structure(self) -> Structure:
        assert self.training.structure is not None  # a minibatch was drawn before
        return self.training.structure

    def _replicas_like(self, params: Tensors) -> Replicas:
        """The module whose tensors are of these parameters' device and kind of number."""
        value = next(iter(params.values()))
        key = value.device, value.dtype
        if key not in self._replicas:
            with OwnRandomness(0).active():
                model = self._model()
            self._replicas[key] = Replicas(model.to(value.device, value.dtype), self._task.batch_loss)
        return self._replicas[key]


def workshop(task: Any, own_minibatches: bool) -> Workshop:
    """The workshop of a task; tasks that differ in nothing but the horizon share one.

    Args:
        task: a `ModuleTask`.
        own_minibatches: whether it gives minibatches by a function of its own.
    """
    global _latest
    if _latest is not None and _latest[0]() is task:  # a step asks several times
        return _latest[1]
    values = sorted((name, repr(getattr(task, name))) for name in type(task).model_fields if name != "horizon")
    key = type(task), repr((values, "batch" in task.model_fields_set))
    if key not in _workshops:
        while len(_workshops) >= KEPT:
            del _workshops[next(iter(_workshops))]
        _workshops[key] = Workshop(task, own_minibatches)
    _latest = weakref.ref(task), _workshops[key]
    return _workshops[key]
