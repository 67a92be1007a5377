"""Truncated backpropagation through time, with the gradients of the optimizee held constant.

The meta-gradient of Σ_t w_t f(θ_t) with ∂∇f/∂φ = 0 (Andrychowicz et al. 2016, section 2) is that of the surrogate
Σ_t w_t ⟨g_t, θ_t⟩, and, since θ_t = θ_0 + Σ_{s<t} u_s, that of Σ_s ⟨u_s, G_s⟩ with G_s = Σ_{t>s} w_t g_t. So the
segment first runs forward without a graph, by the same code as every rollout, while a tape records g_t. Then the rule
alone runs backward over it. The optimizee's graph is never kept.

A rule with a hand-written backward pass (`LearnedOptimizer.unroll`) needs no graph. On all coordinates it needs no
replay either: it records what it needs while it steps.

For a coordinatewise rule the surrogate is a sum over coordinates: a random sample of them, weighted by the inverse of
the sampling rate, gives the meta-gradient without bias at a fraction of the time and memory.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from l2obench.bench.metatrain.estimators.tape import SegmentTape, sample_coordinates, unroll_tensors
from l2obench.bench.metatrain.process_group import Shard
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.step import Carry, advance, evaluate_loss
from l2obench.optimizers.base import CoordinatewiseOptimizer
from l2obench.optimizers.learned.base import LearnedOptimizer
from l2obench.tasks.base import Tensors


@dataclass(frozen=True)
class Segment:
    """The outcome of one truncation."""

    carry: Carry
    """Where the rollout is after it."""
    losses: Tensor
    """f(θ_t) after each step, `[functions, settings, steps]`."""
    meta_grads: Tensors
    """The meta-gradient, of the shape of each meta-parameter."""


def truncated_bptt(
    problems: Problems,
    rule: LearnedOptimizer,
    carry: Carry,
    weights: Tensor,
    coordinates: int | None = None,
    generator: torch.Generator | None = None,
    shard: Shard | None = None,
    slopes: Callable[[Tensor], Tensor] | None = None,
) -> Segment:
    """Advance by `len(weights)` steps; meta-gradient of the mean over replicas of Σ_t weights[t] · f(θ_t).

    Args:
        problems: the functions.
        rule: the learned optimizer; its meta-parameters need not require a gradient.
        carry: where the segment begins; consumed. No gradient flows into it: this is the truncation.
        weights: `[steps]`, the weight of the loss after each step.
        coordinates: maximum number of coordinates of each parameter tensor and replica that are backpropagated through;
            None: all.
        generator: draws those coordinates.
        shard: which functions of the meta-batch `problems` are; None: all.
        slopes: from the losses, `[functions, settings, steps]`, to ∂J/∂f(θ_t) of an objective J, `[steps]` or of the
            losses' shape, in place of the weights. None: the weights.

    Returns:
        Where the segment ended, its losses, and the meta-gradient.

    Raises:
        ValueError: `coordinates` asked of a rule that is not coordinatewise.
        RecipeError: the rule gives no gradient.
    """
    replicas = carry.losses.numel()
    if coordinates is not None and not isinstance(rule, CoordinatewiseOptimizer):
        raise ValueError(f"coordinates={coordinates} needs a coordinatewise rule, and {rule.name} is not one")
    sample = sample_coordinates(carry.params, coordinates, generator, shard)
    tape = SegmentTape(rule, carry, problems.task.horizon, sample)

    losses_by_step = []
    # With sampled coordinates the rule runs on all of them forward, and backward on the sample only.
    unrolled = None if coordinates is not None else unroll_tensors(rule, carry.state, len(weights))
    with torch.no_grad():
        for _ in weights:
            if unrolled is None:
                carry = advance(problems, rule, carry)
            else:
                updates = {name: unrolled[name].update(grad) for name, grad in carry.grads.items()}
                params = {name: value + updates[name] for name, value in carry.params.items()}
                carry = evaluate_loss(problems, params, carry.state, carry.buffers, carry.step + 1)
            tape.record(carry)
            losses_by_step.append(carry.losses)
    if unrolled is not None:
        carry = replace(carry, state={name: each.state() for name, each in unrolled.items()})
    losses = torch.stack(losses_by_step, dim=-1)

    meta_grads = tape.meta_gradient(rule, weights if slopes is None else slopes(losses), unrolled)
    return Segment(carry, losses, {name: grad / replicas for name, grad in meta_grads.items()})
