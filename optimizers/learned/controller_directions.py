"""The directions that `controller` steers: Adam's, the orthogonalised momentum's, and a mixture of the two."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from l2obench.optimizers.base import State, Tensors, blend, per_replica, power
from l2obench.optimizers.designed.relative import EPSILON, find_embeddings, is_matrix
from l2obench.optimizers.designed.short_newton_schulz import short_newton_schulz

BETA2 = 0.99
FIRST_STEPS = 10
"""Steps in which a gradient may still show that a parameter is an embedding."""
SMALL = 1e-8
"""Against 0/0 where a direction is zero."""


def look_for_embedding(grad: Tensor, memory: State, step: int) -> State:
    """The same state, with `embedding` decided where the gradient shows it.

    Args:
        grad: `[seeds, settings, ...]`.
        memory: as `Controller.init` makes it.
        step: updates done, t.
    """
    if step >= FIRST_STEPS or "embedding" not in memory:
        return memory
    return memory | find_embeddings(grad, memory)


def sum_products(grads: Tensors, params: Tensors, of: Mapping[str, State]) -> Tensor:
    """Sums over each tensor's coordinates, of the state before this gradient enters it.

    Args:
        grads: g, `[seeds, settings, ...]` each.
        params: θ, likewise.
        of: by name, as `Controller.init` makes it.

    Returns:
        Sums of g², m², g m, g d, v and θ², where d is the last direction, `[6, seeds, settings, tensors]`.
    """
    # One product of three rows with themselves is cheaper than four sums.
    rows = (_rows(grads[name], memory["mean"], memory["last"]) for name, memory in of.items())
    products = torch.stack([row @ row.mT for row in rows], 2)
    squares = per_tensor(_flat(memory["square"]).sum(-1) for memory in of.values())
    weights = per_tensor(torch.linalg.vector_norm(_flat(params[name]), dim=-1) for name in of).square()
    both = ((0, 0), (1, 1), (0, 1), (0, 2))
    return torch.stack([*(products[..., i, j] for i, j in both), squares, weights])


def directions(
    grads: Tensors, of: Mapping[str, State], beta1: Tensor, ahead_sum: Tensor, mixture: Tensor, step: int
) -> tuple[dict[str, State], Tensor]:
    """D of each tensor, as `last` of its next state; and sums over its coordinates.

    m ← β₁ m + (1 − β₁) g, with Nesterov's look-ahead and corrected by the sum of its weights; A = m̂ / √v̂. A matrix has
    D = p O / rms(O) + (1 − p) A / rms(A), brought to rms 1; all else, and embeddings, D = A.

    Args:
        grads: g, `[seeds, settings, ...]` each.
        of: by name, as `Controller.init` makes it.
        beta1: β₁, `[seeds, settings, tensors]`.
        ahead_sum: the sum of the weights in the look-ahead, of the same shape.
        mixture: p, of the same shape.
        step: updates done, t.

    Returns:
        The next states, and sums of A², D², D d and D g, d being the last direction, `[4, seeds, settings, tensors]`.
    """
    adam, ahead, after = {}, {}, {}
    for k, (name, memory) in enumerate(of.items()):
        grad, decay = grads[name], per_replica(beta1[..., k], grads[name])
        mean = blend(memory["mean"], grad, 1 - decay)
        square = blend(memory["square"], grad * grad, 1 - BETA2)
        ahead[name] = torch.lerp(mean, grad, 1 - decay) / per_replica(ahead_sum[..., k], grad)
        adam[name] = ahead[name] / ((square / (1 - power(BETA2, step + 1))).sqrt() + EPSILON)
        after[name] = memory | {"mean": mean, "square": square}
    found, order = dict(adam), list(of)
    for names in names_by_shape({name: ahead[name] for name in of if is_matrix(grads[name])}):
        orthogonal = _unit(short_newton_schulz(_matrices(ahead, names), EPSILON))
        share = torch.stack([mixture[..., order.index(name)] for name in names], -1)[..., None, None]
        mixed = _unit(share * orthogonal + (1 - share) * _unit(_matrices(adam, names)))
        for name, matrix in zip(names, mixed.unbind(2), strict=True):
            found[name] = matrix.reshape(grads[name].shape)
            if "embedding" in after[name]:
                found[name] = torch.where(after[name]["embedding"][..., None, None], adam[name], found[name])
    rows = (_rows(found[name], memory["last"], grads[name]) for name, memory in of.items())
    products = torch.stack([(row[..., :1, :] @ row.mT)[..., 0, :] for row in rows], 2)
    adam_squares = per_tensor(torch.linalg.vector_norm(_flat(adam[name]), dim=-1) for name in of).square()
    sums = torch.stack([adam_squares, *products.unbind(-1)])
    return {name: memory | {"last": found[name]} for name, memory in after.items()}, sums


def descend(of: Mapping[str, State], params: Tensors, size: Tensor, decay: Tensor, decaying: Sequence[bool]) -> Tensors:
    """u = −size · D − decay · θ of each tensor.

    Args:
        of: the states that `directions` gives.
        params: θ, `[seeds, settings, ...]` each.
        size: `[seeds, settings, tensors]`.
        decay: likewise.
        decaying: whether any of it is above 0, of each tensor: θ is read only there.
    """
    updates = {}
    for k, (name, memory) in enumerate(of.items()):
        updates[name] = memory["last"] * per_replica(-size[..., k], memory["last"])
        if decaying[k]:
            updates[name] = updates[name] - per_replica(decay[..., k], memory["last"]) * params[name]
    return updates


def per_tensor(values: Iterable[Tensor]) -> Tensor:
    """`[seeds, settings, tensors]` of `[seeds, settings]` of each tensor.

    Args:
        values: one for each tensor.
    """
    return torch.stack(list(values), -1)


def names_by_shape(matrices: Tensors) -> Iterable[list[str]]:
    """Names of the matrices of one shape together: many small products are slower than few larger ones.

    Args:
        matrices: `[seeds, settings, ...]` each.
    """
    names: dict[tuple[int, ...], list[str]] = {}
    for name, matrix in matrices.items():
        names.setdefault(tuple(matrix.flatten(3).shape[2:]), []).append(name)
    return names.values()


def _matrices(tensors: Tensors, names: Iterable[str]) -> Tensor:
    """Tensors of one shape as matrices `[seeds, settings, tensors, rows, columns]`."""
    return torch.stack([tensors[name].flatten(3) for name in names], 2)


def _unit(matrices: Tensor) -> Tensor:
    """Matrices brought to a root mean square of 1."""
    rms = torch.linalg.matrix_norm(matrices, keepdim=True) / matrices[0, 0, 0].numel() ** 0.5
    unit: Tensor = matrices / (rms + SMALL)
    return unit


def _rows(*tensors: Tensor) -> Tensor:
    """`[seeds, settings, tensors, coordinates]`."""
    return torch.stack([_flat(tensor) for tensor in tensors], 2)


def _flat(tensor: Tensor) -> Tensor:
    return tensor.reshape(*tensor.shape[:2], -1)
