"""The directions that `controller` steers: Adam's, the orthogonalised momentum's, and a mixture of the two."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from l2obench.optimizers.base import State, Tensors, blend, per_replica, power
from l2obench.optimizers.designed.newton_schulz import newton_schulz
from l2obench.optimizers.designed.relative import EPSILON, find_embeddings, is_matrix, root_mean_square

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


def sum_products(grads: Tensors, of: Mapping[str, State], step: int) -> dict[str, Tensor]:
    """Sums over each tensor's coordinates, of the state before this gradient enters it.

    Args:
        grads: g, `[seeds, settings, ...]` each.
        of: by name, as `Controller.init` makes it.
        step: updates done, t.

    Returns:
        `gg` of g², `mm` of m², `gm` of g m, `gd` of g and the last direction, `v` of v / (1 − β₂ᵗ);
        `[seeds, settings, tensors]` each.
    """
    pairs = [(grads[name], memory) for name, memory in of.items()]
    return {
        "gg": per_tensor(_dot(grad, grad) for grad, _ in pairs),
        "mm": per_tensor(_dot(memory["mean"], memory["mean"]) for _, memory in pairs),
        "gm": per_tensor(_dot(grad, memory["mean"]) for grad, memory in pairs),
        "gd": per_tensor(_dot(grad, memory["last"]) for grad, memory in pairs),
        "v": per_tensor(_rows(memory["square"]).sum(-1) for _, memory in pairs) / max(1 - BETA2**step, SMALL),
    }


def directions(
    grads: Tensors, of: Mapping[str, State], beta1: Tensor, weight_sum: Tensor, mixture: Tensor | None, step: int
) -> tuple[dict[str, Tensor], dict[str, State], Tensor]:
    """D of each tensor, the next state of each, and the logarithm of rms(A).

    m ← β₁ m + (1 − β₁) g, with Nesterov's look-ahead and corrected by the sum of its weights; A = m̂ / √v̂. A matrix has
    D = p O / rms(O) + (1 − p) A / rms(A), brought to rms 1; all else, and embeddings, D = A.

    Args:
        grads: g, `[seeds, settings, ...]` each.
        of: by name, as `Controller.init` makes it.
        beta1: β₁, `[seeds, settings, tensors]`.
        weight_sum: the sum of the weights in m with this gradient in it, of the same shape.
        mixture: p, of the same shape; None: 1.
        step: updates done, t.
    """
    adam, ahead, after, log_rms = {}, {}, {}, []
    ahead_sum = beta1 * weight_sum + 1 - beta1
    for k, (name, memory) in enumerate(of.items()):
        grad, decay = grads[name], per_replica(beta1[..., k], grads[name])
        mean = blend(memory["mean"], grad, 1 - decay)
        square = blend(memory["square"], grad * grad, 1 - BETA2)
        ahead[name] = torch.lerp(mean, grad, 1 - decay) / per_replica(ahead_sum[..., k], grad)
        adam[name] = ahead[name] / ((square / (1 - power(BETA2, step + 1))).sqrt() + EPSILON)
        log_rms.append((root_mean_square(adam[name]) + SMALL).log())
        after[name] = memory | {"mean": mean, "square": square}
    found = dict(adam)
    for name, orthogonal in _orthogonalised({name: ahead[name] for name in of if is_matrix(grads[name])}).items():
        k = list(of).index(name)
        mixed = _unit(orthogonal)
        if mixture is not None:
            share = per_replica(mixture[..., k], mixed)
            mixed = _unit(share * mixed + (1 - share) * adam[name] / per_replica(log_rms[k].exp(), mixed))
        if "embedding" in after[name]:
            mixed = torch.where(after[name]["embedding"][..., None, None], adam[name], mixed)
        found[name] = mixed
    return found, after, torch.stack(log_rms, -1)


def remember_directions(
    found: Tensors, of: Mapping[str, State], last_norm: Tensor
) -> tuple[dict[str, State], Tensor, Tensor]:
    """The states with this step's directions in them, cos(D, last D), and ‖D‖, `[seeds, settings, tensors]` each.

    Args:
        found: D by name.
        of: by name, as `directions` gives it.
        last_norm: ‖D‖ of the step before.
    """
    norm = per_tensor(_dot(found[name], found[name]) for name in of).sqrt()
    along = per_tensor(_dot(found[name], memory["last"]) for name, memory in of.items())
    cosine = along / (norm + SMALL) / (last_norm + SMALL)
    return {name: memory | {"last": found[name]} for name, memory in of.items()}, cosine, norm


def per_tensor(values: Iterable[Tensor]) -> Tensor:
    """`[seeds, settings, tensors]` of `[seeds, settings]` of each tensor.

    Args:
        values: one for each tensor.
    """
    return torch.stack(list(values), -1)


def _orthogonalised(matrices: Tensors) -> Tensors:
    """Newton–Schulz of each, those of one shape together: many small products are slower than few larger ones."""
    by_shape: dict[tuple[int, ...], list[str]] = {}
    for name, matrix in matrices.items():
        by_shape.setdefault(tuple(matrix.flatten(3).shape[2:]), []).append(name)
    found = {}
    for names in by_shape.values():
        stacked = torch.stack([matrices[name].flatten(3) for name in names], 2)
        for name, orthogonal in zip(names, newton_schulz(stacked, EPSILON).unbind(2), strict=True):
            found[name] = orthogonal.reshape(matrices[name].shape)
    return found


def _unit(direction: Tensor) -> Tensor:
    """A direction brought to a root mean square of 1."""
    return direction / per_replica(root_mean_square(direction) + SMALL, direction)


def _rows(tensor: Tensor) -> Tensor:
    return tensor.reshape(*tensor.shape[:2], -1)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    product: Tensor = torch.linalg.vecdot(_rows(a), _rows(b))
    return product
