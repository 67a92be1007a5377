"""VeLO: an LSTM for each tensor that mixes the weights of the perceptron which moves the tensor's coordinates."""

import itertools
import math
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from l2obench.optimizers.base import Optimizer, State, Tensors, per_replica
from l2obench.optimizers.learned.accumulators import (
    FACTORED_DECAYS,
    MOMENTUM_DECAYS,
    SQUARE_DECAY,
    Accumulators,
    accumulate,
    initial_accumulators,
)
from l2obench.optimizers.learned.base import LearnedOptimizer
from l2obench.optimizers.learned.cell import cell_step

TIMES = (0.03, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0, 1.1)
AVERAGES = 10  # of the loss
RANKS = 5
TENSOR_FEATURES = len(TIMES) + (AVERAGES - 1) + 1 + RANKS + 3 + 3
FEATURES = 30
WIDTHS = (FEATURES, 4, 4, 2)
LARGEST_GRADIENT = 1000.0
STEP_SIZE = MAGNITUDE_SCALE = 1e-3
BANK_SCALE = 100.0


class VeLO(LearnedOptimizer, Optimizer):
    """u = −0.001 · ρ · |θ| · d · exp(0.001 · a) with [d, a] = net(features; W); ρ and W are a whole tensor's.

    |θ| = √(mean(θ²) + 1e-9) over the tensor. Gradients are first kept within ±1000.

    The perceptron: 30 features, two layers of four units with ReLU, two outputs. Its weights W = 100 · mean over k of
    κ_k W_k are mixed from a bank of 256. The features are those of `adafac-mlp` with fixed decays (m, r and c at 0.9,
    0.99 and 0.999, v at 0.999), and after g the same kept within ±0.1, after the three g s also g / √(v + 1e-6); for
    vectors and scalars, the last three are m / √w. Each is divided by its root mean square over the tensor (ε = 1e-5
    under the root).

    The LSTM: 512 units for each tensor, κ and ρ linear in its activations. Its input: A x + max over tensors of
    ReLU(B x), both with a bias, where x are 30 numbers of a tensor,

        tanh(10 (t / T − τ)) for nine τ from 0.03 to 1.1, of T steps in all
        nine features of the loss, see below
        L(s · mean(v)); the number of dimensions larger than 1, one-hot up to 4; L(s² · var(m)) for each m;
        L(s² · mean((v − mean(m))²)) for each m

    with s = 1 / √max(mean(θ²), 1e-9), L(y) = clip(log(10 y + 1e-8), ±5) / 2, and m and v before this step's gradient.

    The loss, at most twice the size of the largest of its averages, enters ten averages ℓ_k that fade as e^{−t/h} with
    h_k = 10 (T/10)^{k/9}, each over its total weight; ℓ_k^min is the lowest that ℓ_k has been. The features:
    clip((ℓ_k − ℓ_k^min) / max(ℓ_{k+1} − ℓ_k^min, 1e-8) − 1, ±1), 0 in the first two steps.

    Source: Metz et al. 2022, "VeLO: Training versatile learned optimizers by scaling up", with the values of the
    released code (google/learned_optimization, `research/general_lopt/hyper_v2.py`), its switches for two old bugs off,
    as its configurations of the paper's training have them. Their wrapper, which averages gradients where a run is
    longer than 150,000 steps, is not here. What the LSTM's state is at first is a meta-parameter too, which `l2obench
    train` does not learn: a truncation takes the state where it begins for given.
    """

    name: ClassVar[str] = "velo"
    architecture: ClassVar[tuple[str, ...]] = ("hidden", "bank")

    hidden: int = Field(default=512, ge=1, le=1024)
    """Units of the LSTM."""
    bank: int = Field(default=256, ge=1, le=1024)
    """Sets of weights that a tensor's perceptron is mixed from."""
    lr: float = Field(default=1.0, gt=0)
    """Multiplies the update; 1 is as trained."""

    def network_shapes(self) -> dict[str, tuple[int, ...]]:
        linear = {
            "input": (self.hidden, TENSOR_FEATURES),
            "shared": (self.hidden, TENSOR_FEATURES),
            "lstm": (4 * self.hidden, 2 * self.hidden),
            "controls": (self.bank, self.hidden),
            "rate": (1, self.hidden),
        }
        shapes: dict[str, tuple[int, ...]] = {"initial.hidden": (self.hidden,), "initial.cell": (self.hidden,)}
        for name, shape in linear.items():
            shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
        for k in range(len(WIDTHS) - 1):
            shapes[f"layer{k}.weight"] = (self.bank, WIDTHS[k + 1], WIDTHS[k])
            shapes[f"layer{k}.bias"] = (self.bank, WIDTHS[k + 1])
        return shapes

    def random_network(self, generator: torch.Generator) -> Tensors:
        """LeCun normal weights, zeros for all else but the biases of the forget gates, which are 1."""
        tensors = {
            name: torch.randn(shape, generator=generator) / shape[-1] ** 0.5
            if name.endswith("weight")
            else torch.zeros(shape)
            for name, shape in self.network_shapes().items()
        }
        tensors["lstm.bias"][self.hidden : 2 * self.hidden] = 1
        return tensors

    def flops_per_coordinate(self) -> float | None:
        """Of a vector; of a larger tensor the factors are shared by rows and columns, which saves some thirty.

        What a whole tensor shares is not here: the LSTM and the mixing of weights, 4.6 million at the paper's size.
        """
        statistics = 2 + 3 * 4 + 4  # mean of θ²; mean and variance of each m and of v
        accumulators = 1 + 3 * 3 + 3 + 1 + 3 * 3  # g², m, v, + 1e-30, w
        features = 2 + 3 + 1 + 3 * (3 + 3 + 2 + 2)  # 1 / √v, m / √v, g / √v; g s and m s, 1 / √r and 1 / √c
        network = 2 * FEATURES + sum(2 * inputs * outputs for inputs, outputs in itertools.pairwise(WIDTHS))
        return statistics + accumulators + features + network + 4

    def init(self, params: Tensors) -> State:
        self.require_trained()
        first = next(iter(params.values()))
        replicas = first.shape[:2]

        def begin(part: str) -> Tensor:
            value = self.meta_parameters[f"initial.{part}"].to(first)
            return value.view(-1, 1, 1, 1).expand(-1, len(params), *replicas).contiguous()

        return {
            "step": 0,
            "hidden": begin("hidden"),
            "cell": begin("cell"),
            "averages": first.new_zeros(AVERAGES, *replicas),
            "lowest": first.new_full((AVERAGES, *replicas), math.inf),
            "of": {name: initial_accumulators(param) for name, param in params.items()},
        }

    def observe(self, state: State, losses: Tensor, horizon: int) -> State:
        return {**state, "loss": losses, "horizon": torch.full_like(losses, horizon)}

    def update(self, grads: Tensors, state: State, params: Tensors) -> tuple[Tensors, State]:
        if "loss" not in state:
            raise ValueError("velo needs the loss and the number of steps: call `observe` before each update")
        first = next(iter(grads.values()))
        phi = {name: tensor.to(first) for name, tensor in self.meta_parameters.items()}
        heard, averages, lowest = _heard(state)
        shared = torch.cat([_time(state["step"] / state["horizon"]), heard])
        squares = {name: param.reshape(*param.shape[:2], -1).square().mean(-1) for name, param in params.items()}
        about = [_tensor_features(param, squares[name], state["of"][name], shared) for name, param in params.items()]
        x = torch.stack(about, dim=1)  # [features, tensors, seeds, settings]
        hidden, cell = _lstm(phi, x, state["hidden"], state["cell"])
        rows = hidden.flatten(1)
        rates = torch.addmm(phi["rate.bias"].unsqueeze(1), phi["rate.weight"], rows).view(hidden.shape[1:])
        controls = torch.addmm(phi["controls.bias"].unsqueeze(1), phi["controls.weight"], rows)
        layers = self._mixed(phi, controls.view(self.bank, len(params), -1))
        updates, memory = {}, {}
        for k, (name, param) in enumerate(params.items()):
            grad = grads[name].clamp(-LARGEST_GRADIENT, LARGEST_GRADIENT)
            seen, memory[name] = _look(grad, state["of"][name])
            outputs = _respond([(weight[k], bias[k]) for weight, bias in layers], _features(grad, param, seen))
            size = (squares[name] + 1e-9).sqrt() * rates[k] * (-STEP_SIZE * self.lr)
            update = outputs[0] * (outputs[1] * MAGNITUDE_SCALE).exp()
            updates[name] = update * per_replica(size, grad)
        after = {"hidden": hidden, "cell": cell, "averages": averages, "lowest": lowest, "of": memory}
        return updates, {"step": state["step"] + 1, **after}

    def _mixed(self, phi: Tensors, controls: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Weights `[tensors, replicas, outputs, inputs]` and biases of the layers, from controls by `[bank, …]`."""

        def mix(of_bank: Tensor) -> Tensor:
            mixed = controls.flatten(1).T @ of_bank.flatten(1) * (BANK_SCALE / self.bank)
            return mixed.view(*controls.shape[1:], *of_bank.shape[1:])

        return [(mix(phi[f"layer{k}.weight"]), mix(phi[f"layer{k}.bias"])) for k in range(len(WIDTHS) - 1)]


def _heard(state: State) -> tuple[Tensor, Tensor, Tensor]:
    """Features of the loss `[averages − 1, seeds, settings]`, the averages with the new loss in them, their lowest."""
    loss, step, averages = state["loss"], state["step"], state["averages"]
    exponents = torch.arange(AVERAGES, dtype=loss.dtype, device=loss.device).view(-1, 1, 1) / (AVERAGES - 1)
    rates = -1 / (10 * (state["horizon"] / 10) ** exponents)
    weight = -torch.expm1(rates * (step + 1))
    largest = (averages / weight).amax(0)
    loss = torch.where(state["lowest"][0].isinf(), loss, torch.minimum(loss, 2 * largest.abs()))
    averages = averages * rates.exp() - loss * torch.expm1(rates)
    level = averages / weight
    lowest = torch.minimum(state["lowest"], level)
    relative = (level[:-1] - lowest[:-1]) / (level[1:] - lowest[:-1]).clamp_min(1e-8)
    return (relative - 1).clamp(-1, 1) * (step >= 2), averages, lowest


def _time(fraction: Tensor) -> Tensor:
    """Features `[times, seeds, settings]` of the fraction of all steps that are done."""
    times = torch.tensor(TIMES, dtype=fraction.dtype, device=fraction.device)
    return torch.tanh(10 * (fraction - times.view(-1, 1, 1)))


def _tensor_features(param: Tensor, square_size: Tensor, memory: State, shared: Tensor) -> Tensor:
    """What the LSTM is given of a tensor, `[features, seeds, settings]`.

    Args:
        param: `[seeds, settings, ...]`.
        square_size: the mean of θ² over it, `[seeds, settings]`.
        memory: its accumulators.
        shared: features of time and loss, which come first.
    """
    replicas = param.shape[:2]
    momenta = memory["momenta"].reshape(len(MOMENTUM_DECAYS), *replicas, -1)
    square = memory["square"].reshape(*replicas, -1)
    scale = square_size.clamp_min(1e-9).rsqrt()
    means, mean = momenta.mean(-1), square.mean(-1)
    spreads = (momenta - means.unsqueeze(-1)).square().mean(-1)
    spread = (square - mean.unsqueeze(-1)).square().mean(-1) + (mean - means).square()
    rank = torch.zeros(RANKS, dtype=param.dtype, device=param.device)
    dimensions = sum(size > 1 for size in param.shape[2:])
    if dimensions < RANKS:
        rank[dimensions] = 1
    return torch.cat(
        [
            shared,
            _logarithm(mean * scale)[None],
            rank.view(-1, 1, 1).expand(-1, *scale.shape),
            _logarithm(spreads * scale.square()),
            _logarithm(spread * scale.square()),
        ]
    )


def _lstm(phi: Tensors, x: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """The next hidden state and cell, `[units, tensors, seeds, settings]`, from features `[features, …]`."""
    rows = x.flatten(1)
    own, of_all = (
        torch.addmm(phi[f"{part}.bias"].unsqueeze(1), phi[f"{part}.weight"], rows).view_as(hidden)
        for part in ("input", "shared")
    )
    mixed = own + of_all.relu().amax(1, keepdim=True)
    weights = phi["lstm.weight"], phi["lstm.bias"]
    following = cell_step(*weights, mixed.flatten(1), hidden.flatten(1), cell.flatten(1))
    return following[0].view_as(hidden), following[1].view_as(cell)


def _look(grad: Tensor, memory: State) -> tuple[Accumulators, State]:
    """What is known of a tensor with its gradient, and its accumulators."""

    def weights(decays: tuple[float, ...]) -> Tensor:
        rates = torch.tensor([1 - decay for decay in decays], dtype=grad.dtype, device=grad.device)
        return rates.view(-1, *[1] * grad.ndim)

    momentum, factored = weights(MOMENTUM_DECAYS), weights(FACTORED_DECAYS)
    return accumulate(grad, memory, momentum, 1 - SQUARE_DECAY, factored, smallest_of_vectors=0.0)


def _features(grad: Tensor, param: Tensor, seen: Accumulators) -> Tensor:
    """The perceptron's inputs, `[30, seeds, settings, ...]`."""
    own = [grad[None], grad.clamp(-0.1, 0.1)[None], param[None], seen.momenta, seen.square[None]]
    scaled = [seen.directions, seen.inverse_root[None], seen.scaled_grad, (grad * seen.inverse_root)[None]]
    return torch.cat([*own, *scaled, *seen.kept, seen.scaled_momenta])


def _respond(layers: list[tuple[Tensor, Tensor]], features: Tensor) -> Tensor:
    """Outputs `[2, seeds, settings, ...]` of each replica's own perceptron: weights `[replicas, outputs, inputs]`."""
    replicas = features.shape[1:3]
    x = features.reshape(len(features), replicas.numel(), -1).transpose(0, 1)
    scale = (x.square().mean(-1) + 1e-5).rsqrt()
    for k, (weight, bias) in enumerate(layers):
        # Features are divided by their size where that costs least, in the weights.
        weight, x = (weight, x.relu()) if k else (weight * scale.unsqueeze(1), x)
        x = torch.baddbmm(bias.unsqueeze(2), weight, x)
    return x.transpose(0, 1).reshape(WIDTHS[-1], *features.shape[1:])


def _logarithm(values: Tensor) -> Tensor:
    return (10 * values + 1e-8).log().clamp(-5, 5) * 0.5
