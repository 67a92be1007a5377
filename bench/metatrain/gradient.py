"""Truncated backpropagation through time, with the gradients of the optimizee held constant.

The meta-gradient of Σ_t w_t f(θ_t) with ∂∇f/∂φ = 0 (Andrychowicz et al. 2016, section 2) is that of the surrogate
Σ_t w_t ⟨g_t, θ_t⟩, and, since θ_t = θ_0 + Σ_{s<t} u_s, that of Σ_s ⟨u_s, G_s⟩ with G_s = Σ_{t>s} w_t g_t. So the
segment is first run forward without a graph, by the same code as every rollout, while g_t is written down; then the
rule alone is replayed on the recorded gradients with a graph. The optimizee's graph is never kept.

For a coordinatewise rule the surrogate is a sum over coordinates: a random sample of them, weighted by the inverse of
the sampling rate, gives the meta-gradient without bias at a fraction of the time and memory.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bench.rollout import Carry, Problems, advance
from optimizers.base import CoordinatewiseOptimizer, State
from optimizers.learned import LearnedOptimizer
from tasks.base import Tensors


@dataclass(frozen=True)
class Segment:
    """One truncation: where the rollout stands after it, the losses it met, and the meta-gradient."""

    carry: Carry
    losses: Tensor
    """f(θ_t) after each step, `[seeds, settings, steps]`."""
    meta_grads: Tensors


def truncated_bptt(
    problems: Problems,
    rule: LearnedOptimizer,
    carry: Carry,
    weights: Tensor,
    coordinates: int | None = None,
    generator: torch.Generator | None = None,
) -> Segment:
    """Advance by `len(weights)` steps; meta-gradient of the mean over replicas of Σ_t weights[t] · f(θ_t).

    Args:
        problems: the functions, `[seeds]`.
        rule: the learned optimizer; its meta-parameters need not require a gradient.
        carry: where the segment begins; consumed. No gradient flows into it: this is the truncation.
        weights: `[steps]`, the weight of the loss after each step.
        coordinates: at most so many coordinates of each parameter tensor and replica carry a graph; None: all.
        generator: draws those coordinates.

    Raises:
        ValueError: `coordinates` asked of a rule that is not coordinatewise.
    """
    replicas = carry.losses.numel()
    if isinstance(rule, CoordinatewiseOptimizer):
        tape: _Tape = _SampledTape(carry, coordinates, generator)
    elif coordinates is None:
        tape = _Tape(carry)
    else:
        raise ValueError(f"coordinates={coordinates} needs a coordinatewise rule, and {rule.name} is not one")

    losses = []
    with torch.no_grad():
        for _ in weights:
            carry = advance(problems, rule, carry)
            tape.record(carry.grads)
            losses.append(carry.losses)

    phi = {name: tensor.detach().requires_grad_() for name, tensor in rule.meta_parameters.items()}
    surrogate = tape.replay(rule.with_meta_parameters(phi), weights) / replicas
    grads = torch.autograd.grad(surrogate, list(phi.values()))
    return Segment(carry, torch.stack(losses, dim=-1), dict(zip(phi, grads, strict=True)))


class _Tape:
    """The gradients of a segment, and what is needed to run the rule over them again."""

    def __init__(self, carry: Carry) -> None:
        self.params: Tensors = carry.params
        self.state: State = _copied(carry.state)
        self.scale: Tensors = {}
        self.grads = [self.select(carry.grads)]

    def select(self, grads: Tensors) -> Tensors:
        return grads

    def record(self, grads: Tensors) -> None:
        self.grads.append(self.select(grads))

    def replay(self, rule: LearnedOptimizer, weights: Tensor) -> Tensor:
        """The surrogate Σ_s ⟨u_s, G_s⟩ as a graph over the rule's meta-parameters."""
        to_go = self._weighted_gradients_to_go(weights)
        params, state = self.params, self.state
        surrogate = weights.new_zeros(())
        for grads, targets in zip(self.grads, to_go, strict=False):
            updates, state = rule.update(grads, state, params)
            params = {name: value + updates[name] for name, value in params.items()}
            for name, update in updates.items():
                surrogate = surrogate + (update * targets[name]).sum()
        return surrogate

    def _weighted_gradients_to_go(self, weights: Tensor) -> list[Tensors]:
        """G_s = Σ_{t>s} w_t g_t for every step s. A coordinate whose gradients are not all finite gets none."""
        to_go: list[Tensors] = []
        total = {name: torch.zeros_like(grad) for name, grad in self.grads[0].items()}
        for weight, grads in zip(weights.flip(0), reversed(self.grads), strict=False):
            total = {name: total[name] + weight * grads[name] for name in grads}
            to_go.append(total)
        finite = {name: last.isfinite() for name, last in total.items()}
        scale = {name: torch.where(finite[name], self.scale.get(name, 1.0), 0.0) for name in finite}
        self.grads = [{n: torch.where(finite[n], g, 0.0) for n, g in grads.items()} for grads in self.grads]
        return [{n: torch.where(finite[n], g, 0.0) * scale[n] for n, g in item.items()} for item in reversed(to_go)]


class _SampledTape(_Tape):
    """A tape of some coordinates, drawn anew for each segment and laid end to end in one tensor."""

    def __init__(self, carry: Carry, coordinates: int | None, generator: torch.Generator | None) -> None:
        self.chosen = {name: _choose(param, coordinates, generator) for name, param in carry.params.items()}
        super().__init__(carry)
        self.params = self.select(carry.params)
        self.state = {"sample": self._select_state(carry)}
        rates = [torch.full_like(index, 1, dtype=torch.float64) * (carry.params[name].numel() / max(1, len(index)))
                 for name, index in self.chosen.items()]
        self.scale = {"sample": torch.cat(rates).to(self.params["sample"])}

    def select(self, grads: Tensors) -> Tensors:
        return {"sample": torch.cat([grads[name].flatten()[index] for name, index in self.chosen.items()])}

    def _select_state(self, carry: Carry) -> State:
        """State tensors end in their parameter's shape (the contract of a coordinatewise rule): take what is chosen."""
        parts = [
            {
                key: value.flatten(value.ndim - carry.params[name].ndim)[..., index] if isinstance(value, Tensor) else value
                for key, value in carry.state[name].items()
            }
            for name, index in self.chosen.items()
        ]
        return {
            key: torch.cat([part[key] for part in parts], dim=-1) if isinstance(value, Tensor) else value
            for key, value in parts[0].items()
        }


def _choose(param: Tensor, coordinates: int | None, generator: torch.Generator | None) -> Tensor:
    """Flat positions in a stacked parameter `[seeds, settings, ...]`: all, or a random sample without replacement."""
    replicas = param.shape[0] * param.shape[1]
    budget = param.numel() if coordinates is None else coordinates * replicas
    if budget >= param.numel():
        return torch.arange(param.numel(), device=param.device)
    return torch.randperm(param.numel(), generator=generator)[:budget].to(param.device)


def _copied(state: State) -> State:
    """A copy of a nested state: the rollout consumes the original."""
    return {
        key: value.clone() if isinstance(value, Tensor) else _copied(value) if isinstance(value, dict) else value
        for key, value in state.items()
    }
