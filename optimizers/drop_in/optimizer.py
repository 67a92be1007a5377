"""A rule as a `torch.optim.Optimizer`, in a training loop that knows nothing of l2obench."""

import copy
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from l2obench.optimizers.base import CoordinatewiseOptimizer, Optimizer, State, Tensors
from l2obench.optimizers.drop_in.finite import all_finite
from l2obench.optimizers.drop_in.groups import (
    NOT_OF_THE_RULE,
    STAMP,
    check_values,
    group_values,
    hyperparameters,
    identity_of,
    models_of_groups,
    new_stamp,
)
from l2obench.optimizers.drop_in.members import Members
from l2obench.optimizers.drop_in.shards import sharded_like, whole_of
from l2obench.optimizers.drop_in.state import SHARED, join_tensors, on_device, require_fitting, split_tensors
from l2obench.optimizers.drop_in.tensor_step import REPLICA, as_replica, move, step_tensors, wide_type
from l2obench.optimizers.drop_in.watchers import is_watched


class DropIn(torch.optim.Optimizer):
    """A rule as a `torch.optim.Optimizer`: parameter groups, schedulers and `state_dict` work as for any other.

    Every hyperparameter of the rule is in the parameter groups under its own name; `beta1` and `beta2` are `betas`, as
    schedulers expect. Each group also has `maximize` and, where the rule has none of its own, a decoupled
    `weight_decay` λ: θ ← θ − lr λ θ before the update, as in `torch.optim.AdamW`. The `lr` of most learned rules is 1,
    so their λ is as much smaller.

    A coordinatewise rule treats each tensor by itself. Any other rule looks at all tensors at once; there, groups added
    together share all hyperparameters but `lr`, `weight_decay` and `maximize`. Groups that differ in others are
    models of their own, and so are groups that are added after the first step.

    - A parameter without gradient does not move. A rule that looks at all tensors meets zeros there.
    - A gradient that is NaN or infinite skips the whole step: nothing moves, and the state stays. `skipped_steps`
      counts them.
    - Half-precision parameters have their arithmetic and their state in float32.
    - A step beyond `num_steps` is treated as the last one.

    Args:
        params: parameters, `named_parameters()`, or dicts of groups, as `torch.optim` takes them.
        rule: any rule; a learned one must have its meta-parameters.
        num_steps: how many steps training will take, for a rule that uses the horizon.
        defaults: values for groups that do not give their own: hyperparameters, `weight_decay`, `maximize`. The `lr`
            may be 0, or a tensor.

    Raises:
        ValueError: `num_steps` is missing or no number of steps; a group has a key that the rule lacks, or a value
            that it does not take; a parameter is complex.

    Example:
        >>> from l2obench.optimizers.designed.sgd import SGD
        >>> theta = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
        >>> optimizer = DropIn([theta], SGD(lr=0.5))
        >>> theta.square().sum().backward()
        >>> optimizer.step()
        >>> theta.data
        tensor([0., 0.])
    """

    def __init__(
        self,
        params: Iterable[Any],
        rule: Optimizer,
        *,
        num_steps: int | None = None,
        **defaults: Any,
    ) -> None:
        if "horizon" in rule.uses and num_steps is None:
            raise ValueError(
                f"{rule.name} must know how many steps training will take, got none. Try: num_steps=10_000"
            )
        if num_steps is not None and (isinstance(num_steps, bool) or not isinstance(num_steps, int) or num_steps < 1):
            raise ValueError(f"num_steps must be a whole number of at least 1, got {num_steps!r}")
        self.rule, self.num_steps = rule, num_steps
        self.skipped_steps = 0
        self._identity = identity_of(rule)
        self._members = Members()
        self._losses: list[Tensor | float] = []
        super().__init__(params, group_values(rule) | check_values(rule, defaults))

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, as `torch.optim` has it.

        Args:
            param_group: `params`, and any of the values that groups have.

        Raises:
            ValueError: it has a key that the rule lacks, or a value that the rule does not take; a parameter is
                complex.
        """
        own = {key: value for key, value in param_group.items() if key not in NOT_OF_THE_RULE}
        super().add_param_group({**param_group, **check_values(self.rule, own)})
        group = self.param_groups[-1]
        if any(param.is_complex() for param in group["params"]):
            self.param_groups.pop()
            raise ValueError(f"{self.rule.name} takes real parameters, got a complex one. Try: torch.view_as_real")
        group[STAMP] = new_stamp(self._identity)
        self._members.forget()

    def __getstate__(self) -> dict[str, Any]:
        """What copying and pickling keep: torch's own part, the rule, and the counts of steps."""
        names = ("rule", "num_steps", "skipped_steps", "_identity", "_members", "_losses")
        return {**super().__getstate__(), **{name: getattr(self, name) for name in names}}

    def state_dict(self) -> dict[str, Any]:
        """A snapshot: later steps do not change it. It names the rule, its version and its meta-parameters."""
        snapshot: dict[str, Any] = copy.deepcopy(super().state_dict())
        for group, saved in zip(self.param_groups, snapshot["param_groups"], strict=True):
            saved[STAMP]["shapes"] = [list(param.shape) for param in group["params"]]
        return snapshot

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state, exactly.

        Args:
            state_dict: of a drop-in of the same rule and the same meta-parameters, for parameters of the same shapes.

        Raises:
            ValueError: it belongs to another rule, other meta-parameters or other shapes. Nothing is changed then.
        """
        heard: dict[str, Any] = {}

        def check(_: torch.optim.Optimizer, given: dict[str, Any]) -> None:
            require_fitting(self._identity, self.param_groups, given)
            heard.update(copy.deepcopy(given))

        # The last of the hooks, so that it meets what those of others made of the state.
        hook = self.register_load_state_dict_pre_hook(check)
        try:
            super().load_state_dict(state_dict)
        finally:
            hook.remove()
        # torch has rounded the state to the type of the parameters.
        ids = [index for group in heard["param_groups"] for index in group["params"]]
        params = [param for group in self.param_groups for param in group["params"]]
        for index, param in zip(ids, params, strict=True):
            if index in heard["state"]:
                self.state[param] = on_device(heard["state"][index], param.device)
        for group in self.param_groups:
            group[STAMP].pop("shapes", None)
        self._members.forget()

    def observe(self, loss: Tensor | float) -> None:
        """Hand over the loss where somebody else calls `step`, without closure or loss: a trainer, for example.

        Args:
            loss: of a minibatch at the present parameters. Of several before one step, the mean counts.
        """
        self._losses.append(loss.detach() if isinstance(loss, Tensor) else loss)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def step(self, closure: Callable[[], Any] | None = None, *, loss: Tensor | float | None = None) -> Any:
        """Update every parameter that has a gradient.

        Args:
            closure: evaluates the loss and its gradients before the update, as `torch.optim` has it.
            loss: at the present parameters, on the minibatch of the gradients. Rules that use losses need it, or a
                `closure`, or `observe` before the step.

        Returns:
            What `closure` returns; None without one.

        Raises:
            ValueError: the rule needs the loss, and there is none; groups of one model differ in a hyperparameter that
                they share.
            RuntimeError: a gradient is sparse; a rule that looks at all tensors has them on several devices.
        """
        if is_watched(self):
            named: dict[str, Any] = {} if loss is None else {"loss": loss}
            return self._step_for_watchers(*(() if closure is None else (closure,)), **named)
        return self._take_step(closure, loss=loss)

    # torch wraps the step of each class for hooks and profilers, which costs more than a small step does.
    step.hooked = True

    @torch.no_grad()
    def _take_step(self, closure: Callable[[], Any] | None = None, *, loss: Tensor | float | None = None) -> Any:
        """What `step` says."""
        returned = None
        if closure is not None:
            with torch.enable_grad():
                returned = closure()
            loss = returned if loss is None else loss
        if loss is None and self._losses:
            loss = sum(self._losses) / len(self._losses)
        self._losses.clear()
        if loss is None and all(group["lr"] == 0 for group in self.param_groups):
            # Nothing will move: torch's distributed checkpoints make a state so, by a step without closure.
            loss = 0.0
        if "loss" in self.rule.uses and loss is None:
            raise ValueError(f"{self.rule.name} needs the loss at every step, got none. Try: optimizer.step(loss=loss)")
        if not self._can_step(loss):
            self.skipped_steps += 1
        # A schedule counts steps and knows the horizon, for all tensors together.
        elif isinstance(self.rule, CoordinatewiseOptimizer) and "horizon" not in self.rule.uses:
            for group in self.param_groups:
                step_tensors(self.rule, group, self.state)
        else:
            for groups in models_of_groups(self.rule, self.param_groups):
                self._step_model(groups, loss)
        return returned

    _step_for_watchers = torch.optim.Optimizer.profile_hook_step(_take_step)

    def _can_step(self, loss: Tensor | float | None) -> bool:
        """Whether all that this step reads is finite."""
        grads = [grad for group in self.param_groups for param in group["params"] if (grad := param.grad) is not None]
        if any(grad.is_sparse for grad in grads):
            raise RuntimeError(f"{self.rule.name} takes dense gradients, got a sparse one. Try: sparse=False")
        if "loss" in self.rule.uses and not math.isfinite(float(loss or 0.0)):
            return False
        return all_finite(grads)

    def _step_model(self, groups: list[dict[str, Any]], loss: Tensor | float | None) -> None:
        """One step of a rule that looks at all tensors of these groups."""
        members = self._members.of_model(self.rule.name, self, groups)
        if not members:
            return
        began = SHARED in self.state[next(iter(members.values()))[0]]
        dtype = wide_type(*(param for param, _ in members.values()))
        theta = {name: as_replica(whole_of(param), dtype) for name, (param, _) in members.items()}
        grads: Tensors = {}
        for name, (param, group) in members.items():
            grad = torch.zeros_like(theta[name][REPLICA]) if param.grad is None else whole_of(param.grad)
            grads[name] = as_replica(-grad if group["maximize"] else grad, dtype)
        outside = {"lr": 1.0} if self._lr_is_outside else {}
        rule = self.rule.model_copy(update=hyperparameters(self.rule, groups[0]) | outside)
        state = join_tensors({name: self.state[param] for name, (param, _) in members.items()}) if began else None
        state = self._observed(rule, state or rule.init(theta), groups[0][STAMP], loss, next(iter(theta.values())))
        updates, state = rule.update(grads, state, theta)
        for name, own in split_tensors(state, tuple(members)).items():
            self.state[members[name][0]] = own
        for name, (param, group) in members.items():
            if param.grad is not None:
                update, lr = sharded_like(param, updates[name][REPLICA]), group["lr"]
                scales = self._lr_is_outside and (isinstance(lr, Tensor) or lr != 1)
                move(self.rule, param, update * lr if scales else update, group)
        for group in groups:
            group[STAMP]["steps"] += 1

    @property
    def _lr_is_outside(self) -> bool:
        """Whether the rule runs with a rate of 1, so that groups of one model can have rates of their own."""
        return self.rule.lr_scales_update and "lr" in type(self.rule).model_fields

    def _observed(
        self, rule: Optimizer, state: State, stamp: Mapping[str, Any], loss: Tensor | float | None, like: Tensor
    ) -> State:
        """The state with the loss and the horizon in it, where the rule uses them."""
        if not {"loss", "horizon"} & set(rule.uses):
            return state
        value = torch.as_tensor(0.0 if loss is None else loss).detach().to(like).reshape(1, 1)
        # Of groups that were added late, the steps that are left; a step beyond the last one is treated as the last.
        horizon = (self.num_steps or 0) - stamp.get("late", 0)
        return rule.observe(state, value, max(horizon, stamp["steps"] + 1))
