"""Perturbed replicas: copies of a rule at φ ± σε, rolled out on the same functions and minibatches.

Each perturbation is a setting of the rollout, so all replicas of a function share its minibatch and its products. The
rule runs once for each perturbation, with the perturbed meta-parameters, or once for all of them if it takes a stack of
meta-parameters. Papers on evolution strategies call a perturbed replica a particle.

Several rules share the replicas of a function evenly, in their order, and the state is by rule: `"0"`, `"1"`, ….
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from l2obench.bench.metatrain.estimators.base import Estimator
from l2obench.bench.metatrain.estimators.states import copy_state
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.step import Carry, evaluate_loss, start
from l2obench.optimizers.learned.base import LearnedOptimizer
from l2obench.tasks.base import Tensors

SMALLEST_RMS, HIGHEST_SCORE = 0.002, 2.5


@dataclass(frozen=True, kw_only=True)
class EvolutionStrategy(Estimator):
    """What estimators by finite differences along random perturbations have in common."""

    sigma: float = 0.01
    pairs: int = 4
    standardise: bool = False
    """Each function's differences are divided by their root mean square."""

    def meta_grads(self, values: Tensor, noise: Tensors) -> Tensors:
        """The meta-gradient of this estimator, as `finite_difference` gives it.

        Args:
            values: J, `[functions, 2 · pairs]`.
            noise: what is multiplied with the differences, `[pairs, ...]` for each meta-parameter.
        """
        return finite_difference(values, noise, self.sigma, standardise=self.standardise)


def draw_perturbations(rule: LearnedOptimizer, pairs: int, random: torch.Generator) -> Tensors:
    """Draw ε ~ N(0, I).

    Args:
        rule: the learned optimizer; its meta-parameters give the shapes.
        pairs: perturbations, each used with both signs.
        random: a CPU generator, so that every device has the same ones.

    Returns:
        `[pairs, ...]` for each meta-parameter.
    """
    return {
        name: torch.randn(pairs, *phi.shape, generator=random, dtype=phi.dtype).to(phi.device)
        for name, phi in rule.meta_parameters.items()
    }


def perturb_antithetically(rule: LearnedOptimizer, noise: Tensors, sigma: float) -> list[LearnedOptimizer]:
    """The rule at φ + σε for every pair, then at φ − σε for every pair.

    Args:
        rule: the learned optimizer at φ.
        noise: ε, `[pairs, ...]` for each meta-parameter.
        sigma: σ.

    Returns:
        `2 · pairs` rules, in that order.
    """
    pairs = len(next(iter(noise.values())))
    return [
        rule.with_meta_parameters({name: phi + sign * noise[name][k] for name, phi in rule.meta_parameters.items()})
        for sign in (sigma, -sigma)
        for k in range(pairs)
    ]


def stack_rules(rules: Sequence[LearnedOptimizer]) -> Sequence[LearnedOptimizer]:
    """One rule with a stack of meta-parameters in place of many, where the rule takes one; else the same rules.

    Args:
        rules: of one kind, with meta-parameters of the same shapes.
    """
    first = rules[0]
    if not first.takes_stacks():
        return rules
    phis = [rule.meta_parameters for rule in rules]
    return [first.with_meta_parameters({name: torch.stack([phi[name] for phi in phis]) for name in phis[0]})]


def start_replicas(problems: Problems, rule: LearnedOptimizer, count: int) -> Carry:
    """Start several replicas of each function at θ_0, each with an optimizer state of its own.

    Args:
        problems: the functions.
        rule: the learned optimizer, unperturbed; all replicas have its initial state.
        count: replicas of each function.

    Returns:
        `[functions, count, ...]`.
    """
    rules = stack_rules([rule] * count)
    if len(rules) == 1:
        carry = start(problems, rules[0], count)
        return replace(carry, state={"0": carry.state})
    carry = start(problems, rule, count)
    state = {str(k): rule.init(_share(carry.params, k, count)) for k in range(count)}
    return _observe_losses(problems, rules, replace(carry, state=state))


def repeat_replica(carry: Carry, count: int) -> Carry:
    """Copy the replica of each function.

    Args:
        carry: one replica of each function, `[functions, 1, ...]`.
        count: copies.

    Returns:
        `[functions, count, ...]`; the state is by replica, as in `start_replicas`.
    """

    def repeat(values: Tensors) -> Tensors:
        return {name: value.repeat_interleave(count, dim=1) for name, value in values.items()}

    state = {str(k): copy_state(carry.state) for k in range(count)}
    losses = carry.losses.repeat_interleave(count, dim=1)
    return Carry(repeat(carry.params), state, losses, repeat(carry.grads), carry.step, repeat(carry.buffers))


def select_replica(carry: Carry, index: int) -> Carry:
    """Take one of the replicas of each function, as an ordinary rollout with one setting.

    Args:
        carry: `[functions, replicas, ...]`.
        index: the replica's number, from 0.

    Returns:
        `[functions, 1, ...]`.
    """
    state = carry.state[str(index)]
    count = carry.losses.shape[1]
    params, grads, buffers = (_share(values, index, count) for values in (carry.params, carry.grads, carry.buffers))
    return Carry(params, state, carry.losses[:, index : index + 1], grads, carry.step, buffers)


def unroll_replicas(
    problems: Problems, rules: Sequence[LearnedOptimizer], carry: Carry, steps: int
) -> tuple[Carry, Tensor]:
    """All replicas after `steps` more steps, and their losses `[functions, replicas, steps]`.

    Args:
        problems: the functions.
        rules: one for each replica, or one for all.
        carry: where they are; consumed.
        steps: how many steps.
    """
    losses = []
    for _ in range(steps):
        state, moves = {}, []
        for k, rule in enumerate(rules):
            grads, params = (_share(values, k, len(rules)) for values in (carry.grads, carry.params))
            updates, state[str(k)] = rule.update(grads, carry.state[str(k)], params)
            moves.append(updates)
        params = {name: value + torch.cat([move[name] for move in moves], 1) for name, value in carry.params.items()}
        carry = _observe_losses(problems, rules, evaluate_loss(problems, params, state, carry.buffers, carry.step + 1))
        losses.append(carry.losses)
    return carry, torch.stack(losses, dim=-1)


def finite_difference(values: Tensor, noise: Tensors, sigma: float, *, standardise: bool = False) -> Tensors:
    """Σ over pairs of ε (J⁺ − J⁻) / 2σ, over their number.

    A function counts for nothing in a pair of which one replica has diverged on it.

    Args:
        values: J, `[functions, 2 · pairs]`, in the order of `perturb_antithetically`.
        noise: ε, `[pairs, ...]` for each meta-parameter.
        sigma: σ.
        standardise: take d / (rms(d) + 0.002), kept within ±2.5, in place of d / σ, where d are a function's half
            differences (J⁺ − J⁻) / 2.

    Returns:
        The meta-gradient, of the shape of each meta-parameter.

    Example:
        >>> finite_difference(torch.tensor([[3.0, 1.0]]), {"bias": torch.tensor([[2.0]])}, sigma=0.5)
        {'bias': tensor([4.])}
    """
    positive, negative = values.chunk(2, dim=1)
    half = (positive - negative) / 2
    half = torch.where(half.isfinite(), half, 0.0)
    if standardise:
        slopes = (half / (half.square().mean(1, keepdim=True).sqrt() + SMALLEST_RMS)).clamp(
            -HIGHEST_SCORE, HIGHEST_SCORE
        )
    else:
        slopes = half / sigma
    slope = slopes.mean(0) / positive.shape[1]
    return {name: torch.tensordot(slope, value, dims=1) for name, value in noise.items()}


def _observe_losses(problems: Problems, rules: Sequence[LearnedOptimizer], carry: Carry) -> Carry:
    """The same, each rule having observed the losses of its replicas."""
    horizon, shares = problems.task.horizon, carry.losses.chunk(len(rules), dim=1)
    state = {str(k): rule.observe(carry.state[str(k)], shares[k], horizon) for k, rule in enumerate(rules)}
    return replace(carry, state=state)


def _share(values: Tensors, index: int, rules: int) -> Tensors:
    # A slice, not an index: what follows expects the dimension of settings.
    if rules == 1:
        return values
    return {name: value[:, _span(value, index, rules)] for name, value in values.items()}


def _span(value: Tensor, index: int, rules: int) -> slice:
    size = value.shape[1] // rules
    return slice(index * size, (index + 1) * size)
