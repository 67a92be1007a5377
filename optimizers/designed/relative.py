"""What rules with steps relative to the size of the weights share: moments, schedule, and the size of a step."""

import math
from abc import abstractmethod
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from l2obench.optimizers.base import Optimizer, State, Tensors, Use, blend, per_replica, power

# Rows of an embedding whose token is not in the minibatch have no gradient. A dense layer has few such rows.
ROWS_OF_AN_EMBEDDING = 0.2
# The smallest size of weights that a step is relative to. Without it weights that start at zero would stay there.
MATRIX_FLOOR = 0.5  # over √fan-in
OTHER_FLOOR = 0.2
# Matrices that start smaller are small on purpose. A floor of many times their size would destroy what they start with.
FAR_BELOW = 0.1  # over √fan-in
WARMUP_SHARE, LONGEST_WARMUP = 0.02, 20
# Only against 0/0 where a gradient has always been zero: a larger one would shorten the steps of small gradients.
EPSILON = 1e-12


class RelativeOptimizer(Optimizer):
    """u = −lr · w(t) · c(t) · s(θ) · D for each tensor, with t updates done of T.

    Moments, corrected for their start at zero, with Nesterov's look-ahead:

        m ← β₁ m + (1 − β₁) g;   m̂ = (β₁ m + (1 − β₁) g) / (1 − β₁ᵗ⁺²)
        v ← β₂ v + (1 − β₂) g²;  v̂ = v / (1 − β₂ᵗ⁺¹)

    Direction: Adam's, D = m̂ / √v̂, unless a subclass gives matrices another one.
    Size: s(θ) = min(max(rms(θ), floor), cap · max(rms(θ₀), floor)), with floor = 0.5/√fan-in for matrices and 0.2 for
    all else. A matrix that starts with 0 < rms(θ₀) < 0.1/√fan-in has the floor rms(θ₀).
    The cap stops a loop in which larger weights take larger steps; without it recurrent networks diverge.
    Schedule: a warm-up w(t) = min(1, (t + 1) / max(1, min(0.02 T, 20))) and a cosine to zero c(t) = ½ (1 + cos(π t/T)).

    A matrix has two dimensions or more, and more than one row and one column as [outputs, all other dimensions]. A
    parameter of two dimensions is an embedding, and no matrix, if more than 0.2 of its rows are zero in its first
    gradient other than zero.

    State: `step` t, and under `of`, for each tensor by its name, `mean` m and `square` v `[seeds, settings, ...]`,
    `first_rms` rms(θ₀) `[seeds, settings]`, and for parameters of two dimensions `embedding` and `decided`
    `[seeds, settings]` bool. `observe` adds `horizon` T `[seeds, settings]`.

    Source: steps relative to the size of the weights: You et al. 2017 (LARS) and 2020 (LAMB). The floor, the cap and
    the defaults are ours.
    """

    version: ClassVar[int] = 2
    uses: ClassVar[tuple[Use, ...]] = ("horizon",)

    lr: float = Field(default=0.036, gt=0)
    """Size of a full step, as a share of the size of the weights. One value serves all tasks; 0.02 is steadier where
    trainings are long, and slower where they are short."""
    beta1: float = Field(default=0.9, ge=0, lt=1)
    """Decay of m for each step."""
    beta2: float = Field(default=0.99, ge=0, lt=1)
    """Decay of v for each step: shorter than Adam's 0.999, which still remembers the start in runs of 100 steps."""
    cap: float = Field(default=1.5, ge=1)
    """The largest size that a step is relative to, in multiples of that at the start."""

    @abstractmethod
    def matrix_direction(self, mean: Tensor, adam: Tensor) -> Tensor:
        """D for matrices.

        Args:
            mean: m̂ as matrices, `[seeds, settings, rows, columns]`.
            adam: Adam's direction m̂ / √v̂, of the same shape.
        """

    def init(self, params: Tensors) -> State:
        return {"step": 0, "of": {name: initial_moments(param) for name, param in params.items()}}

    def observe(self, state: State, losses: Tensor, horizon: int) -> State:
        return {**state, "horizon": torch.full_like(losses, horizon)}

    def update(self, grads: Tensors, state: State, params: Tensors) -> tuple[Tensors, State]:
        if "horizon" not in state:
            raise ValueError(f"{self.name} must know the number of steps, got none. Try: call observe before update")
        rate = self.lr * warmup(state["step"], state["horizon"]) * cosine_to_zero(state["step"], state["horizon"])
        updates, after = {}, {}
        for name, grad in grads.items():
            direction, embedding, after[name] = self._direction(grad, state["of"][name], state["step"])
            size = _step_size(params[name], after[name]["first_rms"], self.cap, embedding)
            updates[name] = direction * per_replica(-rate * size, grad)
        return updates, {"step": state["step"] + 1, "of": after}

    def _direction(self, grad: Tensor, state: State, step: int) -> tuple[Tensor, Tensor | None, State]:
        """D `[seeds, settings, ...]`, which replicas have an embedding here (None: no replica can), the next state."""
        beta1, beta2 = per_replica(self.beta1, grad), per_replica(self.beta2, grad)
        mean = blend(state["mean"], grad, 1 - beta1)
        square = blend(state["square"], grad * grad, 1 - beta2)
        ahead = torch.lerp(mean, grad, 1 - beta1) / (1 - power(beta1, step + 2))
        adam = ahead / ((square / (1 - power(beta2, step + 1))).sqrt() + EPSILON)
        after = {**state, "mean": mean, "square": square}
        if not is_matrix(grad):
            return adam, None, after
        own = self.matrix_direction(ahead.flatten(3), adam.flatten(3)).view_as(grad)
        if "embedding" not in state:
            return own, None, after
        after |= find_embeddings(grad, state)
        embedding: Tensor = after["embedding"]
        return torch.where(embedding[..., None, None], adam, own), embedding, after


def warmup(step: int, horizon: Tensor) -> Tensor:
    """The share of a full step that a linear warm-up over min(0.02 T, 20) steps allows, at least one step long.

    Args:
        step: updates done, t.
        horizon: updates of the whole run, T, of any shape.

    Example:
        >>> warmup(0, torch.tensor([10.0, 200.0, 5000.0]))
        tensor([1.0000, 0.2500, 0.0500])
    """
    return ((step + 1) / (WARMUP_SHARE * horizon).clamp(1, LONGEST_WARMUP)).clamp_max(1)


def cosine_to_zero(step: int, horizon: Tensor) -> Tensor:
    """½ (1 + cos(π t/T)): 1 at the start of the run, 0 at its end and after it.

    Args:
        step: updates done, t.
        horizon: updates of the whole run, T, of any shape.

    Example:
        >>> cosine_to_zero(5, torch.tensor([10.0, 5.0]))
        tensor([0.5000, 0.0000])

    Source: Loshchilov & Hutter 2017, "SGDR", equation 5 with one period and η_min = 0.
    """
    return (1 + torch.cos(math.pi * (step / horizon).clamp_max(1))) / 2


def is_matrix(param: Tensor) -> bool:
    """Whether a parameter is a matrix [outputs, all other dimensions] with two of each at least.

    Args:
        param: `[seeds, settings, ...]`.

    Example:
        >>> is_matrix(torch.ones(1, 1, 16, 3, 3, 3)), is_matrix(torch.ones(1, 1, 16))
        (True, False)
    """
    sizes = param.shape[2:]
    return len(sizes) >= 2 and sizes[0] > 1 and math.prod(sizes[1:]) > 1


def root_mean_square(tensor: Tensor) -> Tensor:
    """The root mean square of each replica's tensor.

    Args:
        tensor: `[seeds, settings, ...]`.

    Returns:
        `[seeds, settings]`.
    """
    return tensor.reshape(*tensor.shape[:2], -1).square().mean(-1).sqrt()


def initial_moments(param: Tensor) -> State:
    """What is remembered of one tensor, before the first step.

    Args:
        param: `[seeds, settings, ...]`.

    Returns:
        `mean` and `square` like `param`; `first_rms` `[seeds, settings]`; for parameters of two dimensions `embedding`
        and `decided`, `[seeds, settings]` of bool.
    """
    state = {"mean": torch.zeros_like(param), "square": torch.zeros_like(param), "first_rms": root_mean_square(param)}
    if is_matrix(param) and param.ndim == 4:
        nothing = torch.zeros(param.shape[:2], dtype=torch.bool, device=param.device)
        state |= {"embedding": nothing, "decided": nothing.clone()}
    return state


def floor_of_matrix(first_rms: Tensor, usual: Tensor | float, small: Tensor | float) -> Tensor:
    """The least size that the step of a matrix is relative to: what is usual, or its own at the start if that is small.

    Args:
        first_rms: rms(θ₀), of any shape.
        usual: the floor of most matrices; of that shape, or one for all.
        small: below it a matrix has its own floor, unless it starts at zero.

    Example:
        >>> floor_of_matrix(torch.tensor([0.0, 0.01, 0.2]), 0.5, 0.1)
        tensor([0.5000, 0.0100, 0.5000])
    """
    return torch.where((first_rms > 0) & (first_rms < small), first_rms, usual)


def find_embeddings(grad: Tensor, state: State) -> State:
    """Which replicas have an embedding here: decided once, by the first gradient other than zero.

    A gradient of zeros says nothing: below an output layer that starts at zero, every first gradient is zero.

    Args:
        grad: of a parameter of two dimensions, `[seeds, settings, rows, columns]`.
        state: of that parameter; `embedding` and `decided` are read.

    Returns:
        `embedding` and `decided`, `[seeds, settings]` of bool.
    """
    zero_rows = (grad == 0).all(-1)
    share = zero_rows.to(grad.dtype).mean(-1)
    embedding = torch.where(state["decided"], state["embedding"], (share > ROWS_OF_AN_EMBEDDING) & (share < 1))
    return {"embedding": embedding, "decided": state["decided"] | (share < 1)}


def _step_size(param: Tensor, first_rms: Tensor, cap: float | Tensor, embedding: Tensor | None) -> Tensor:
    """s(θ), `[seeds, settings]`."""
    floor = torch.full_like(first_rms, OTHER_FLOOR)
    if is_matrix(param):
        usual = math.prod(param.shape[3:]) ** -0.5
        floor = floor_of_matrix(first_rms, MATRIX_FLOOR * usual, FAR_BELOW * usual)
    if embedding is not None:
        floor = torch.where(embedding, OTHER_FLOOR, floor)
    return torch.minimum(torch.maximum(root_mean_square(param), floor), cap * torch.maximum(first_rms, floor))
