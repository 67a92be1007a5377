"""VeLO: an LSTM for each tensor that mixes the weights of the perceptron which moves the tensor's coordinates."""

import itertools
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from l2obench.optimizers.base import Optimizer, State, Tensors, Use, per_replica
from l2obench.optimizers.learned.accumulators import SQUARE_DECAY, initial_accumulators
from l2obench.optimizers.learned.cell import cell_step
from l2obench.optimizers.learned.coordinate_features import (
    FEATURES,
    LARGEST_GRADIENT,
    accumulate_gradient,
    coordinate_features,
)
from l2obench.optimizers.learned.fused.rule import FusedRule
from l2obench.optimizers.learned.fused.step import (
    Formula,
    as_network,
    fixed_rates,
    fused_step,
    mean_squares,
    means_and_spreads,
)
from l2obench.optimizers.learned.learned_schedule import random_weights
from l2obench.optimizers.learned.progress_features import PROGRESS_FEATURES, initial_averages, progress_features

# Of the one-hot number of a tensor's dimensions, 0 to 4.
RANKS = 5
TENSOR_FEATURES = PROGRESS_FEATURES + 1 + RANKS + 3 + 3
WIDTHS = (FEATURES, 4, 4, 2)
# The released code's values, with which published weights were trained: others would give another rule.
SQUARE_EPSILON = 1e-6
STEP_SIZE = MAGNITUDE_SCALE = 1e-3
FORMULA = Formula(
    like_celo=True, largest_gradient=LARGEST_GRADIENT, epsilon=SQUARE_EPSILON, magnitude_scale=MAGNITUDE_SCALE
)


class VeLO(FusedRule, Optimizer):
    """u = −0.001 · ρ · |θ| · d · exp(0.001 · a) with [d, a] = net(features; W); ρ and W are a whole tensor's.

    |θ| = √(mean(θ²) + 1e-9) over the tensor. Gradients are first kept within ±1000.

    The perceptron: 30 features, two layers of four units with ReLU, two outputs. Its weights W = 100 · mean over k of
    κ_k W_k are mixed from a bank of 256. The features are those of `coordinate_features`, with decays of 0.9, 0.99 and
    0.999 for m, r and c, 0.999 for v, and ε = 1e-6. Each is divided by its root mean square over the tensor (ε = 1e-5
    under the root).

    The LSTM: 512 units for each tensor, κ and ρ linear in its activations. Its input: A x + max over tensors of
    ReLU(B x), both with a bias, where x are 30 numbers of a tensor,

        the eighteen `progress_features` of time and loss
        L(s · mean(v)); the number of dimensions larger than 1, one-hot up to 4; L(s² · var(m)) for each m;
        L(s² · mean((v − mean(m))²)) for each m

    with s = 1 / √max(mean(θ²), 1e-9), L(y) = clip(log(10 y + 1e-8), ±5) / 2, and m and v before this step's gradient.

    State: `step` t; the LSTM's `hidden` and `cell` `[units, tensors, seeds, settings]`; of the loss, what
    `initial_averages` says; under `of` for each tensor by its name its accumulators. `observe` adds `loss` and
    `horizon` T, `[seeds, settings]` each.

    Source: Metz et al. 2022, "VeLO: Training versatile learned optimizers by scaling up", with the values of the
    released code (google/learned_optimization, `research/general_lopt/hyper_v2.py`), its switches for two old bugs off,
    as its configurations of the paper's training have them. Their wrapper, which averages gradients where a run is
    longer than 150,000 steps, is not here. What the LSTM's state is at first is a meta-parameter too, which `l2obench
    train` does not learn: a truncation takes the state where it begins for given.
    """

    name: ClassVar[str] = "velo"
    has_fused_step: ClassVar[bool] = True
    uses: ClassVar[tuple[Use, ...]] = ("loss", "horizon")
    version: ClassVar[int] = 2
    architecture: ClassVar[tuple[str, ...]] = ("hidden", "bank")
    bank_scale: ClassVar[float] = 100.0
    """Weights of a tensor are this many times the mean over the bank; as in the released code."""
    moves_by_size: ClassVar[bool] = True
    """Whether steps are in proportion to |θ|."""

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
        return random_weights(self.network_shapes(), self.hidden, generator)

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
            **initial_averages(first),
            "of": {name: initial_accumulators(param, outputs_are_largest=True) for name, param in params.items()},
        }

    def observe(self, state: State, losses: Tensor, horizon: int) -> State:
        return {**state, "loss": losses, "horizon": torch.full_like(losses, horizon)}

    def update(self, grads: Tensors, state: State, params: Tensors) -> tuple[Tensors, State]:
        if "loss" not in state:
            raise ValueError("velo needs the loss and the number of steps: call `observe` before each update")
        first = next(iter(grads.values()))
        phi = {name: tensor.to(first) for name, tensor in self.meta_parameters.items()}
        shared, averages, lowest = progress_features(
            state["loss"], state["step"], state["horizon"], state["averages"], state["lowest"]
        )
        is_fused = {name: self.can_fuse(grads[name], param, state["of"][name]) for name, param in params.items()}
        squares = {
            name: mean_squares(param) if is_fused[name] else param.reshape(*param.shape[:2], -1).square().mean(-1)
            for name, param in params.items()
        }
        about = [
            _tensor_features(param, squares[name], _moments(param, state["of"][name], is_fused[name]), shared)
            for name, param in params.items()
        ]
        x = torch.stack(about, dim=1)  # [features, tensors, seeds, settings]
        hidden, cell = _lstm_step(phi, x, state["hidden"], state["cell"])
        rows = hidden.flatten(1)
        rates = torch.addmm(phi["rate.bias"].unsqueeze(1), phi["rate.weight"], rows).view(hidden.shape[1:])
        controls = torch.addmm(phi["controls.bias"].unsqueeze(1), phi["controls.weight"], rows)
        layers = self._mix_layers(phi, controls.view(self.bank, len(params), -1))
        updates, memory = {}, {}
        for k, (name, param) in enumerate(params.items()):
            own = [(weight[k], bias[k]) for weight, bias in layers]
            size = (squares[name] + 1e-9).sqrt() * rates[k] if self.moves_by_size else rates[k]
            size = size * (-STEP_SIZE * self.lr)
            if is_fused[name]:
                updates[name], memory[name] = fused_step(
                    grads[name], param, state["of"][name], fixed_rates(SQUARE_DECAY), FORMULA, as_network(own), size
                )
                continue
            grad = grads[name].clamp(-LARGEST_GRADIENT, LARGEST_GRADIENT)
            known, memory[name] = accumulate_gradient(grad, state["of"][name], SQUARE_DECAY, SQUARE_EPSILON)
            outputs = _perceptron_outputs(own, coordinate_features(grad, param, known))
            update = outputs[0] * (outputs[1] * MAGNITUDE_SCALE).exp()
            updates[name] = update * per_replica(size, grad)
        after = {"hidden": hidden, "cell": cell, "averages": averages, "lowest": lowest, "of": memory}
        return updates, {"step": state["step"] + 1, **after}

    def _mix_layers(self, phi: Tensors, controls: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Weights `[tensors, replicas, outputs, inputs]` and biases of the layers, from controls by `[bank, …]`."""

        def mix(of_bank: Tensor) -> Tensor:
            mixed = controls.flatten(1).T @ of_bank.flatten(1) * (self.bank_scale / self.bank)
            return mixed.view(*controls.shape[1:], *of_bank.shape[1:])

        return [(mix(phi[f"layer{k}.weight"]), mix(phi[f"layer{k}.bias"])) for k in range(len(WIDTHS) - 1)]


def _moments(param: Tensor, memory: State, is_fused: bool) -> tuple[Tensor, ...]:
    """Means of the m of a tensor and mean squares around them, `[3, seeds, settings]`; the same of v."""
    replicas = param.shape[:2]
    momenta, square = memory["momenta"].reshape(3, *replicas, -1), memory["square"].reshape(*replicas, -1)
    if is_fused:
        return *means_and_spreads(momenta), *means_and_spreads(square)
    means, mean = momenta.mean(-1), square.mean(-1)
    spreads = (momenta - means.unsqueeze(-1)).square().mean(-1)
    return means, spreads, mean, (square - mean.unsqueeze(-1)).square().mean(-1)


def _tensor_features(param: Tensor, square_size: Tensor, moments: tuple[Tensor, ...], shared: Tensor) -> Tensor:
    """What the LSTM is given of a tensor, `[features, seeds, settings]`.

    Args:
        param: `[seeds, settings, ...]`.
        square_size: the mean of θ² over it, `[seeds, settings]`.
        moments: of its m and v.
        shared: features of time and loss, which come first.
    """
    means, spreads, mean, spread = moments
    scale = square_size.clamp_min(1e-9).rsqrt()
    # v around the means of the m, as the published rule has it.
    spread = spread + (mean - means).square()
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


def _lstm_step(phi: Tensors, x: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
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


def _perceptron_outputs(layers: list[tuple[Tensor, Tensor]], features: Tensor) -> Tensor:
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
