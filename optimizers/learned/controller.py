"""The controller: a small network steers the steps of relative Muon, tensor by tensor."""

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from l2obench.optimizers.base import Optimizer, State, Tensors, Use, per_replica
from l2obench.optimizers.designed.relative import (
    MATRIX_FLOOR,
    OTHER_FLOOR,
    cosine_to_zero,
    initial_moments,
    is_matrix,
    root_mean_square,
    warmup,
)
from l2obench.optimizers.learned.base import LearnedOptimizer
from l2obench.optimizers.learned.controller_directions import (
    directions,
    look_for_embedding,
    per_tensor,
    remember_directions,
    sum_products,
)
from l2obench.optimizers.learned.controller_features import (
    BOUND,
    GROUPS,
    gradient_features,
    initial_losses,
    initial_signals,
    kind_features,
    loss_features,
    time_features,
    weight_features,
)

STEP_SIZE = 0.03
"""A full step of the untrained rule, as a share of the size of the weights."""
CAP = 1.5
"""The largest size that a step is relative to, in multiples of that at the start."""
LARGEST_START = 4.0
"""The floor of a matrix is at most this multiple of its size at the start, unless it starts at zero."""
OUTPUTS = 4
"""Of the network, for each tensor: the step's logarithm, the share of Muon, the momentum, the change of the rate."""
FIRST_MIXTURE = 2.0
"""The untrained share of Muon's direction is σ of it, 0.88."""
LARGEST_LOG_STEP, LARGEST_LOG_RATE, RATE_SPEED = 3.0, 4.0, 0.05

Inputs = Literal["all", "no-loss", "time-and-kind"]
READ: Mapping[Inputs, tuple[str, ...]] = {
    "all": tuple(GROUPS),
    "no-loss": ("time", "kind", "weights", "gradient"),
    "time-and-kind": ("time", "kind"),
}


class Controller(LearnedOptimizer, Optimizer):
    """u = −lr · 0.03 · w(t) · c(t) · e^{Δ + ℓ} · s(θ) · D for each tensor, with t updates done of T.

    One network for all tensors, h = tanh(A x + a), o = B h + b + C x, reads the features x of a tensor
    (`l2obench.optimizers.learned.controller_features`) at each step and gives:

        Δ  = 3 tanh(o₁ / 3);  p = σ(o₂);  β₁ = 1 − 0.1 exp(1.5 tanh(o₃ / 1.5))
        ℓ  ← ℓ + 0.05 tanh(o₄), kept within ±4, from 0

    Moments as in `relative-muon`, with this β₁ and β₂ = 0.99. Direction of a matrix: p · O + (1 − p) · A, brought to a
    root mean square of 1, where O is the orthogonalised momentum and A Adam's direction, each of root mean square 1.
    All else, and embeddings, have Adam's direction. Size s(θ), warm-up w(t) and cosine c(t) are those of
    `relative-muon`, with one difference: the floor of a matrix is min(0.5/√fan-in, 4 rms(θ₀)), unless θ₀ is zero.

    The network's outputs and linear path are zero before training: the untrained rule is a relative Muon with a little
    of Adam's direction. By ℓ the rate can grow or fall as far as needed where a step relative to θ means nothing.

    State: `step` t; `of`, by the name of each tensor, as in `relative-muon`, with `last` D; `signals`,
    `[seeds, settings, tensors]` each; `losses`, `[seeds, settings]` each. `observe` adds `loss` and `horizon`.

    Source: ours. Directions: Jordan et al. 2024 (Muon) and Kingma & Ba 2015. A network for each tensor sets the step of
    each tensor in Metz et al. 2022 (VeLO) too, where another one for each coordinate gives the direction.
    """

    name: ClassVar[str] = "controller"
    uses: ClassVar[tuple[Use, ...]] = ("loss", "horizon")
    architecture: ClassVar[tuple[str, ...]] = ("hidden", "inputs", "mixing", "integral")
    stacks_meta_parameters: ClassVar[bool] = True
    compiled_up_to: ClassVar[float] = 0

    hidden: int = Field(default=16, ge=1, le=1024)
    """Units of the hidden layer."""
    inputs: Inputs = "all"
    """Which features the network reads: all; all but those of the loss; those of the time and of the tensor's kind."""
    mixing: bool = True
    """Whether matrices mix Muon's direction with Adam's; without, they have Muon's."""
    integral: bool = True
    """Whether the network may change the rate lastingly, by ℓ."""
    lr: float = Field(default=1.0, gt=0)
    """Multiplies the update; 1 is as trained."""
    weight_decay: float = Field(default=0.0, ge=0)
    """λ, decoupled: a full step takes the share 0.03 · lr · λ from θ. Warm-up and cosine hold for it too."""

    def network_shapes(self) -> dict[str, tuple[int, ...]]:
        inputs = sum(len(GROUPS[group]) for group in READ[self.inputs])
        return {
            "hidden.weight": (self.hidden, inputs),
            "hidden.bias": (self.hidden,),
            "output.weight": (OUTPUTS, self.hidden),
            "output.bias": (OUTPUTS,),
            "linear.weight": (OUTPUTS, inputs),
        }

    def random_network(self, generator: torch.Generator) -> Tensors:
        """Random hidden units; zeros for all that leads to the outputs, but for the mixture."""
        phi = {name: torch.zeros(shape) for name, shape in self.network_shapes().items()}
        hidden = phi["hidden.weight"]
        phi["hidden.weight"] = torch.randn(hidden.shape, generator=generator) / math.sqrt(hidden.shape[1])
        phi["output.bias"][1] = FIRST_MIXTURE
        return phi

    def init(self, params: Tensors) -> State:
        self.require_trained()
        first = next(iter(params.values()))
        of = {name: {**initial_moments(param), "last": torch.zeros_like(param)} for name, param in params.items()}
        return {"step": 0, "of": of, "signals": initial_signals(first, len(params)), "losses": {}}

    def observe(self, state: State, losses: Tensor, horizon: int) -> State:
        return {**state, "loss": losses, "horizon": torch.full_like(losses, horizon)}

    def update(self, grads: Tensors, state: State, params: Tensors) -> tuple[Tensors, State]:
        if "loss" not in state:
            raise ValueError("controller needs the loss and the number of steps: call `observe` before each update")
        step, horizon = state["step"], state["horizon"]
        of = {name: look_for_embedding(grads[name], memory, step) for name, memory in state["of"].items()}
        floor, first = _floors(params, of), per_tensor(memory["first_rms"] for memory in of.values())
        rms = per_tensor(root_mean_square(params[name]) for name in of)
        sizes = floor.new_tensor([params[name][0, 0].numel() for name in of])
        of_gradient, signals = gradient_features(sum_products(grads, of, step), sizes, state["signals"], step)
        memory = state["losses"] or initial_losses(state["loss"])
        of_loss, losses = loss_features(state["loss"], memory, step, horizon)
        features = {
            "time": time_features(step, horizon),
            "kind": self._kind_features(params, of),
            "weights": weight_features(rms, first, floor),
            "gradient": of_gradient,
            "loss": of_loss,
        }
        log_step, mixture, beta1, change = self._outputs([features[group] for group in READ[self.inputs]], len(of))
        signals["log_rate"] = (signals["log_rate"] + change).clamp(-LARGEST_LOG_RATE, LARGEST_LOG_RATE)
        signals["weight_sum"] = beta1 * signals["weight_sum"] + 1 - beta1
        found, of, signals["adam_rms"] = directions(
            grads, of, beta1, signals["weight_sum"], mixture if self.mixing else None, step
        )
        of, signals["straightness"], signals["last_norm"] = remember_directions(found, of, signals["last_norm"])
        rate = warmup(step, horizon) * cosine_to_zero(step, horizon) * (self.lr * STEP_SIZE)
        capped = torch.minimum(torch.maximum(rms, floor), CAP * torch.maximum(first, floor))
        size = capped * (log_step + signals["log_rate"]).exp()
        updates = {}
        for k, (name, direction) in enumerate(found.items()):
            updates[name] = direction * per_replica(-rate * size[..., k], direction)
            if self.weight_decay:
                updates[name] = updates[name] - per_replica(rate * self.weight_decay, direction) * params[name]
        return updates, {"step": step + 1, "of": of, "signals": signals, "losses": losses}

    def _outputs(self, groups: Sequence[Tensor], tensors: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Log step Δ, mixture p, momentum β₁ and change of ℓ, `[seeds, settings, tensors]` each."""
        features = torch.cat([group.expand(*group.shape[:2], tensors, -1) for group in groups], -1)
        features = features.nan_to_num(nan=0.0, posinf=BOUND, neginf=-BOUND).clamp(-BOUND, BOUND)
        phi = {name: tensor.to(features) for name, tensor in self.meta_parameters.items()}
        hidden = (features @ phi["hidden.weight"].mT + phi["hidden.bias"].unsqueeze(-2)).tanh()
        outputs = hidden @ phi["output.weight"].mT + phi["output.bias"].unsqueeze(-2)
        log_step, mixture, momentum, change = (outputs + features @ phi["linear.weight"].mT).unbind(-1)
        log_step = LARGEST_LOG_STEP * (log_step / LARGEST_LOG_STEP).tanh()
        beta1 = 1 - 0.1 * (1.5 * (momentum / 1.5).tanh()).exp()
        change = RATE_SPEED * change.tanh() if self.integral else torch.zeros_like(change)
        return log_step, mixture.sigmoid(), beta1, change

    def _kind_features(self, params: Tensors, of: Mapping[str, State]) -> Tensor:
        """What only shape and place decide, and whether a tensor is an embedding."""
        none = torch.zeros_like(next(iter(of.values()))["first_rms"])
        embedding = per_tensor(
            memory["embedding"].to(none) if "embedding" in memory else none for memory in of.values()
        )
        shapes = [tuple(params[name].shape[2:]) for name in of]
        return kind_features(shapes, [is_matrix(params[name]) for name in of], embedding)


def _floors(params: Tensors, of: Mapping[str, State]) -> Tensor:
    """The smallest size that a step is relative to, `[seeds, settings, tensors]`."""
    floors = []
    for name, memory in of.items():
        param, first = params[name], memory["first_rms"]
        floor = torch.full_like(first, OTHER_FLOOR)
        if is_matrix(param):
            # Far below its floor, a matrix that starts small would take steps of many times its size.
            highest = torch.where(first > 0, LARGEST_START * first, math.inf)
            matrix = highest.clamp_max(MATRIX_FLOOR / math.prod(param.shape[3:]) ** 0.5)
            floor = torch.where(memory["embedding"], floor, matrix) if "embedding" in memory else matrix
        floors.append(floor)
    return torch.stack(floors, -1)
