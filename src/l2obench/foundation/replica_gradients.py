"""Losses and gradients of all replicas at once, of a function that is written for one.

There are two ways. The gradient of the sum of all losses is that of each, since none depends on another's parameters.
That is faster, for the backward pass is free of `torch.vmap`, and does not import PyTorch's compiler. By `torch.func`
each loss is differentiated inside `torch.vmap`: autograd can pass through that, and some operators are batched only
there.
"""

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.func import grad_and_value
from torch.utils._pytree import tree_map

from l2obench.foundation.tensors import Tensors

Evaluate = Callable[[Tensors, Tensors, Tensors], tuple[Tensor, Tensors]]
"""The scalar loss of one replica and its buffers afterwards, from its parameters, buffers and minibatch."""
Found = tuple[Tensor, Tensors, Tensors]
"""Losses `[seeds, settings]`, gradients like the parameters, and the buffers afterwards."""
NOT_BATCHED = "Batching rule not implemented"


_only_by_func: "weakref.WeakSet[type]" = weakref.WeakSet()


def replica_gradients(owner: type, evaluate: Evaluate, params: Tensors, buffers: Tensors, batch: Tensors) -> Found:
    """Take the faster way where it can be taken; a class that turned out to need the other one takes that from then on.

    Args:
        owner: the class whose function it is.
        evaluate, params, buffers, batch: as `gradient_of_sum` takes them.

    Raises:
        ValueError: the loss of one replica is no scalar.

    Example:
        >>> params = {"theta": torch.tensor([[[1.0, 2.0]], [[3.0, 4.0]]])}
        >>> half_square = lambda params, buffers, batch: (params["theta"].square().sum() / 2, buffers)
        >>> losses, grads, _ = replica_gradients(object, half_square, params, {}, {})
        >>> losses.flatten(), torch.equal(grads["theta"], params["theta"])
        (tensor([ 2.5000, 12.5000]), True)
    """
    # The compiler follows `torch.func`, and not autograd.
    if not (torch.compiler.is_compiling() or owner in _only_by_func):
        try:
            return gradient_of_sum(evaluate, params, buffers, batch)
        except RuntimeError as error:
            if NOT_BATCHED not in str(error):
                raise
            _only_by_func.add(owner)
    return gradient_of_each(evaluate, params, buffers, batch)


def gradient_of_sum(
    evaluate: Evaluate, params: Tensors, buffers: Tensors, batch: Tensors, own_views: bool = False
) -> Found:
    """Differentiate the sum of all losses.

    Args:
        evaluate: one replica.
        params: `[seeds, settings, ...]` each. Only read.
        buffers: likewise.
        batch: `[seeds, ...]` each, shared by all settings of a seed.
        own_views: give every setting a view of the minibatch.

    Returns:
        All without a graph. A gradient is zero where no loss depends on the parameter.

    Raises:
        ValueError: the loss of one replica is no scalar.
        RuntimeError: `torch.vmap` cannot follow.
    """
    with torch.enable_grad():
        leaves = {name: value.detach().requires_grad_() for name, value in params.items()}
        losses, after = _batched(evaluate, leaves, buffers, batch, own_views)
        if losses.shape != (wanted := next(iter(params.values())).shape[:2]):
            raise ValueError(f"the loss must be a scalar, got shape {tuple(losses.shape[len(wanted) :])}. Try: .mean()")
        found = tuple(torch.zeros_like(value) for value in params.values())
        if losses.requires_grad:
            values = list(leaves.values())
            found = torch.autograd.grad(losses.sum(), values, allow_unused=True, materialize_grads=True)
    after = {name: value.detach() for name, value in after.items()}
    return losses.detach(), dict(zip(params, found, strict=True)), after


def gradient_of_each(
    evaluate: Evaluate, params: Tensors, buffers: Tensors, batch: Tensors, own_views: bool = False
) -> Found:
    """Differentiate each loss, by `torch.func`: the same, and autograd can pass through it.

    Args:
        evaluate, params, buffers, batch, own_views: as `gradient_of_sum` takes them.
    """
    grads, (losses, after) = _batched(grad_and_value(evaluate, has_aux=True), params, buffers, batch, own_views)
    return losses, grads, after


def _batched(function: Callable[..., Any], params: Tensors, buffers: Tensors, batch: Tensors, own_views: bool) -> Any:
    settings = next(iter(params.values())).shape[1]
    if settings == 1:  # A second `torch.vmap` would cost a small model a tenth of its step.
        alone = torch.vmap(function)(_without_settings(params), _without_settings(buffers), batch)
        return tree_map(lambda value: value.unsqueeze(1), alone)
    if own_views:
        batch = {name: value.unsqueeze(1).expand(-1, settings, *value.shape[1:]) for name, value in batch.items()}
    per_setting = torch.vmap(function, in_dims=(0, 0, 0 if own_views else None))
    return torch.vmap(per_setting)(params, buffers, batch)


def _without_settings(tensors: Tensors) -> Tensors:
    return {name: value.squeeze(1) for name, value in tensors.items()}
