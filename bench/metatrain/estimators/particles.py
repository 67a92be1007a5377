"""Antithetic particles: copies of a rule at φ ± σε, rolled out on the same functions and minibatches.

A particle is a setting of the rollout, so all particles of a function share its minibatch and its products; only the
rule is asked once for each, with that particle's meta-parameters.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from l2obench.bench.metatrain.estimators.states import copied
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.step import Carry, evaluate_loss, start
from l2obench.optimizers.learned.base import LearnedOptimizer
from l2obench.tasks.base import Tensors


def perturbations(rule: LearnedOptimizer, pairs: int, random: torch.Generator) -> Tensors:
    """ε ~ N(0, I), `[pairs, ...]` for each meta-parameter."""
    return {
        name: torch.randn(pairs, *phi.shape, generator=random, dtype=phi.dtype).to(phi.device)
        for name, phi in rule.meta_parameters.items()
    }


def antithetic(rule: LearnedOptimizer, noise: Tensors, sigma: float) -> list[LearnedOptimizer]:
    """The rule at φ + σε for every pair, then at φ − σε for every pair."""
    pairs = len(next(iter(noise.values())))
    return [
        rule.with_meta_parameters({name: phi + sign * noise[name][k] for name, phi in rule.meta_parameters.items()})
        for sign in (sigma, -sigma)
        for k in range(pairs)
    ]


def gathered(problems: Problems, rule: LearnedOptimizer, particles: int) -> Carry:
    """All particles at θ_0."""
    carry = start(problems, rule, particles)
    state = {str(k): rule.init(_of(carry.params, k)) for k in range(particles)}
    return _told(problems, [rule] * particles, replace(carry, state=state))


def spread(carry: Carry, particles: int) -> Carry:
    """As many particles as asked for, all where the one replica of each function in `carry` stands."""

    def each(values: Tensors) -> Tensors:
        return {name: value.repeat_interleave(particles, dim=1) for name, value in values.items()}

    state = {str(k): copied(carry.state) for k in range(particles)}
    losses = carry.losses.repeat_interleave(particles, dim=1)
    return Carry(each(carry.params), state, losses, each(carry.grads), carry.step, each(carry.buffers))


def alone(carry: Carry, particle: int) -> Carry:
    """One of the particles, as an ordinary rollout with one setting."""
    state = carry.state[str(particle)]
    params, grads, buffers = (_of(values, particle) for values in (carry.params, carry.grads, carry.buffers))
    return Carry(params, state, _losses(carry, particle), grads, carry.step, buffers)


def roll(problems: Problems, rules: Sequence[LearnedOptimizer], carry: Carry, steps: int) -> tuple[Carry, Tensor]:
    """All particles after `steps` more steps, each by its own rule, and their losses `[seeds, particles, steps]`."""
    losses = []
    for _ in range(steps):
        state, moves = {}, []
        for k, rule in enumerate(rules):
            updates, state[str(k)] = rule.update(_of(carry.grads, k), carry.state[str(k)], _of(carry.params, k))
            moves.append(updates)
        params = {name: value + torch.cat([move[name] for move in moves], 1) for name, value in carry.params.items()}
        carry = _told(problems, rules, evaluate_loss(problems, params, state, carry.buffers, carry.step + 1))
        losses.append(carry.losses)
    return carry, torch.stack(losses, dim=-1)


def finite_difference(values: Tensor, noise: Tensors, sigma: float) -> Tensors:
    """Σ over pairs of ε (J⁺ − J⁻) / 2σ, over their number, from J `[seeds, 2 · pairs]` in the order of `antithetic`.

    A function counts for nothing in a pair of which one particle has diverged on it.
    """
    positive, negative = values.chunk(2, dim=1)
    difference = positive - negative
    slope = torch.where(difference.isfinite(), difference, 0.0).mean(0) / (2 * sigma * positive.shape[1])
    return {name: torch.tensordot(slope, value, dims=1) for name, value in noise.items()}


def _told(problems: Problems, rules: Sequence[LearnedOptimizer], carry: Carry) -> Carry:
    horizon = problems.task.horizon
    state = {str(k): rule.observe(carry.state[str(k)], _losses(carry, k), horizon) for k, rule in enumerate(rules)}
    return replace(carry, state=state)


def _losses(carry: Carry, particle: int) -> Tensor:
    return carry.losses[:, particle : particle + 1]


def _of(values: Tensors, particle: int) -> Tensors:
    return {name: value[:, particle : particle + 1] for name, value in values.items()}
