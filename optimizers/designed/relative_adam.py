"""Relative Adam: Adam's direction, steps relative to the size of the weights, a cosine to zero."""

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from l2obench.optimizers.designed.relative import RelativeOptimizer
from l2obench.optimizers.search_space import Decay, Dimension, LogRange


class RelativeAdam(RelativeOptimizer):
    """u = −lr · w(t) · c(t) · s(θ) · m̂ / √v̂ for every tensor.

    The moments, the size s(θ), warm-up w and cosine c are those of
    `l2obench.optimizers.designed.relative.RelativeOptimizer`. Beside `relative-muon` it shows what the relative step
    and the schedule are worth without orthogonalisation.

    State: as `RelativeOptimizer` describes.

    Source: Kingma & Ba 2015, algorithm 1, with the look-ahead of Dozat 2016 (NAdam); You et al. 2020, "Large batch
    optimization for deep learning" (LAMB), algorithm 2, for steps relative to the weights. Floor and cap are ours.

    Example:
        >>> import torch
        >>> params = {"b": torch.full((1, 1, 3), 0.5)}
        >>> rule = RelativeAdam()
        >>> state = rule.observe(rule.init(params), losses=torch.ones(1, 1), horizon=10)
        >>> updates, state = rule.update({"b": torch.tensor([[[1e-6, -1.0, 0.0]]])}, state, params)
        >>> updates["b"]
        tensor([[[-0.0180,  0.0180, -0.0000]]])
    """

    name: ClassVar[str] = "relative-adam"
    search_space: ClassVar[Mapping[str, Dimension] | None] = {
        "lr": LogRange(2e-3, 0.5),
        "beta1": Decay(0.5, 0.98),
        "beta2": Decay(0.9, 0.999),
    }

    def matrix_direction(self, mean: Tensor, adam: Tensor) -> Tensor:
        return adam

    def flops_per_coordinate(self) -> float | None:
        # m, v and the look-ahead are blended by 3 each; g²; two corrections; √, + ε, m̂ / ( ); θ² and its sum; the rate.
        return 3 * 3 + 1 + 2 + 3 + 2 + 1
