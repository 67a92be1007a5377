"""What `controller_directions` computes, by compiled passes: numbers are equal to its own up to rounding."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from l2obench.optimizers.base import State, Tensors
from l2obench.optimizers.designed.relative import EPSILON, is_matrix
from l2obench.optimizers.designed.short_newton_schulz import short_newton_schulz
from l2obench.optimizers.learned.controller_directions import BETA2, SMALL, names_by_shape
from l2obench.optimizers.learned.fused.step import Array, as_rows

SMALL_SINGLE, EPSILON_SINGLE, SQUARE_RATE = np.float32(SMALL), np.float32(EPSILON), np.float32(1 - BETA2)


def sum_products(grads: Tensors, params: Tensors, of: Mapping[str, State]) -> Tensor:
    """As `controller_directions.sum_products`.

    Args:
        grads: g, `[seeds, settings, ...]` each.
        params: θ, likewise.
        of: the state by name.
    """
    # Compiling, or reading compiled programs, takes a moment: only who steps waits for it.
    from l2obench.optimizers.learned.fused import direction_passes

    replicas = next(iter(of.values()))["first_rms"].shape
    sums = np.zeros((len(of), 6, replicas.numel()))
    for own, (name, memory) in zip(sums, of.items(), strict=True):
        direction_passes.sum_products(*map(as_rows, (grads[name], params[name], *_parts(memory))), own)
    return _by_replica(sums, replicas)


def directions(
    grads: Tensors, of: Mapping[str, State], beta1: Tensor, ahead_sum: Tensor, mixture: Tensor, step: int
) -> tuple[dict[str, State], Tensor]:
    """As `controller_directions.directions`. The state's memory is written.

    Args:
        grads: g, `[seeds, settings, ...]` each.
        of: the state by name.
        beta1: β₁, `[seeds, settings, tensors]`.
        ahead_sum: the sum of the weights in the look-ahead, likewise.
        mixture: p, likewise.
        step: updates done, t.
    """
    from l2obench.optimizers.learned.fused import direction_passes

    replicas = beta1.shape[:2]
    rates, scales, shares = _by_tensor(1 - beta1), _by_tensor(1 / ahead_sum), _by_tensor(mixture)
    corrections = SQUARE_RATE, np.float32(1 / (1 - BETA2 ** (step + 1))), EPSILON_SINGLE
    after = {
        name: memory | {part: memory[part].contiguous() for part in ("mean", "square", "last")}
        for name, memory in of.items()
    }
    order, sums = {name: k for k, name in enumerate(of)}, np.zeros((len(of), 4, replicas.numel()))
    nothing, no_embedding = np.empty((replicas.numel(), 0), np.float32), np.zeros(replicas.numel(), np.bool_)

    def take_gradient(name: str, ahead: Array, adam: Array) -> None:
        parts, k = map(as_rows, (grads[name], *_parts(after[name]))), order[name]
        direction_passes.take_gradient(*parts, rates[k], scales[k], *corrections, ahead, adam, sums[k])

    matrices = {name: grads[name] for name in of if is_matrix(grads[name]) and not _are_embeddings(of[name])}
    for name in of:
        if name not in matrices:
            take_gradient(name, nothing, as_rows(after[name]["last"]))
    for names in names_by_shape(matrices):
        ahead = torch.empty(len(names), *grads[names[0]].flatten(3).shape)
        adam = torch.empty_like(ahead)
        for k, name in enumerate(names):
            take_gradient(name, as_rows(ahead[k]), as_rows(adam[k]))
        orthogonal = short_newton_schulz(ahead, EPSILON).contiguous()
        for k, name in enumerate(names):
            memory, tensor = after[name], order[name]
            is_embedding = memory["embedding"].flatten().numpy() if "embedding" in memory else no_embedding
            parts = map(as_rows, (orthogonal[k], adam[k], memory["last"], grads[name]))
            direction_passes.mix(*parts, shares[tensor], is_embedding, SMALL_SINGLE, sums[tensor])
    return after, _by_replica(sums, replicas)


def descend(of: Mapping[str, State], params: Tensors, size: Tensor, decay: Tensor, decaying: Sequence[bool]) -> Tensors:
    """As `controller_directions.descend`.

    Args:
        of: the state by name.
        params: θ, `[seeds, settings, ...]` each.
        size: of the step, `[seeds, settings, tensors]`.
        decay: the share of θ that goes, likewise.
        decaying: whether any does, of each tensor.
    """
    from l2obench.optimizers.learned.fused import direction_passes

    sizes, decays, updates = _by_tensor(size), _by_tensor(decay), {}
    nothing = np.empty((sizes.shape[1], 0), np.float32)
    for k, (name, memory) in enumerate(of.items()):
        updates[name] = torch.empty_like(memory["last"])
        param = as_rows(params[name]) if decaying[k] else nothing
        direction_passes.descend(as_rows(memory["last"]), param, sizes[k], decays[k], as_rows(updates[name]))
    return updates


def _are_embeddings(memory: State) -> bool:
    """Whether a tensor is an embedding in all replicas: nobody needs its orthogonalised momentum then."""
    return "embedding" in memory and bool(memory["embedding"].all())


def _parts(memory: State) -> tuple[Tensor, Tensor, Tensor]:
    """The mean, the square and the last direction of a tensor."""
    return memory["mean"], memory["square"], memory["last"]


def _by_tensor(values: Tensor) -> Array:
    """`[tensors, replicas]` of `[seeds, settings, tensors]`."""
    return np.ascontiguousarray(values.flatten(0, 1).numpy().T)


def _by_replica(sums: Array, replicas: torch.Size) -> Tensor:
    """`[sums, seeds, settings, tensors]` of `[tensors, sums, replicas]`."""
    found = np.ascontiguousarray(sums.transpose(1, 2, 0), dtype=np.float32)
    return torch.from_numpy(found).view(len(found), *replicas, -1)
