"""The controller: a small network steers the steps of relative Muon, tensor by tensor."""

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from l2obench.optimizers.base import Optimizer, State, Tensors, Use
from l2obench.optimizers.designed.relative import (
    FAR_BELOW,
    MATRIX_FLOOR,
    OTHER_FLOOR,
    cosine_to_zero,
    floor_of_matrix,
    initial_moments,
    is_matrix,
    warmup,
)
from l2obench.optimizers.learned import controller_directions as plain_passes
from l2obench.optimizers.learned.controller_directions import (
    BETA2,
    SMALL,
    look_for_embedding,
    per_tensor,
)
from l2obench.optimizers.learned.controller_features import (
    BOUND,
    GROUPS,
    direction_signals,
    gradient_features,
    initial_losses,
    initial_signals,
    kind_features,
    loss_features,
    time_features,
    weight_features,
)
from l2obench.optimizers.learned.fused import directions as compiled_passes
from l2obench.optimizers.learned.fused.rule import FusedRule
from l2obench.optimizers.learned.fused.step import can_be_fused

STEP_SIZE = 0.036
"""A full step of the untrained rule, as a share of the size of the weights."""
OUTPUTS = 4
"""Of the network, for each tensor: the step's logarithm, the share of Muon, the momentum, the change of the rate. A
fifth one, where it is asked for, is the weight decay's logarithm."""
FIRST_MIXTURE = 2.0
"""The untrained share of Muon's direction is σ of it, 0.88."""
LARGEST_LOG_STEP, LARGEST_LOG_RATE, RATE_SPEED = 3.0, 4.0, 0.1
FIRST_DECAY, LARGEST_LOG_DECAY = 0.1, 3.0
RISEN, RETREAT_SPEED = 3.0, 0.15
"""From which multiple of the first loss on the rate falls, and its logarithm by how much a step."""

Inputs = Literal["all", "no-loss", "time-and-kind"]
READ: Mapping[Inputs, tuple[str, ...]] = {
    "all": tuple(GROUPS),
    "no-loss": ("time", "kind", "weights", "gradient"),
    "time-and-kind": ("time", "kind"),
}


class Controller(FusedRule, Optimizer):
    """u = −lr · 0.036 · w(t) · c(t) · e^{Δ + ℓ} · s(θ) · D for each tensor, with t updates done of T.

    One network for all tensors, h = tanh(A x + a), o = B h + b + C x, reads the features x of a tensor
    (`l2obench.optimizers.learned.controller_features`) at each step and gives:

        Δ  = 3 tanh(o₁ / 3);  p = σ(o₂);  β₁ = 1 − 0.1 exp(1.5 tanh(o₃ / 1.5))
        ℓ  ← ℓ + 0.1 tanh(o₄) / (1 + t/40) − 0.15 r, kept within ±4, from 0
        λ  = 0.1 exp(3 tanh(o₅ / 3)), where `decay` is learned

    where r is 1 while the loss and its mean over 5 steps are above 3 times the first loss, and else 0: a run that has
    left the range of its start takes shorter steps until it is back. A first loss that is somewhat low by chance does
    no harm. `retreat` says whether.

    Moments as in `relative-muon`, with this β₁ and β₂ = 0.99. Direction of a matrix: p · O + (1 − p) · A, brought to a
    root mean square of 1, where O is the orthogonalised momentum and A Adam's direction, each of root mean square 1.
    All else, and embeddings, have Adam's direction. Size s(θ), warm-up w(t) and cosine c(t) are those of
    `relative-muon`.

    The network's outputs and linear path are zero before training: the untrained rule is a relative Muon with a little
    of Adam's direction. By ℓ the rate can grow or fall as far as needed where a step relative to θ means nothing. It
    settles, so that a long run cannot wind it up.

    State: `step` t; `of`, by the name of each tensor, as in `relative-muon`, with `last` D; `signals`,
    `[seeds, settings, tensors]` each; `losses`, `[seeds, settings]` each. `observe` adds `loss` and `horizon`.

    Source: ours. Directions: Jordan et al. 2024 (Muon) and Kingma & Ba 2015. A network for each tensor sets the step of
    each tensor in Metz et al. 2022 (VeLO) too, where another one for each coordinate gives the direction.
    """

    name: ClassVar[str] = "controller"
    has_fused_step: ClassVar[bool] = True
    version: ClassVar[int] = 4
    uses: ClassVar[tuple[Use, ...]] = ("loss", "horizon")
    architecture: ClassVar[tuple[str, ...]] = (
        "hidden",
        "inputs",
        "direction",
        "integral",
        "settling",
        "decay",
        "floor",
        "cap",
    )
    stacks_meta_parameters: ClassVar[bool] = True
    compiled_up_to: ClassVar[float] = 0

    hidden: int = Field(default=16, ge=1, le=1024)
    """Units of the hidden layer."""
    inputs: Inputs = "all"
    """Which features the network reads: all; all but those of the loss; those of the time and of the tensor's kind."""
    direction: Literal["mixed", "muon", "adam"] = "mixed"
    """Of matrices: Muon's and Adam's, mixed by the network, or one of them."""
    integral: bool = True
    """Whether the network may change the rate lastingly, by ℓ."""
    settling: float | None = Field(default=40, gt=0)
    """Steps in which the speed of that change halves. None: it never does."""
    decay: Literal["given", "learned"] = "given"
    """Where the weight decay of a matrix comes from: `weight_decay` alone, or the network too, by λ."""
    floor: Literal["relative", "start", "usual"] = "relative"
    """What the floor of a matrix is: as in `relative-muon`; the smaller of 0.5/√fan-in and of its size at the start; or
    0.5/√fan-in."""
    cap: float = Field(default=1.5, ge=1)
    """The largest size that a step is relative to, in multiples of that at the start."""
    retreat: bool = True
    """Whether the rate falls while the loss is far above the first one."""
    lr: float = Field(default=1.0, gt=0)
    """Multiplies the update; 1 is as trained."""
    weight_decay: float = Field(default=0.0, ge=0)
    """λ, decoupled, in addition to a learned one: a full step takes the share 0.036 · lr · λ from each matrix that is
    no embedding. Warm-up and cosine hold for it too."""

    def network_shapes(self) -> dict[str, tuple[int, ...]]:
        inputs = sum(len(GROUPS[group]) for group in READ[self.inputs])
        outputs = OUTPUTS + (self.decay == "learned")
        return {
            "hidden.weight": (self.hidden, inputs),
            "hidden.bias": (self.hidden,),
            "output.weight": (outputs, self.hidden),
            "output.bias": (outputs,),
            "linear.weight": (outputs, inputs),
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
        passes = compiled_passes if self._can_fuse_all(grads, params, of) else plain_passes
        shapes, matrices = [tuple(params[name].shape[2:]) for name in of], [is_matrix(params[name]) for name in of]
        first = per_tensor(memory["first_rms"] for memory in of.values())
        no_embedding = torch.zeros_like(first[..., 0], dtype=torch.bool)
        embedding = per_tensor(memory.get("embedding", no_embedding) for memory in of.values())
        usual, floor = self._usual_sizes(shapes, matrices, first, embedding)
        sizes = first.new_tensor([math.prod(shape) for shape in shapes])
        *products, seconds, weights = passes.sum_products(grads, params, of).unbind()
        rms = (weights / sizes).sqrt()
        products.append(seconds / max(1 - BETA2**step, SMALL))
        of_gradient, signals = gradient_features(products, sizes, state["signals"], step)
        memory = state["losses"] or initial_losses(state["loss"])
        of_loss, losses = loss_features(state["loss"], memory, step, horizon)
        features = {
            "time": time_features(step, horizon),
            "kind": kind_features(shapes, matrices, embedding.to(first)),
            "weights": weight_features(rms, first, usual),
            "gradient": of_gradient,
            "loss": of_loss,
        }
        outputs = self._outputs([features[group] for group in READ[self.inputs]], len(of))
        log_step, mixture, beta1, change, learned_decay = outputs
        speed = 1 if self.settling is None else 1 / (1 + step / self.settling)
        change = speed * change
        if self.retreat:
            risen = torch.minimum(losses["last"], losses["fast"]) > RISEN * losses["first"]
            change = change - RETREAT_SPEED * risen.unsqueeze(-1)
        signals["log_rate"] = (signals["log_rate"] + change).clamp(-LARGEST_LOG_RATE, LARGEST_LOG_RATE)
        signals["weight_sum"] = beta1 * signals["weight_sum"] + 1 - beta1
        if self.direction != "mixed":
            mixture = torch.full_like(mixture, float(self.direction == "muon"))
        ahead_sum = beta1 * signals["weight_sum"] + 1 - beta1
        of, sums = passes.directions(grads, of, beta1, ahead_sum, mixture, step)
        adam_squares, squares, along_last, along_gradient = sums.unbind()
        signals |= direction_signals(squares, along_last, signals["last_norm"])
        signals["adam_rms"] = ((adam_squares / sizes).sqrt() + SMALL).log()
        rate = warmup(step, horizon) * cosine_to_zero(step, horizon) * (self.lr * STEP_SIZE)
        capped = torch.minimum(torch.maximum(rms, floor), self.cap * torch.maximum(first, floor))
        size = rate.unsqueeze(-1) * capped * (log_step + signals["log_rate"]).exp()
        losses["promised"] = (size * along_gradient).sum(-1)
        # Only where there is something to decay: else it is one more pass over the weights.
        decay = rate.unsqueeze(-1) * torch.where(embedding, 0, self.weight_decay + learned_decay)
        decaying = matrices if self.weight_decay or self.decay == "learned" else [False] * len(matrices)
        updates = passes.descend(of, params, size, decay, decaying)
        return updates, {"step": step + 1, "of": of, "signals": signals, "losses": losses}

    def _can_fuse_all(self, grads: Tensors, params: Tensors, of: Mapping[str, State]) -> bool:
        """Whether all tensors are stepped by the compiled passes, which do not see what is bool in the state."""
        return self.is_fused and all(
            can_be_fused(grads[name], params[name], memory["mean"], memory["square"], memory["last"])
            for name, memory in of.items()
        )

    def _outputs(self, groups: Sequence[Tensor], tensors: int) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Log step Δ, mixture p, momentum β₁, change of ℓ and weight decay λ, `[seeds, settings, tensors]` each."""
        features = torch.cat([group.expand(*group.shape[:2], tensors, -1) for group in groups], -1)
        features = features.nan_to_num(nan=0.0, posinf=BOUND, neginf=-BOUND).clamp(-BOUND, BOUND)
        phi = {name: tensor.to(features) for name, tensor in self.meta_parameters.items()}
        hidden = (features @ phi["hidden.weight"].mT + phi["hidden.bias"].unsqueeze(-2)).tanh()
        outputs = hidden @ phi["output.weight"].mT + phi["output.bias"].unsqueeze(-2)
        log_step, mixture, momentum, change, *rest = (outputs + features @ phi["linear.weight"].mT).unbind(-1)
        log_step = LARGEST_LOG_STEP * (log_step / LARGEST_LOG_STEP).tanh()
        beta1 = 1 - 0.1 * (1.5 * (momentum / 1.5).tanh()).exp()
        change = RATE_SPEED * change.tanh() if self.integral else torch.zeros_like(change)
        decay = torch.zeros_like(change)
        if rest:
            decay = FIRST_DECAY * (LARGEST_LOG_DECAY * (rest[0] / LARGEST_LOG_DECAY).tanh()).exp()
        return log_step, mixture.sigmoid(), beta1, change, decay

    def _usual_sizes(
        self, shapes: Sequence[tuple[int, ...]], matrices: Sequence[bool], first: Tensor, embedding: Tensor
    ) -> tuple[Tensor, Tensor]:
        """What such tensors usually have and the floor of each, `[seeds, settings, tensors]`."""
        has_fan_in = torch.tensor(matrices, device=first.device) & ~embedding
        of_matrices = first.new_tensor([MATRIX_FLOOR / math.prod(shape[1:]) ** 0.5 for shape in shapes])
        usual = torch.where(has_fan_in, of_matrices, OTHER_FLOOR)
        if self.floor == "usual":
            return usual, usual
        small = usual if self.floor == "start" else usual * (FAR_BELOW / MATRIX_FLOOR)
        return usual, torch.where(has_fan_in, floor_of_matrix(first, usual, small), usual)
