"""The thirty features of a coordinate that VeLO, Celo and Celo2 share, and the accumulators that they come from."""

import torch
from torch import Tensor

from l2obench.optimizers.base import State
from l2obench.optimizers.learned.accumulators import FACTORED_DECAYS, MOMENTUM_DECAYS, Accumulators, accumulate

FEATURES = 30
VECTOR_FEATURES = 15
"""How many of them come before those of the factors, which vectors lack where a rule says so."""
# Both as in the released code, with which published weights were trained.
LARGEST_GRADIENT = 1000.0
CLIP = 0.1


def accumulate_gradient(
    grad: Tensor, memory: State, square_decay: float, epsilon: float, smallest_of_vectors: float = 0.0
) -> tuple[Accumulators, State]:
    """A tensor's accumulators with its gradient in them, at fixed decays, ties broken as published weights need it.

    Args:
        grad: `[seeds, settings, ...]`.
        memory: of this tensor, from `initial_accumulators(param, outputs_are_largest=True)` or the last call; consumed.
        square_decay: β of v.
        epsilon: ε beside v.
        smallest_of_vectors: as in `accumulate`.
    """

    def weights(decays: tuple[float, ...]) -> Tensor:
        rates = torch.tensor([1 - decay for decay in decays], dtype=grad.dtype, device=grad.device)
        return rates.view(-1, *[1] * grad.ndim)

    return accumulate(
        grad,
        memory,
        weights(MOMENTUM_DECAYS),
        1 - square_decay,
        weights(FACTORED_DECAYS),
        smallest_of_vectors=smallest_of_vectors,
        epsilon=epsilon,
        outputs_are_largest=True,
    )


def coordinate_features(grad: Tensor, param: Tensor, known: Accumulators) -> Tensor:
    """The features `[30, seeds, settings, ...]` of a tensor, not yet normalised.

    In this order, with q = 1 / √(v + ε): g; g within ±0.1; θ; three m; v; three m q; q; three g s; g q; three r; three
    c; three 1 / √(r + 1e-8); three 1 / √(c + 1e-8); three m s. `accumulate` says what m, v, r, c and s are.

    Args:
        grad: `[seeds, settings, ...]`.
        param: θ, likewise.
        known: the accumulators with this gradient in them.

    Source: Metz et al. 2022, "VeLO", the released code (google/learned_optimization).
    """
    own = [grad[None], grad.clamp(-CLIP, CLIP)[None], param[None], known.momenta, known.square[None]]
    scaled = [known.directions, known.inverse_root[None], known.scaled_grad, (grad * known.inverse_root)[None]]
    return torch.cat([*own, *scaled, *known.kept, known.scaled_momenta])
