"""The small learned optimizer of Metz et al. 2022: a perceptron of four units on Adafactor's features."""

from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from l2obench.optimizers.base import State, Tensors, per_replica
from l2obench.optimizers.learned.accumulators import (
    FACTORED_DECAYS,
    MOMENTUM_DECAYS,
    SQUARE_DECAY,
    Accumulators,
    accumulate,
    initial_accumulators,
)
from l2obench.optimizers.learned.fused.rule import FusedRule
from l2obench.optimizers.learned.fused.step import Formula, Network, Rates, as_network, fused_step, learned_rates
from l2obench.optimizers.learned.perceptron import TIMESCALES, PerceptronOptimizer

COUNT = len(FACTORED_DECAYS)
SMALLEST_OF_VECTORS = 1e-6


class AdafacMLP(FusedRule, PerceptronOptimizer):
    """u = −0.001 · d · exp(0.001 · a) with [d, a] = net(features): two layers of four units, 39 inputs.

    The accumulators are m_β ← β m_β + (1 − β) g for three β; v ← β v + (1 − β) g² for one; and, for three β, what
    Adafactor keeps of g² + 1e-30: means r over the largest dimension of the tensor and c over its second largest. They
    stand for 1 / √v as s = (r / (mean(r) + 1e-9))^−½ · c^−½, with mean(r) over the second largest dimension and both
    factors at most 1e9^½. Vectors and scalars have one w ← β w + (1 − β) (g² + 1e-30) in place of r and of c.

    The features: g; θ; the three m; v; the three m / √(v + 1e-6); 1 / √(v + 1e-6); three g s (g / √(w + 1e-9) for
    vectors); the three r; the three c; three 1 / √(r + 1e-8) and three 1 / √(c + 1e-8); three m s (m / √(w + 1e-6) for
    vectors). Each is divided by its root mean square over the tensor, and eleven for the time follow, as in `mlp`.

    The decays are meta-parameters too: 1 − β = (1 − β₀) e^{10 δ}, for second moments no more than 1, with δ = 0 at
    first and β₀ of 0.9, 0.99 and 0.999 (0.999 for v).

    State: `step` t, and under `of` for each tensor by its name: `momenta` m `[3, seeds, settings, ...]`, `square` v
    `[seeds, settings, ...]`, `rows` r and `columns` c `[3, seeds, settings, ...]` with size 1 along the dimension they
    are means over. Vectors and scalars have w under `rows`, and no `columns`.

    Source: Metz et al. 2022, "Practical tradeoffs between memory, compute, and performance in learned optimizers"
    (`small_fc_lopt`), with the values of their released code (google/learned_optimization, `adafac_mlp_lopt.py`).
    """

    name: ClassVar[str] = "adafac-mlp"
    has_fused_step: ClassVar[bool] = True
    features: ClassVar[int] = 2 + 3 + 1 + 3 + 1 + 6 * COUNT
    outputs_are_largest: ClassVar[bool] = False
    """How ties between dimensions are broken, as `accumulate` has it."""

    hidden: int = Field(default=4, ge=1, le=1024)
    """Units of each hidden layer. The default is the released code's."""

    def network_shapes(self) -> dict[str, tuple[int, ...]]:
        decays = {"momentum_decays": (len(MOMENTUM_DECAYS),), "square_decay": (), "factored_decays": (COUNT,)}
        return {**super().network_shapes(), **decays}

    def flops_per_coordinate(self) -> float | None:
        """Of a vector; of a larger tensor the factors are shared by rows and columns, which saves some thirty."""
        squares = 1 + 3 + 1 + 3 * COUNT  # g², v, + 1e-30, w
        features = 3 * len(MOMENTUM_DECAYS) + 2 + 3 + COUNT * (3 + 4 + 3)
        return squares + features + self.network_flops() + 5

    def init(self, params: Tensors) -> State:
        self.require_trained()
        largest = self.outputs_are_largest
        return {"step": 0, "of": {name: initial_accumulators(param, largest) for name, param in params.items()}}

    def update(self, grads: Tensors, state: State, params: Tensors) -> tuple[Tensors, State]:
        updates, memory = {}, {}
        network: Network | None = None
        for name, grad in grads.items():
            if self.can_fuse(grad, params[name], state["of"][name]):
                network = network or self._fused_network(state["step"])
                updates[name], memory[name] = self._fused_update(grad, params[name], state["of"][name], network)
                continue
            accumulators, memory[name] = self._accumulate_gradient(grad, state["of"][name])
            outputs = self.network_outputs(_features(grad, params[name], accumulators), state["step"])
            updates[name] = self._update(outputs, accumulators) * (-per_replica(self.lr, grad))
        return updates, {"step": state["step"] + 1, "of": memory}

    def _update(self, outputs: Tensor, accumulators: Accumulators) -> Tensor:
        """−u from the network's outputs."""
        return outputs[0] * (outputs[1] * self.magnitude_scale).exp() * self.step_size

    def _fused_update(self, grad: Tensor, param: Tensor, memory: State, network: Network) -> tuple[Tensor, State]:
        """What `update` does with one tensor, as one program."""
        formula = Formula(
            like_celo=False,
            outputs_are_largest=self.outputs_are_largest,
            smallest_of_vectors=SMALLEST_OF_VECTORS,
            magnitude_scale=self.magnitude_scale,
        )
        sizes = (self.lr * -size for size in self._sizes())
        return fused_step(grad, param, memory, self._fused_rates(), formula, network, *sizes)

    def _fused_network(self, step: int) -> Network:
        time = np.tanh(np.float32(step) / np.array(TIMESCALES, dtype=np.float32) - np.float32(1))
        phi, count = self.meta_parameters, self.layers + 1
        return as_network([(phi[f"layer{k}.weight"], phi[f"layer{k}.bias"]) for k in range(count)], time)

    def _sizes(self) -> tuple[float, ...]:
        """What the network's direction is multiplied by; then, in `star`, the nominal term."""
        return (self.step_size,)

    def _fused_rates(self) -> Rates:
        return learned_rates(SQUARE_DECAY, self.meta_parameters)

    def _accumulate_gradient(self, grad: Tensor, memory: State) -> tuple[Accumulators, State]:
        """The accumulators with a gradient in them, at the decays that φ says, and the tensor's next state."""
        momentum = self._rates_of_decays("momentum_decays", MOMENTUM_DECAYS, grad)
        square = self._rates_of_decays("square_decay", (SQUARE_DECAY,), grad)[0].clamp(0, 1)
        factored = self._rates_of_decays("factored_decays", FACTORED_DECAYS, grad).clamp(0, 1)
        return accumulate(
            grad,
            memory,
            momentum,
            square,
            factored,
            smallest_of_vectors=SMALLEST_OF_VECTORS,
            outputs_are_largest=self.outputs_are_largest,
        )

    def _rates_of_decays(self, name: str, decays: tuple[float, ...], like: Tensor) -> Tensor:
        """1 − β for each of `decays`, ready to multiply `[decays, seeds, settings, ...]`."""
        rates = torch.tensor([1 - decay for decay in decays], dtype=like.dtype, device=like.device)
        return (rates * (10 * self.meta_parameters[name].to(like)).exp()).view(-1, *[1] * like.ndim)


def _features(grad: Tensor, param: Tensor, accumulators: Accumulators) -> Tensor:
    """The inputs that differ between coordinates, `[28, seeds, settings, ...]`."""
    own = [
        grad[None],
        param[None],
        accumulators.momenta,
        accumulators.square[None],
        accumulators.directions,
        accumulators.inverse_root[None],
    ]
    return torch.cat([*own, accumulators.scaled_grad, *accumulators.kept, accumulators.scaled_momenta])
