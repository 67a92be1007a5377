"""Relative Muon: orthogonalised momentum, steps relative to the size of the weights, a cosine to zero."""

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from l2obench.optimizers.designed.newton_schulz import newton_schulz
from l2obench.optimizers.designed.relative import EPSILON, RelativeOptimizer, root_mean_square
from l2obench.optimizers.search_space import Decay, Dimension, LogRange


class RelativeMuon(RelativeOptimizer):
    """u = −lr · w(t) · c(t) · s(θ) · D, with D = O / rms(O) for matrices, O ≈ U Vᵀ of the momentum m̂ = U S Vᵀ.

    O comes from five Newton–Schulz steps. All that is no matrix, and embeddings, have Adam's direction. The moments,
    the size s(θ), warm-up w and cosine c are those of `l2obench.optimizers.designed.relative.RelativeOptimizer`. One
    rate serves every task without tuning; the rule must know the length of the run.

    Functions whose parameters are no weights (`quadratic`, `chained-rosenbrock`) have no size to be relative to, and
    there the rule is poor.

    State: as `RelativeOptimizer` describes.

    Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks", for the direction; You et al.
    2017 and 2020 (LARS, LAMB) for relative steps. The combination, floor and cap are ours.

    Example:
        >>> import torch
        >>> params = {"w": torch.eye(2).view(1, 1, 2, 2)}
        >>> rule = RelativeMuon()
        >>> state = rule.observe(rule.init(params), losses=torch.ones(1, 1), horizon=10)
        >>> updates, state = rule.update({"w": torch.tensor([[[[0.0, 3.0], [0.0, 1.0]]]])}, state, params)
        >>> round(float(updates["w"].square().mean().sqrt() / params["w"].square().mean().sqrt()), 4)
        0.036
    """

    name: ClassVar[str] = "relative-muon"
    search_space: ClassVar[Mapping[str, Dimension] | None] = {
        "lr": LogRange(2e-3, 0.5),
        "beta1": Decay(0.5, 0.98),
        "beta2": Decay(0.9, 0.999),
    }

    def matrix_direction(self, mean: Tensor, adam: Tensor) -> Tensor:
        orthogonal = newton_schulz(mean, EPSILON)
        size = root_mean_square(orthogonal)[..., None, None]
        return orthogonal / (size + EPSILON)
