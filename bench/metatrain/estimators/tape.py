"""The tape of a segment: its gradients and losses, and the derivative of its updates with respect to φ.

Gradients of the optimizee are held constant. Then the derivative of Σ_s ⟨u_s, targets_s⟩, with constant targets, needs
only the rule, on all coordinates or, for a coordinatewise rule, on a random sample of them.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from l2obench.bench.config.recipe import RecipeError
from l2obench.bench.metatrain.estimators.states import copy_state
from l2obench.bench.metatrain.process_group import Shard
from l2obench.bench.rollout.step import Carry
from l2obench.optimizers.base import CoordinatewiseOptimizer, Optimizer, State
from l2obench.optimizers.learned.base import LearnedOptimizer
from l2obench.optimizers.learned.unrolled import Unrolled
from l2obench.tasks.base import Tensors


def unroll_tensors(rule: LearnedOptimizer, state: State, steps: int) -> dict[str, Unrolled] | None:
    """Start the rule's hand-written forward and backward pass for each tensor of a state.

    Args:
        rule: the learned optimizer.
        state: its state, by parameter or by kind of parameter.
        steps: of the segment.

    Returns:
        The passes by the names in `state`; None where the rule has none, so that autograd must be used.
    """
    if not isinstance(rule, CoordinatewiseOptimizer):
        return None
    unrolled = {}
    with torch.no_grad():
        for name, each in state.items():
            found = rule.of_kind(rule.kind(name)).unroll(each, steps)
            if found is None:
                return None
            unrolled[name] = found
    return unrolled


def require_gradients(rule: Optimizer, objective: Tensor, phi: Tensors) -> Tensors:
    """The gradient of `objective` with respect to every meta-parameter in `phi`.

    It is zero for one that the updates of the segment do not depend on, such as one that decides only the next step.

    Args:
        rule: for the error.
        objective: a scalar.
        phi: meta-parameters that are leaves of its graph.

    Raises:
        RecipeError: the updates depend on none, because no derivative passes through the rule.
    """
    found: list[Tensor | None] = [None] * len(phi)
    if objective.requires_grad:
        found = list(torch.autograd.grad(objective, list(phi.values()), allow_unused=True))
    if all(grad is None for grad in found):
        raise RecipeError(
            f"{rule.name} cannot be trained by backpropagation: its updates have no derivative with respect to "
            f"{', '.join(phi)}. Try: --estimator es, pes or nres"
        )
    pairs = zip(phi.items(), found, strict=True)
    return {name: torch.zeros_like(value) if grad is None else grad for (name, value), grad in pairs}


@dataclass(frozen=True)
class CoordinateSample:
    """Coordinates that are backpropagated through."""

    positions: Tensors
    """Flat positions in each stacked parameter `[functions, settings, ...]`."""
    weights: dict[str, float]
    """For each parameter, the inverse of the sampling rate: it keeps the meta-gradient unbiased."""


class SegmentTape:
    """The gradients and losses of a segment, and what is needed to run the rule over them again.

    With a sample of coordinates, only those are kept, concatenated into one tensor for each kind of parameter that the
    rule distinguishes: few large tensors are faster than many small ones.

    Args:
        rule: the learned optimizer.
        carry: where the segment begins; its state is copied.
        horizon: T, which some rules observe.
        sample: coordinates that are backpropagated through; None: all.
    """

    def __init__(self, rule: LearnedOptimizer, carry: Carry, horizon: int, sample: CoordinateSample | None) -> None:
        self.positions = positions = None if sample is None else sample.positions
        self.whole = carry.params
        self.kinds = _kinds(rule, carry.params) if positions is not None else {}
        self.params = self._pick(carry.params)
        if sample is None or positions is None:
            self.state = copy_state(carry.state)
            self.scale = dict.fromkeys(
                carry.params, torch.ones((), dtype=carry.losses.dtype, device=carry.losses.device)
            )
        else:
            self.state = {
                kind: _pick_state(carry, {name: positions[name] for name in names})
                for kind, names in self.kinds.items()
            }
            rates = {
                name: value.new_full((len(positions[name]),), sample.weights[name])
                for name, value in carry.params.items()
            }
            self.scale = {kind: torch.cat([rates[name] for name in names]) for kind, names in self.kinds.items()}
        self.grads = [self._pick(carry.grads)]
        self.losses = [carry.losses]
        self.horizon = horizon
        self.finite = True

    def record(self, carry: Carry) -> None:
        """The gradient and the loss after a step.

        Args:
            carry: the rollout after the step.
        """
        self.grads.append(self._pick(carry.grads))
        self.losses.append(carry.losses)

    def meta_gradient(self, rule: LearnedOptimizer, weights: Tensor, unrolled: dict[str, Unrolled] | None) -> Tensors:
        """∂/∂φ of the surrogate Σ_s ⟨u_s, G_s⟩.

        `unrolled` are the passes that the rollout ran. They are used again if all they saw was finite.

        Args:
            rule: the learned optimizer.
            weights: ∂J/∂f(θ_t), `[steps]` or `[functions, settings, steps]`.
            unrolled: those passes; None: they run again.
        """
        to_go = self._weighted_gradients_to_go(weights)
        return self.pull_back(rule, to_go, unrolled if self.finite else None)

    def targets(self, slopes: Tensors) -> Tensors:
        """∂J/∂u of one step, given for whole parameters, as `pull_back` takes it.

        Args:
            slopes: ∂J/∂u, `[functions, settings, ...]` for each parameter.

        Returns:
            Those of the sampled coordinates, times the inverse of their sampling rate.
        """
        return {name: slope * self.scale[name] for name, slope in self._pick(slopes).items()}

    def pull_back(
        self, rule: LearnedOptimizer, targets: list[Tensors], unrolled: dict[str, Unrolled] | None = None
    ) -> Tensors:
        """∂/∂φ of Σ_s ⟨u_s, targets_s⟩ with constant targets: by the rule's hand-written pass, else by autograd.

        `unrolled` are the passes that the rollout ran; None: they run again over the recorded gradients.

        Args:
            rule: the learned optimizer.
            targets: one a step, from `targets`.
            unrolled: those passes.

        Returns:
            Of the shape of each meta-parameter.

        Raises:
            RecipeError: no derivative passes through the rule.
        """
        if unrolled is None:
            unrolled = self._unroll_recorded(rule)
        if unrolled is None:
            phi = {name: tensor.detach().requires_grad_() for name, tensor in rule.meta_parameters.items()}
            return require_gradients(rule, self._replay(rule.with_meta_parameters(phi), targets), phi)
        total = {key: torch.zeros_like(phi) for key, phi in rule.meta_parameters.items()}
        with torch.no_grad():
            for name, each in unrolled.items():
                kind = rule.kind(name)
                for key, grad in each.gradient([target[name] for target in targets]).items():
                    total[f"{kind}/{key}" if kind else key] += grad
        return total

    def _unroll_recorded(self, rule: LearnedOptimizer) -> dict[str, Unrolled] | None:
        """The rule's steps over the recorded gradients, with its hand-written passes."""
        unrolled = unroll_tensors(rule, self.state, len(self.grads) - 1)
        if unrolled is not None:
            with torch.no_grad():
                for grads in self.grads[:-1]:
                    for name, each in unrolled.items():
                        each.update(grads[name])
        return unrolled

    def _replay(self, rule: LearnedOptimizer, targets: list[Tensors]) -> Tensor:
        """The surrogate as a graph over the rule's meta-parameters."""
        params, state = self.params, self.state
        surrogate = next(iter(targets[0].values())).new_zeros(())
        for grads, losses, target in zip(self.grads[:-1], self.losses[:-1], targets, strict=True):
            state = rule.observe(state, losses, self.horizon)
            updates, state = rule.update(grads, state, params)
            params = {name: value + updates[name] for name, value in params.items()}
            for name, update in updates.items():
                surrogate = surrogate + (update * target[name]).sum()
        return surrogate

    def _pick(self, values: Tensors) -> Tensors:
        if self.positions is None:
            return values
        picked = {name: values[name].flatten()[index] for name, index in self.positions.items()}
        return {kind: torch.cat([picked[name] for name in names]) for kind, names in self.kinds.items()}

    def _expand_weight(self, weight: Tensor, grads: Tensors) -> Tensors:
        """The weight of a step, one number or `[seeds, settings]`, ready to multiply the gradients."""
        if weight.ndim == 0:
            return dict.fromkeys(grads, weight)
        expanded = {
            name: weight.view(*weight.shape, *[1] * (value.ndim - 2)).expand_as(value)
            for name, value in self.whole.items()
        }
        return self._pick(expanded)

    def _weighted_gradients_to_go(self, weights: Tensor) -> list[Tensors]:
        """G_s = Σ_{t>s} w_t g_t for every step s, over the sampling rate.

        A coordinate whose gradients are not all finite (its replica diverged) counts for nothing, here and in `grads`.
        """
        total = {name: torch.zeros_like(grad) for name, grad in self.grads[0].items()}
        to_go: list[Tensors] = []
        for weight, grads in zip(reversed(weights.unbind(-1)), reversed(self.grads[1:]), strict=True):
            each = self._expand_weight(weight, grads)
            total = {name: total[name] + each[name] * grad for name, grad in grads.items()}
            to_go.insert(0, total)
        finite = {name: value.isfinite() for name, value in total.items()}
        self.finite = all(bool(each.all()) for each in finite.values())
        if self.finite:
            return [{name: value * self.scale[name] for name, value in item.items()} for item in to_go]
        self.grads = [{name: torch.where(finite[name], g, 0.0) for name, g in grads.items()} for grads in self.grads]
        self.losses = [torch.where(losses.isfinite(), losses, 0.0) for losses in self.losses]
        return [
            {name: torch.where(finite[name], value, 0.0) * self.scale[name] for name, value in item.items()}
            for item in to_go
        ]


def _kinds(rule: Optimizer, params: Tensors) -> dict[str, list[str]]:
    """Names of parameters by the kind that the rule sees in them."""
    kinds: dict[str, list[str]] = {}
    for name in params:
        kinds.setdefault(rule.kind(name) if isinstance(rule, CoordinatewiseOptimizer) else "", []).append(name)
    return kinds


def sample_coordinates(
    params: Tensors, coordinates: int | None, generator: torch.Generator | None, shard: Shard | None
) -> CoordinateSample | None:
    """Sample coordinates of all functions of a meta-batch without replacement, and keep those of this rank.

    Args:
        params: those of the functions on this rank, `[functions, settings, ...]`.
        coordinates: maximum number for each parameter tensor and replica; None: no sample, all coordinates.
        generator: draws them from all functions of the meta-batch, so that ranks together do what one would.
        shard: which functions of the meta-batch are on this rank; None: all.
    """
    if coordinates is None:
        return None
    sample = CoordinateSample({}, {})
    for name, value in params.items():
        each, seeds = value[0].numel(), len(value)
        shard = shard or Shard(0, seeds, seeds)
        everything, wanted = each * shard.total, coordinates * shard.total * value.shape[1]
        count = min(everything, wanted)
        order = torch.arange(count) if count == everything else torch.randperm(everything, generator=generator)[:count]
        if shard.stop - shard.first < shard.total:
            order = order[(order >= each * shard.first) & (order < each * shard.stop)] - each * shard.first
        sample.positions[name] = order.to(value.device)
        sample.weights[name] = everything / count
    return sample


def _pick_state(carry: Carry, positions: Tensors) -> State:
    """The state at sampled positions. State tensors end in their parameter's shape: a coordinatewise rule promises it.

    What is no tensor, such as the number of steps, is the same for all parameters.
    """
    parts: list[State] = []
    for name, index in positions.items():
        trailing = carry.params[name].ndim
        parts.append(
            {
                key: value.flatten(value.ndim - trailing)[..., index] if isinstance(value, Tensor) else value
                for key, value in carry.state[name].items()
            }
        )
    return {
        key: torch.cat([part[key] for part in parts], dim=-1) if isinstance(value, Tensor) else value
        for key, value in parts[0].items()
    }
