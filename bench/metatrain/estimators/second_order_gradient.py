"""Backpropagation through time with nothing dropped: the optimizee's gradients depend on φ as well.

Andrychowicz et al. 2016 (section 2) hold ∇f constant, which saves second derivatives and ignores that other
parameters have other gradients. Small functions can afford them: the whole graph of a segment is kept. With
the unroll as long as the horizon, this is the exact gradient of the meta-objective.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from l2obench.bench.metatrain.estimators.bptt_gradient import Segment
from l2obench.bench.metatrain.estimators.states import detach_state
from l2obench.bench.metatrain.estimators.tape import require_gradients
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.step import Carry, advance
from l2obench.optimizers.learned.base import LearnedOptimizer


def second_order_bptt(
    problems: Problems,
    rule: LearnedOptimizer,
    carry: Carry,
    weights: Tensor,
    value: Callable[[Tensor], Tensor] | None = None,
) -> Segment:
    """Advance by `len(weights)` steps; exact meta-gradient of the mean over replicas of Σ_t weights[t] · f(θ_t).

    The gradient of a task is here the one that `torch.func` makes of its loss: those written by hand may not be
    differentiable. A replica that is not finite makes the meta-gradient so.

    Args:
        problems: the functions.
        rule: the learned optimizer; its meta-parameters need not require a gradient.
        carry: where the segment begins; no gradient flows into it: this is the truncation.
        weights: `[steps]`, the weight of the loss after each step.
        value: an objective J of each replica, `[functions, settings]`, from the losses,
            `[functions, settings, steps]`; None: their weighted sum.

    Returns:
        Where the segment ended, detached from its graph, its losses, and the meta-gradient.

    Raises:
        RecipeError: the rule gives no gradient.
    """
    phi = {name: tensor.detach().requires_grad_() for name, tensor in rule.meta_parameters.items()}
    learner, functions = rule.with_meta_parameters(phi), problems.differentiable()
    losses_by_step = []
    with torch.enable_grad():
        for _ in weights:
            carry = advance(functions, learner, carry)
            losses_by_step.append(carry.losses)
        losses = torch.stack(losses_by_step, dim=-1)
        objective = (losses * weights).sum(-1) if value is None else value(losses)
        meta_grads = require_gradients(rule, objective.mean(), phi)
    return Segment(_detach(carry), losses.detach(), meta_grads)


def _detach(carry: Carry) -> Carry:
    return Carry(
        detach_state(carry.params),
        detach_state(carry.state),
        carry.losses.detach(),
        detach_state(carry.grads),
        carry.step,
        detach_state(carry.buffers),
    )
