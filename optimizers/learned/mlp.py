"""The learned optimizer of Metz et al.: a small perceptron for every coordinate, without a memory of its own."""

from typing import ClassVar

import torch

from l2obench.optimizers.base import State, Tensors, blend, per_replica
from l2obench.optimizers.learned.perceptron import PerceptronOptimizer

DECAYS = (0.1, 0.5, 0.9, 0.99, 0.999, 0.9999)


class MLP(PerceptronOptimizer):
    """u = −0.001 · d · exp(0.001 · a) with [d, a] = net(features), for every coordinate.

    The 19 features: the gradient, the parameter and six momenta m_β ← β m_β + (1 − β) g with β of 0.1, 0.5, 0.9, 0.99,
    0.999 and 0.9999, each divided by its root mean square over the tensor (ε = 1e-5 under the root); and the time,
    tanh(t / τ − 1) for eleven τ from 1 to 100,000. The network: two layers of 32 units with ReLU, shared over
    coordinates.

    State: `momenta`, for each tensor by its name the m_β `[6, seeds, settings, ...]`; `step` t.

    Source: Metz et al. 2019, "Understanding and correcting pathologies in the training of learned optimizers", with the
    values of their released code (google/learned_optimization, `mlp_lopt.py`). Because a feature is divided by its size
    over the tensor, this rule is not coordinatewise.
    """

    name: ClassVar[str] = "mlp"
    features: ClassVar[int] = 2 + len(DECAYS)

    def flops_per_coordinate(self) -> float | None:
        return 3 * len(DECAYS) + self.network_flops() + 4

    def init(self, params: Tensors) -> State:
        self.require_trained()
        momenta = {name: value.new_zeros(len(DECAYS), *value.shape) for name, value in params.items()}
        return {"momenta": momenta, "step": 0}

    def update(self, grads: Tensors, state: State, params: Tensors) -> tuple[Tensors, State]:
        updates, momenta = {}, {}
        for name, grad in grads.items():
            weights = 1 - torch.tensor(DECAYS, dtype=grad.dtype, device=grad.device).view(-1, *[1] * grad.ndim)
            momenta[name] = blend(state["momenta"][name], grad.expand(len(DECAYS), *grad.shape), weights)
            features = torch.cat([grad[None], params[name][None], momenta[name]])
            direction, magnitude = self.network_outputs(features, state["step"])
            update = direction * (magnitude * self.magnitude_scale).exp()
            updates[name] = update * (-self.step_size * per_replica(self.lr, grad))
        return updates, {"momenta": momenta, "step": state["step"] + 1}
