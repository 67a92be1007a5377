"""Loss and gradient of many replicas of one module: together by `torch.vmap`, or one after the other."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from l2obench.tasks.base import Tensors
from l2obench.tasks.modules.batches import BadModule, Structure
from l2obench.tasks.modules.randomness import NoiseBySeed, drawn_beyond_torch, preserved, seed_everything

# Of a two-dimensional convolution: outputs, inputs, height, width.
FILTER_DIMENSIONS = 4

BatchLoss = Callable[[Any, Any], Tensor]
"""The user's `batch_loss(model, batch)`."""


class _LossModule(nn.Module):
    """The user's loss as a module around the user's model, so that `functional_call` reaches the model's tensors."""

    def __init__(self, model: nn.Module, batch_loss: BatchLoss) -> None:
        super().__init__()
        self.model = model
        self._batch_loss = batch_loss

    def forward(self, batch: Any) -> Tensor:
        return self._batch_loss(self.model, batch)


class Replicas:
    """One module, in which the tensors of one replica after the other stand.

    Args:
        model: in the mode in which it is trained; its parameters that require no gradient count as buffers here.
        batch_loss: the user's loss.
    """

    def __init__(self, model: nn.Module, batch_loss: BatchLoss) -> None:
        self.model = model
        self._batch_loss = batch_loss
        self._module = _LossModule(model, batch_loss)
        self._modes = {module: module.training for module in model.modules()}
        self._params = {name: value for name, value in model.named_parameters() if value.requires_grad}
        self._frozen = {name: value for name, value in model.named_parameters() if not value.requires_grad}
        self._places = _buffer_places(model)
        self._drops = self._draws = True  # from dropout, from Python's and NumPy's generators: known after a step

    @property
    def params(self) -> Tensors:
        """What optimizers see. A tensor that several layers share counts once."""
        return dict(self._params)

    @property
    def buffers(self) -> Tensors:
        """What they do not see: buffers, and frozen parameters."""
        return {**self._frozen, **{name: _at(places[0]) for name, places in self._places.items()}}

    def loss_and_buffers(
        self, params: Tensors, buffers: Tensors, batch: Tensors, structure: Structure
    ) -> tuple[Tensor, Tensors]:
        """Loss of ONE replica and its buffers afterwards, as a pure function that `torch.func` can transform.

        Args:
            params: of one replica by name.
            buffers: likewise; empty: those of the module.
            batch: of one seed, with `noise`, the seed of this step's randomness.
            structure: how the minibatch is nested.
        """
        own = {name: value.detach().clone() for name, value in (buffers or self.buffers).items()}
        tensors = {f"model.{name}": value for name, value in {**params, **own}.items()}
        with NoiseBySeed(batch["noise"]):
            loss = functional_call(self._module, tensors, (structure.nested(batch),))
        _require_scalar(loss)
        return loss, {name: tensors[f"model.{name}"].detach() for name in buffers}

    def differentiable_one_by_one(
        self, params: Tensors, buffers: Tensors, batch: Tensors, structure: Structure
    ) -> tuple[Tensor, Tensors, Tensors]:
        """Losses, gradients and buffers of all replicas, with a graph that second derivatives pass through.

        Args:
            params: `[seeds, settings, ...]` each. Only read.
            buffers: likewise.
            batch: `[seeds, ...]` each, with `noise [seeds]` int64, the seeds of this step's randomness.
            structure: how the minibatch is nested.

        Returns:
            Losses `[seeds, settings]`, gradients like `params`, and the buffers after this evaluation.
        """
        losses, grads, after = [], [], []
        for seed, setting in _indices(params):
            own = {name: _requiring_grad(value[seed, setting]) for name, value in params.items()}
            carried = {name: value[seed, setting] for name, value in buffers.items()}
            with torch.enable_grad(), preserved():
                seed_everything(int(batch["noise"][seed]))
                minibatch = {name: value[seed] for name, value in batch.items()}
                loss, carried = self.loss_and_buffers(own, carried, minibatch, structure)
                _require_graph(loss)
                values = list(own.values())
                found = torch.autograd.grad(loss, values, create_graph=True, allow_unused=True, materialize_grads=True)
            losses.append(loss)
            grads.append(dict(zip(own, found, strict=True)))
            after.append(carried)
        shape = next(iter(params.values())).shape[:2]
        return torch.stack(losses).view(shape), _stacked(grads, shape), _stacked(after, shape)

    def one_by_one(
        self, params: Tensors, buffers: Tensors, batch: Tensors, structure: Structure, channels_last: bool
    ) -> tuple[Tensor, Tensors, Tensors]:
        """The same without a graph, by the module as it is: what a plain loop of PyTorch does for each replica.

        Args:
            params: `[seeds, settings, ...]` each. Only read.
            buffers: likewise.
            batch: `[seeds, ...]` each, with `noise [seeds]` int64, the seeds of this step's randomness.
            structure: how the minibatch is nested.
            channels_last: whether filters lie with channels last; what the convolutions make then does too.

        Returns:
            Losses `[seeds, settings]`, gradients like `params`, and the buffers after this evaluation.

        Raises:
            BadModule: the loss is no scalar, does not depend on the parameters, or changes the minibatch.
        """
        with preserved(self._draws):
            return self._one_by_one(params, buffers, batch, structure, channels_last)

    def _one_by_one(
        self, params: Tensors, buffers: Tensors, batch: Tensors, structure: Structure, channels_last: bool
    ) -> tuple[Tensor, Tensors, Tensors]:
        first = next(iter(params.values()))
        alone = first.shape[0] * first.shape[1] == 1
        losses = first.new_empty(first.shape[:2])
        grads: Tensors = {} if alone else {name: torch.empty_like(value) for name, value in params.items()}
        after = self._own(buffers)
        versions = [batch[name]._version for name in structure.names]
        for seed, setting in _indices(params):
            if setting == 0:
                nested = structure.nested({name: batch[name][seed] for name in structure.names})
                noise = batch["noise"][seed]
                number = int(noise)
            self._place(params, after, seed, setting, channels_last)
            loss, found = self._gradient(nested, noise, number)
            self._collect(after, seed, setting)
            losses[seed, setting] = loss
            for name, grad in zip(params, found, strict=True):
                value = torch.zeros_like(params[name][seed, setting]) if grad is None else grad
                value = value.to_dense() if value.is_sparse else value
                if alone:
                    grads[name] = value.contiguous().view(params[name].shape)
                else:
                    grads[name][seed, setting] = value
        for name, version in zip(structure.names, versions, strict=True):
            if batch[name]._version != version:
                raise BadModule(f"batch_loss must not change its minibatch in place, got a new {name}. Try: x = x - 1")
        return losses, grads, after

    @torch.no_grad()
    def metrics(self, params: Tensors, buffers: Tensors, measure: Callable[[nn.Module], None]) -> None:
        """Call `measure` with the module in evaluation mode, once for each replica, in their order.

        Args:
            params: `[seeds, settings, ...]` each. Only read.
            buffers: likewise.
            measure: is given the module with the replica's tensors in it, and keeps what it finds.
        """
        after = self._own(buffers)
        self.model.eval()
        try:
            with preserved():
                for seed, setting in _indices(params):
                    self._place(params, after, seed, setting)
                    seed_everything(0)
                    measure(self.model)
        finally:
            for module, training in self._modes.items():
                module.training = training

    def _gradient(self, nested: Any, noise: Tensor, number: int) -> tuple[Tensor, tuple[Tensor | None, ...]]:
        seed_everything(number, self._draws)
        with torch.enable_grad():
            if self._drops:
                mode = NoiseBySeed(noise)
                with mode:
                    loss = self._batch_loss(self.model, nested)
                self._drops = mode.drawn > 0
            else:
                loss = self._batch_loss(self.model, nested)
            _require_scalar(loss)
            _require_graph(loss)
            found = torch.autograd.grad(loss, list(self._params.values()), allow_unused=True)
        self._draws = self._draws and drawn_beyond_torch(number)
        return loss.detach(), found

    def _own(self, buffers: Tensors) -> Tensors:
        """Buffers that an evaluation may write into; frozen parameters stay where they are."""
        return {
            name: value if name in self._frozen else value.clone(memory_format=torch.contiguous_format)
            for name, value in buffers.items()
        }

    def _place(self, params: Tensors, buffers: Tensors, seed: int, setting: int, channels_last: bool = False) -> None:
        """Let a replica's tensors stand in the module."""
        for name, parameter in self._params.items():
            value = params[name][seed, setting]
            filters = channels_last and value.ndim == FILTER_DIMENSIONS
            parameter.data = value.contiguous(memory_format=torch.channels_last) if filters else value
        for name, parameter in self._frozen.items():
            parameter.data = buffers[name][seed, setting]
        for name, places in self._places.items():
            view = buffers[name][seed, setting]
            for owner, key in places:
                owner._buffers[key] = view

    def _collect(self, buffers: Tensors, seed: int, setting: int) -> None:
        """Keep what the module put in the place of a buffer; what it wrote into one is there already."""
        for name, places in self._places.items():
            found, view = _at(places[0]), buffers[name][seed, setting]
            if found.data_ptr() != view.data_ptr() or found.shape != view.shape:
                if found.shape != view.shape:
                    raise BadModule(
                        f"buffer {name!r} must keep its shape {tuple(view.shape)}, got {tuple(found.shape)}. "
                        "Try: keep what grows in a tensor of fixed size"
                    )
                view.copy_(found.detach())


def _indices(params: Tensors) -> Iterator[tuple[int, int]]:
    seeds, settings = next(iter(params.values())).shape[:2]
    return ((seed, setting) for seed in range(seeds) for setting in range(settings))


def _buffer_places(model: nn.Module) -> dict[str, list[tuple[nn.Module, str]]]:
    """Every buffer by its first name, with all places where it stands."""
    names: dict[int, str] = {}
    places: dict[str, list[tuple[nn.Module, str]]] = {}
    for prefix, module in model.named_modules():
        for key, value in module._buffers.items():
            if value is not None:
                name = names.setdefault(id(value), f"{prefix}.{key}" if prefix else key)
                places.setdefault(name, []).append((module, key))
    return places


def _at(place: tuple[nn.Module, str]) -> Tensor:
    value = place[0]._buffers[place[1]]
    assert value is not None
    return value


def _requiring_grad(value: Tensor) -> Tensor:
    return value if value.requires_grad else value.detach().requires_grad_()


def _stacked(items: list[Tensors], shape: torch.Size) -> Tensors:
    return {
        name: torch.stack([item[name] for item in items]).view(*shape, *value.shape) for name, value in items[0].items()
    }


def _require_scalar(loss: object) -> None:
    if not isinstance(loss, Tensor) or loss.ndim:
        got = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        raise BadModule(f"batch_loss must return a scalar tensor, got {got}. Try: .mean()")


def _require_graph(loss: Tensor) -> None:
    if not loss.requires_grad:
        raise BadModule(
            "batch_loss must depend on the model's parameters, got a loss without a gradient. "
            "Try: leave out detach(), no_grad() and .item()"
        )
