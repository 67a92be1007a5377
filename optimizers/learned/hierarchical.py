"""The hierarchical optimizer of Wichrowska et al.: a cell for each coordinate, for each tensor, and one above all."""

import math
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from l2obench.foundation.replica_rows import flatten_replicas
from l2obench.optimizers.base import Optimizer, State, Tensors, per_replica
from l2obench.optimizers.learned.base import LearnedOptimizer

# e^33 is 2e14: far beyond any useful rate, and an update of it is still far from the end of float32.
LARGEST_LOG_RATE = 33.0
LEVELS = ("coordinate", "tensor", "global")


class Hierarchical(LearnedOptimizer, Optimizer):
    """u = −e^{ℓ̂ + c} · Δ / √(mean(Δ²) + 1e-16): a direction and a log learning rate for every coordinate.

    The mean is that over the tensor.

    Momenta on `scales` timescales: ḡ_s ← (1 − δ_s) g + δ_s ḡ_s with δ_{s+1} = √δ_s, their squares
    λ_s ← (1 − γ)(ḡ_s² + 1e-12) + γ λ_s, and m_s = asinh(ḡ_s / √(λ_s + 1e-16)). Three levels of GRU cells:

        x  = m_s; m_s · m_{s+1}; log λ_s − mean over s of log λ_s; ℓ − mean of ℓ over all coordinates
        h⁰ ← GRU(x, h⁰), for each coordinate, biased by A h¹ + B h²
        h¹ ← GRU(mean over the tensor of [h⁰, x], h¹), for each tensor, biased by C h²
        h² ← GRU(mean over tensors of h¹, h²)

    where a bias is that of the step before and goes to the three gates. From h⁰: Δ = a·h⁰ + b·m; γ and δ₁ of the next
    step, each a sigmoid; ℓ̂ = ℓ + d·h⁰ + e, kept within ±33, and ℓ ← μ ℓ + (1 − μ) ℓ̂. c and μ are learned. A GRU is
    h ← z h + (1 − z) tanh(W [x, r h]).

    State: `global` h² `[units, seeds, settings]`, and under `of` for each tensor by its name: `tensor` h¹
    `[units, seeds, settings]` and, over the tensor's coordinates in a row, `hidden` h⁰ `[units, seeds, settings, n]`,
    `momenta` ḡ and `squares` λ `[scales, seeds, settings, n]`, `decays` γ and δ₁ `[2, seeds, settings, n]`, `log_rate`
    ℓ `[seeds, settings, n]`.

    Source: Wichrowska et al. 2017, "Learned optimizers that scale and generalize", section 3, with the values
    that their released code has by default (tensorflow/models, `hierarchical_rnn.py`): no attention, gradients enter Δ
    directly. Ours: hidden states begin at zero, not at a learned vector, for which no truncation but the first has a
    derivative; ℓ begins at `initial_lr`, the middle of the range from which they draw it; their second bias of a gate,
    which adds to the first, is left out. Coordinates share information, so this rule is not coordinatewise.
    """

    name: ClassVar[str] = "hierarchical"
    architecture: ClassVar[tuple[str, ...]] = ("hidden", "tensor_hidden", "global_hidden", "scales", "initial_lr")

    hidden: int = Field(default=10, ge=1, le=1024)
    """Units of h⁰."""
    tensor_hidden: int = Field(default=20, ge=1, le=1024)
    """Units of h¹."""
    global_hidden: int = Field(default=20, ge=1, le=1024)
    """Units of h²."""
    scales: int = Field(default=4, ge=2, le=16)
    """Timescales of momenta."""
    initial_lr: float = Field(default=1e-4, gt=0)
    """e^ℓ at first."""
    lr: float = Field(default=1.0, gt=0)
    """Multiplies the update; 1 is as trained."""

    def network_shapes(self) -> dict[str, tuple[int, ...]]:
        inputs = 3 * self.scales
        units = dict(zip(LEVELS, (self.hidden, self.tensor_hidden, self.global_hidden), strict=True))
        inputs_of = dict(zip(LEVELS, (inputs, self.hidden + inputs, self.tensor_hidden), strict=True))
        shapes: dict[str, tuple[int, ...]] = {}
        for level in LEVELS:
            for part, outputs in (("gates", 2 * units[level]), ("candidate", units[level])):
                shapes[f"{level}.{part}.weight"] = (outputs, inputs_of[level] + units[level])
                shapes[f"{level}.{part}.bias"] = (outputs,)
        for above, below in (("tensor", "coordinate"), ("global", "coordinate"), ("global", "tensor")):
            shapes[f"{above}_to_{below}.weight"] = (3 * units[below], units[above])
        readouts: dict[str, tuple[int, ...]] = {
            "direction.weight": (1, self.hidden),
            "shortcut.weight": (1, self.scales),
            "control.weight": (3, self.hidden),
            "control.bias": (3,),
        }
        return {**shapes, **readouts, "rate_momentum": (), "rate_offset": ()}

    def random_network(self, generator: torch.Generator) -> Tensors:
        """Normal weights, ½ / √inputs wide; decays near 0.9 and an ℓ that stays, all as in the released code."""
        tensors = {
            name: 0.5 * torch.randn(shape, generator=generator) / shape[-1] ** 0.5
            if name.endswith("weight")
            else torch.zeros(shape)
            for name, shape in self.network_shapes().items()
        }
        for level in LEVELS:
            tensors[f"{level}.gates.bias"] += 2.2
        tensors["shortcut.weight"] = 0.2 * tensors["shortcut.weight"] + 1 / self.scales
        tensors["control.weight"][2] = 0
        tensors["control.bias"] = torch.tensor([3.2, 2.2, 0.0])  # γ, δ, the change of ℓ
        return tensors | {"rate_momentum": torch.tensor(3.2), "rate_offset": torch.tensor(-1.0)}

    def init(self, params: Tensors) -> State:
        self.require_trained()
        first = next(iter(params.values()))
        memory = {name: self._initial_tensor_state(flatten_replicas({name: param})) for name, param in params.items()}
        return {"global": first.new_zeros(self.global_hidden, *first.shape[:2]), "of": memory}

    def update(self, grads: Tensors, state: State, params: Tensors) -> tuple[Tensors, State]:
        phi = {name: tensor.to(next(iter(grads.values()))) for name, tensor in self.meta_parameters.items()}
        rates = torch.cat([memory["log_rate"] for memory in state["of"].values()], dim=-1)
        above, mean_rate = state["global"], rates.mean(-1, keepdim=True)
        updates, after = {}, {}
        for name, grad in grads.items():
            update, after[name] = self._update_tensor(
                phi, flatten_replicas({name: grad}), state["of"][name], above, mean_rate
            )
            updates[name] = update.view_as(grad) * per_replica(self.lr, grad)
        tensors = torch.stack([memory["tensor"] for memory in after.values()]).mean(0)
        return updates, {"global": _gru_step(phi, "global", tensors, above, above.new_zeros(3, 1, 1)), "of": after}

    def _update_tensor(
        self, phi: Tensors, grad: Tensor, memory: State, above: Tensor, mean_rate: Tensor
    ) -> tuple[Tensor, State]:
        """Update of a tensor's coordinates `[seeds, settings, coordinates]`, and what is kept of it."""
        gamma, delta = memory["decays"]
        powers = [0.5**s for s in range(self.scales)]
        deltas = torch.stack([delta**power for power in powers])
        momenta = (1 - deltas) * grad + deltas * memory["momenta"]
        squares = (1 - gamma) * (momenta.square() + 1e-12) + gamma * memory["squares"]
        scaled = (momenta / (squares + 1e-16).sqrt()).asinh()
        logs = (squares + 1e-16).log()
        relative = memory["log_rate"] - mean_rate
        x = torch.cat([scaled, scaled[:-1] * scaled[1:], logs - logs.mean(0), relative[None]])

        context = _linear(phi, "tensor_to_coordinate", memory["tensor"]) + _linear(phi, "global_to_coordinate", above)
        hidden = _gru_step(phi, "coordinate", x, memory["hidden"], context.unsqueeze(-1))
        means = torch.cat([hidden, x]).mean(-1)
        tensor = _gru_step(phi, "tensor", means, memory["tensor"], _linear(phi, "global_to_tensor", above))

        direction = (_linear(phi, "direction", hidden) + _linear(phi, "shortcut", scaled))[0]
        direction = direction * (direction.square().mean(-1, keepdim=True) + 1e-16).rsqrt()
        control = _linear(phi, "control", hidden)
        log_rate = _clamp_with_slope(memory["log_rate"] + control[2], LARGEST_LOG_RATE)
        kept = phi["rate_momentum"].sigmoid()
        after = {
            "hidden": hidden,
            "tensor": tensor,
            "momenta": momenta,
            "squares": squares,
            "decays": control[:2].sigmoid().clamp_min(1e-12),  # a root has no slope at 0
            "log_rate": kept * memory["log_rate"] + (1 - kept) * log_rate,
        }
        return -(log_rate + phi["rate_offset"]).exp() * direction, after

    def _initial_tensor_state(self, row: Tensor) -> State:
        return {
            "hidden": row.new_zeros(self.hidden, *row.shape),
            "tensor": row.new_zeros(self.tensor_hidden, *row.shape[:2]),
            "momenta": row.new_zeros(self.scales, *row.shape),
            "squares": row.new_zeros(self.scales, *row.shape),
            "decays": row.new_zeros(2, *row.shape),
            "log_rate": torch.full_like(row, math.log(self.initial_lr)),
        }


def _linear(phi: Tensors, name: str, x: Tensor) -> Tensor:
    """`[outputs, ...]` from `[inputs, ...]`, with a bias where there is one."""
    weight, bias = phi[f"{name}.weight"], phi.get(f"{name}.bias")
    rows = x.flatten(1)
    product = weight @ rows if bias is None else torch.addmm(bias.unsqueeze(1), weight, rows)
    return product.view(len(weight), *x.shape[1:])


def _gru_step(phi: Tensors, level: str, x: Tensor, hidden: Tensor, context: Tensor) -> Tensor:
    """The next hidden state `[units, ...]`; a third each of `context` goes to reset gate, update gate and candidate."""
    of_reset, of_kept, of_candidate = context.chunk(3)
    reset, kept = _linear(phi, f"{level}.gates", torch.cat([x, hidden])).chunk(2)
    reset, kept = (reset + of_reset).sigmoid(), (kept + of_kept).sigmoid()
    candidate = _linear(phi, f"{level}.candidate", torch.cat([x, reset * hidden])) + of_candidate
    return kept * hidden + (1 - kept) * candidate.tanh()


def _clamp_with_slope(x: Tensor, bound: float) -> Tensor:
    """x, kept within ±bound, with the slope of x all the same (so that one beyond it can come back)."""
    return x + (x.clamp(-bound, bound) - x).detach()
