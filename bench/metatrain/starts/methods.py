"""Methods that learn an initialization θ₀ for a task family: MAML, its first-order form, Reptile, and Meta-SGD.

Each runs a few steps of gradient descent on every function of a meta-batch, all from one θ₀, by the code of every
rollout. Then it gives a direction for θ₀. The methods differ in that direction only.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.step import Carry, advance, evaluate_loss, make_buffers
from l2obench.optimizers.base import Optimizer, Tensors
from l2obench.optimizers.learned.meta_sgd import MetaSGD


@dataclass(frozen=True)
class Direction:
    """The outcome of a method at θ₀."""

    loss: Tensor
    """Mean loss after adaptation."""
    start: Tensors
    """Direction for θ₀; an outer optimizer steps against it."""
    rates: Tensors
    """For the rates of a `MetaSGD`; empty for other rules."""

    def norm(self) -> Tensor:
        """The root of the sum of squares over all of it."""
        squares = [value.square().sum() for value in (*self.start.values(), *self.rates.values())]
        return torch.stack(squares).sum().sqrt()


Method = Callable[[Problems, Optimizer, Tensors, int], Direction]


def adapt(problems: Problems, rule: Optimizer, start: Tensors, steps: int) -> Carry:
    """Run `steps` steps of the rule on every function, all from `start`.

    Args:
        problems: the functions.
        rule: the inner optimizer.
        start: θ₀, without dimensions for functions and settings.
        steps: k.

    Returns:
        θ_k of every function, with loss and gradient on the next minibatch, which no step has seen.
    """
    count = len(next(iter(problems.start.values())))
    params = {name: value.expand(count, 1, *value.shape).contiguous() for name, value in start.items()}
    carry = evaluate_loss(problems, params, rule.init(params), make_buffers(problems), 0)
    for _ in range(steps):
        carry = advance(problems, rule, carry)
    return carry


def maml(problems: Problems, rule: Optimizer, start: Tensors, steps: int) -> Direction:
    """∇_θ₀ of the mean over functions of f(θ_k), through all steps: second derivatives, nothing dropped.

    Of a `MetaSGD`, also the derivative with respect to its rates: then it is Meta-SGD.

    Args:
        problems: the functions of a meta-batch.
        rule: the inner optimizer; autograd passes through its updates.
        start: θ₀, without dimensions for functions and settings.
        steps: k.

    Source: Finn et al. 2017, algorithm 1; Li et al. 2017, algorithm 1.
    """
    theta = {name: value.detach().requires_grad_() for name, value in start.items()}
    rates: Tensors = {}
    if isinstance(rule, MetaSGD):
        rates = {name: value.detach().requires_grad_() for name, value in rule.meta_parameters.items()}
        rule = rule.with_meta_parameters(rates)
    with torch.enable_grad():
        loss = adapt(problems.differentiable(), rule, theta, steps).losses.mean()
        grads = torch.autograd.grad(loss, [*theta.values(), *rates.values()])
    of_start, of_rates = grads[: len(theta)], grads[len(theta) :]
    return Direction(loss.detach(), dict(zip(theta, of_start)), dict(zip(rates, of_rates)))


@torch.no_grad()
def fomaml(problems: Problems, rule: Optimizer, start: Tensors, steps: int) -> Direction:
    """The mean over functions of ∇f at θ_k: MAML with ∂θ_k/∂θ₀ taken for 1.

    Args:
        problems: the functions of a meta-batch.
        rule: the inner optimizer.
        start: θ₀, without dimensions for functions and settings.
        steps: k.

    Source: Finn et al. 2017, section 5.2.
    """
    carry = adapt(problems, rule, start, steps)
    return Direction(carry.losses.mean(), {name: grad.mean((0, 1)) for name, grad in carry.grads.items()}, {})


@torch.no_grad()
def reptile(problems: Problems, rule: Optimizer, start: Tensors, steps: int) -> Direction:
    """θ₀ minus the mean over functions of θ_k.

    Args:
        problems: the functions of a meta-batch.
        rule: the inner optimizer.
        start: θ₀, without dimensions for functions and settings.
        steps: k; with one step, Reptile is plain training on all functions together.

    Source: Nichol et al. 2018, algorithm 2.
    """
    carry = adapt(problems, rule, start, steps)
    ends = {name: value.mean((0, 1)) for name, value in carry.params.items()}
    return Direction(carry.losses.mean(), {name: start[name] - ends[name] for name in start}, {})
