"""The small learned optimizer of Metz et al. 2022: a perceptron of four units on Adafactor's features."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from optimizers.base import State, Tensors, blend, per_replica
from optimizers.perceptron import PerceptronOptimizer

MOMENTUM_DECAYS = (0.9, 0.99, 0.999)
SQUARE_DECAY = 0.999
FACTORED_DECAYS = (0.9, 0.99, 0.999)
COUNT = len(FACTORED_DECAYS)
SMALLEST = 1e-9  # of what is factored, under a root


@dataclass(frozen=True)
class Seen:
    """What a rule of this kind knows of one parameter tensor."""

    features: Tensor
    """`[28, seeds, settings, ...]`."""
    directions: Tensor
    """m_β / √(v + 1e-6), `[3, seeds, settings, ...]`."""
    inverse_root: Tensor
    """1 / √(v + 1e-6), `[seeds, settings, ...]`."""


class AdafacMLP(PerceptronOptimizer):
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

    Source: Metz et al. 2022, "Practical tradeoffs between memory, compute, and performance in learned optimizers"
    (`small_fc_lopt`), with the values of their released code (google/learned_optimization, `adafac_mlp_lopt.py`).
    """

    name: ClassVar[str] = "adafac-mlp"
    features: ClassVar[int] = 2 + 3 + 1 + 3 + 1 + 6 * COUNT

    hidden: int = Field(default=4, ge=1, le=1024)

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
        return {"step": 0, "of": {name: _nothing_seen(param) for name, param in params.items()}}

    def update(self, grads: Tensors, state: State, params: Tensors) -> tuple[Tensors, State]:
        updates, memory = {}, {}
        for name, grad in grads.items():
            seen, memory[name] = self._look(grad, params[name], state["of"][name])
            outputs = self.respond(seen.features, state["step"])
            updates[name] = self._update(outputs, seen) * (-per_replica(self.lr, grad))
        return updates, {"step": state["step"] + 1, "of": memory}

    def _update(self, outputs: Tensor, seen: Seen) -> Tensor:
        """−u from the network's outputs."""
        return outputs[0] * (outputs[1] * self.magnitude_scale).exp() * self.step_size

    def _look(self, grad: Tensor, param: Tensor, memory: State) -> tuple[Seen, State]:
        """The features of a tensor, and its accumulators with the gradient in them."""
        momenta = blend(
            memory["momenta"],
            grad.expand_as(memory["momenta"]),
            self._weights("momentum_decays", MOMENTUM_DECAYS, grad),
        )
        squared = grad * grad
        square = blend(memory["square"], squared, self._weights("square_decay", (SQUARE_DECAY,), grad)[0].clamp(0, 1))
        inverse_root = (square + 1e-6).rsqrt()
        weights = self._weights("factored_decays", FACTORED_DECAYS, grad).clamp(0, 1)
        squared = squared + 1e-30
        if (dims := _factored(grad)) is None:
            rows = columns = blend(memory["rows"], squared.expand_as(memory["rows"]), weights)
            of_grad, of_momenta = ((rows + small).rsqrt() for small in (SMALLEST, 1e-6))
            factors = {"rows": rows}
        else:
            second, largest = dims
            means = squared.mean(largest, keepdim=True), squared.mean(second, keepdim=True)
            rows, columns = (
                blend(memory[part], mean.expand_as(memory[part]), weights)
                for part, mean in zip(("rows", "columns"), means, strict=True)
            )
            relative = rows / (rows.mean(second + 1, keepdim=True) + SMALLEST)  # a dimension further: decays come first
            of_grad = of_momenta = relative.clamp_min(SMALLEST).rsqrt() * columns.clamp_min(SMALLEST).rsqrt()
            factors = {"rows": rows, "columns": columns}
        kept = [rows, columns, (rows + 1e-8).rsqrt(), (columns + 1e-8).rsqrt()]
        directions = momenta * inverse_root
        features = [grad[None], param[None], momenta, square[None], directions, inverse_root[None]]
        features += [grad * of_grad, *(part.expand_as(momenta) for part in kept), momenta * of_momenta]
        seen = Seen(torch.cat(features), directions, inverse_root)
        return seen, {"momenta": momenta, "square": square, **factors}

    def _weights(self, name: str, decays: tuple[float, ...], like: Tensor) -> Tensor:
        """1 − β for each of `decays`, ready to multiply `[decays, seeds, settings, ...]`."""
        rates = torch.tensor([1 - decay for decay in decays], dtype=like.dtype, device=like.device)
        return (rates * (10 * self.meta_parameters[name].to(like)).exp()).view(-1, *[1] * like.ndim)


def _nothing_seen(param: Tensor) -> State:
    zeros = {"momenta": param.new_zeros(len(MOMENTUM_DECAYS), *param.shape), "square": torch.zeros_like(param)}
    if (dims := _factored(param)) is None:
        return {**zeros, "rows": param.new_zeros(COUNT, *param.shape)}
    second, largest = dims
    means = {"rows": param.mean(largest, keepdim=True), "columns": param.mean(second, keepdim=True)}
    return {**zeros, **{part: mean.new_zeros(COUNT, *mean.shape) for part, mean in means.items()}}


def _factored(stacked: Tensor) -> tuple[int, int] | None:
    """The second largest and the largest dimension of `[seeds, settings, ...]` (of equals, the later one is larger).

    None for vectors and scalars, which are not factored.
    """
    sizes = stacked.shape[2:]
    if len(sizes) < 2:
        return None
    *_, second, largest = sorted(range(len(sizes)), key=sizes.__getitem__)
    return second + 2, largest + 2
