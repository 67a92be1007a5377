"""Learning where functions of a family begin: MAML, its first-order form, Reptile, and Meta-SGD.

Each takes a few steps of gradient descent on every function of a meta-batch, all from one θ₀, by the code of every
rollout, and says in which direction θ₀ should go. They differ in that direction only.
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
    """What a method says at θ₀: the mean loss after adaptation, and what an outer optimizer is to descend along."""

    loss: Tensor
    start: Tensors
    rates: Tensors
    """For the rates of a `MetaSGD`; empty for other rules."""

    def norm(self) -> Tensor:
        """The root of the sum of squares over all of it."""
        squares = [value.square().sum() for value in (*self.start.values(), *self.rates.values())]
        return torch.stack(squares).sum().sqrt()


Method = Callable[[Problems, Optimizer, Tensors, int], Direction]


def adapted(problems: Problems, rule: Optimizer, start: Tensors, steps: int) -> Carry:
    """`steps` steps of the rule on every function, all from `start`.

    The loss and the gradient at θ_k are those on the next minibatch, which no step has seen.
    """
    count = len(next(iter(problems.start.values())))
    params = {name: value.expand(count, 1, *value.shape).contiguous() for name, value in start.items()}
    carry = evaluate_loss(problems, params, rule.init(params), make_buffers(problems), 0)
    for _ in range(steps):
        carry = advance(problems, rule, carry)
    return carry


def maml(problems: Problems, rule: Optimizer, start: Tensors, steps: int) -> Direction:
    """∇_θ₀ of the mean over functions of f(θ_k), through all steps: second derivatives, nothing dropped.

    Of a `MetaSGD` the derivative in its rates as well, which makes it Meta-SGD. Sources: Finn et al. 2017, algorithm 1;
    Li et al. 2017, algorithm 1.
    """
    theta = {name: value.detach().requires_grad_() for name, value in start.items()}
    rates: Tensors = {}
    if isinstance(rule, MetaSGD):
        rates = {name: value.detach().requires_grad_() for name, value in rule.meta_parameters.items()}
        rule = rule.with_meta_parameters(rates)
    with torch.enable_grad():
        loss = adapted(problems.differentiable(), rule, theta, steps).losses.mean()
        grads = torch.autograd.grad(loss, [*theta.values(), *rates.values()])
    of_start, of_rates = grads[: len(theta)], grads[len(theta) :]
    return Direction(loss.detach(), dict(zip(theta, of_start)), dict(zip(rates, of_rates)))


@torch.no_grad()
def fomaml(problems: Problems, rule: Optimizer, start: Tensors, steps: int) -> Direction:
    """The mean over functions of ∇f at θ_k: MAML with ∂θ_k/∂θ₀ taken for 1 (Finn et al. 2017, section 5.2)."""
    carry = adapted(problems, rule, start, steps)
    return Direction(carry.losses.mean(), {name: grad.mean((0, 1)) for name, grad in carry.grads.items()}, {})


@torch.no_grad()
def reptile(problems: Problems, rule: Optimizer, start: Tensors, steps: int) -> Direction:
    """θ₀ minus the mean over functions of θ_k (Nichol et al. 2018, algorithm 2)."""
    carry = adapted(problems, rule, start, steps)
    ends = {name: value.mean((0, 1)) for name, value in carry.params.items()}
    return Direction(carry.losses.mean(), {name: start[name] - ends[name] for name in start}, {})
