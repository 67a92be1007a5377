"""What the engine relies on in a task, requirement by requirement, tried on a few functions.

A requirement is a function of the task. It returns None where it is met and a sentence where it does not apply, and
raises where it is not met. `REQUIREMENTS` lists them.
"""

import json
from collections.abc import Callable

import torch
from torch import Tensor

from l2obench.bench.config.registry import identify, task_registry
from l2obench.bench.contract.module_requirements import requirements_of
from l2obench.bench.failures import ContractBroken
from l2obench.bench.rollout.guard import Unchanged, require_like, require_tensor, same
from l2obench.bench.rollout.problems import Problems
from l2obench.bench.rollout.seeds import generator
from l2obench.tasks.base import Problem, Task, Tensors

SEEDS, SETTINGS, STEPS = [11, 12, 13], 2, 4
# Sums in another order differ by float32 rounding; the absolute part is relative to the largest value of a tensor.
RELATIVE, ABSOLUTE = 1e-3, 1e-4


def identity_leads_back(task: Task) -> None:
    """The identity that stands in results names this very task.

    A results file and a resumed run make the task again from its identity alone.
    """
    if (again := identify(task_registry().create(identify(task)))) != identify(task):
        raise ContractBroken(f"{identify(task)} leads to {again}")
    if not isinstance(task.version, int):
        raise ContractBroken(f"version must be a whole number, got {task.version!r}")


def sources_are_plain(task: Task) -> None:
    """What the manifest says of the data can be written as JSON. The gate compares its hashes between two runs."""
    if not isinstance(sources := task.sources(), dict):
        raise ContractBroken(f"sources must return a dict, got {type(sources).__name__}")
    json.dumps(sources)


def samples_fit(task: Task) -> None:
    """`sample` gives float32 parameters and data on the CPU, of the same shapes for every function.

    The rollout stacks the functions of all seeds into one tensor, and moves it to the device itself.
    """
    first, second = _problem(task, 1), _problem(task, 2)
    if not first.params:
        raise ContractBroken("sample gave no parameters")
    for kind, one, other in (("params", first.params, second.params), ("data", first.data, second.data)):
        require_like(f"sample's {kind} of a second function", other, one)
        for name, tensor in one.items():
            if tensor.device.type != "cpu" or tensor.dtype == torch.float64:
                raise ContractBroken(f"sample gave {kind}[{name!r}] as {tensor.dtype} on {tensor.device}")
            if kind == "params" and tensor.dtype != torch.float32:
                raise ContractBroken(f"sample gave params[{name!r}] as {tensor.dtype}, expected torch.float32")


def samples_come_from_the_generator(task: Task) -> None:
    """The same generator gives the same function, whatever the global random state.

    Optimizers are compared in pairs by seed, so a seed must mean one function in every process.
    """
    draws = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        problem = _problem(task, 1)
        draws.append({**problem.params, **{f"data {name}": tensor for name, tensor in problem.data.items()}})
    _require_same("the same generator gave another function", draws[1], draws[0])


def horizon_changes_no_function(task: Task) -> None:
    """A longer run begins with the shorter one. Seeds are derived without the horizon, and tuning may shorten it."""
    longer = task.model_copy(update={"horizon": task.horizon + 1})
    _require_same("another horizon gave another function", _problem(longer, 1).params, _problem(task, 1).params)


def minibatches_come_from_the_generator(task: Task) -> str | None:
    """`draw` gives `[steps, ...]`, the same again from the same generator.

    All optimizers get the same minibatches on a seed: differences between them are then not noise of the data.
    """
    if task.stream(generator(5)) is not None:
        return "minibatches come from a stream"
    runs = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        runs.append(task.draw(generator(5), STEPS))
    _require_same("the same generator drew other minibatches", runs[1], runs[0])
    for name, tensor in runs[0].items():
        if tensor.shape[:1] != (STEPS,):
            raise ContractBroken(f"draw gave {name!r} with shape {tuple(tensor.shape)}, expected ({STEPS}, ...)")
    return None


def minibatches_fit(task: Task) -> None:
    """`minibatch` gives `[seeds, ...]`, since all seeds take a step together and each has its own minibatch."""
    for name, tensor in Problems(task, SEEDS).minibatch().items():
        if tensor.shape[:1] != (len(SEEDS),):
            raise ContractBroken(
                f"minibatch gave {name!r} with shape {tuple(tensor.shape)}, expected ({len(SEEDS)}, ...)"
            )


def loss_is_a_pure_scalar(task: Task) -> None:
    """`loss` of one replica is a finite scalar, the same again, and leaves its inputs as they are.

    `torch.func` differentiates it and maps it over replicas, which is right for pure functions only.
    """
    problems = Problems(task, SEEDS[:1])
    batch = {name: tensor[0] for name, tensor in problems.minibatch().items()}
    params = {name: tensor[0] for name, tensor in problems.start.items()}
    values = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        inputs = Unchanged({"params": params, "batch": batch}, thorough=True)
        values.append(task.loss(params, batch))
        inputs.require_unchanged("loss")
        require_tensor("loss returned its value", values[-1], (), torch.float32)
    if not same(*values):
        raise ContractBroken(f"loss gave {values[0].item():g}, then {values[1].item():g} for the same replica")
    if not values[0].isfinite():
        raise ContractBroken(f"loss is {values[0].item():g} where the optimizee starts")


def gradients_fit(task: Task) -> None:
    """`loss_and_grad` gives losses `[seeds, settings]` and gradients like the parameters, and changes neither.

    The guard compares shapes again at run time: broadcasting would hide a wrong one.
    """
    params, batch = _stacked(task)
    inputs = Unchanged({"params": params, "batch": batch}, thorough=True)
    losses, grads = task.loss_and_grad(params, batch)
    inputs.require_unchanged("loss_and_grad")
    require_tensor("loss_and_grad returned the losses", losses, (len(SEEDS), SETTINGS), torch.float32)
    require_like("loss_and_grad", grads, params)


def gradients_are_those_of_the_loss(task: Task) -> str | None:
    """`loss_and_grad` equals the gradient of `loss` that autograd can pass through.

    Rollouts use the gradient by hand, second-order meta-training the other. They must be the same function.
    """
    if type(task).loss_and_grad is Task.loss_and_grad:
        return "loss_and_grad is the default"
    if (reason := task.runs_one_by_one()) is not None:
        return reason
    params, batch = _stacked(task)
    buffers = {
        name: value.unsqueeze(1).expand(-1, SETTINGS, *value.shape[1:]).contiguous()
        for name, value in Problems(task, SEEDS).buffers.items()
    }
    losses, grads, after = task.loss_grad_and_buffers(params, buffers, batch)
    expected_losses, expected_grads, expected = task.differentiable_loss_grad_and_buffers(params, buffers, batch)
    _require_close("loss_and_grad differs from torch.func", {"loss": losses}, {"loss": expected_losses})
    _require_close("loss_and_grad differs from torch.func", grads, expected_grads)
    _require_close("the buffers differ from torch.func's", after, expected)
    return None


def neighbours_do_not_matter(task: Task) -> None:
    """A replica has the same loss and gradient alone and among others.

    How many replicas run together depends on memory, and no result may depend on it.
    """
    params, batch = _stacked(task)
    losses, grads = task.loss_and_grad(params, batch)
    for k in range(len(SEEDS)):
        own = {name: tensor[k : k + 1, :1].clone() for name, tensor in params.items()}
        loss, grad = task.loss_and_grad(own, {name: tensor[k : k + 1] for name, tensor in batch.items()})
        what = "a replica alone differs from the same among others"
        _require_close(what, {"loss": loss, **grad}, {"loss": losses[k : k + 1, :1], **_of(grads, k)})


def evaluation_fits(task: Task) -> str | None:
    """`evaluate` gives metrics by name, `[seeds, settings]` each, and only reads the parameters."""
    params, _ = _stacked(task)
    inputs = Unchanged({"params": params}, thorough=True)
    heldout = task.evaluate(params)
    inputs.require_unchanged("evaluate")
    if not heldout:
        return "the family has no held-out data"
    for name, tensor in heldout.items():
        if not isinstance(name, str):
            raise ContractBroken(f"evaluate must give metrics by name, got the name {name!r}")
        if tensor.shape != (len(SEEDS), SETTINGS):
            raise ContractBroken(
                f"evaluate gave {name!r} with shape {tuple(tensor.shape)}, expected {(len(SEEDS), SETTINGS)}"
            )
    return None


def final_loss_fits(task: Task) -> None:
    """`final_loss` turns `[..., steps + 1]` into `[...]`. Callers have other leading shapes."""
    final = task.final_loss(torch.ones(2, 3, task.horizon + 1, dtype=torch.float64))
    require_tensor("final_loss returned its value", final, (2, 3), torch.float64)


def groups_name_parameters(task: Task) -> str | None:
    """`groups` speaks of parameters that there are. Learned optimizers with parts for groups use them."""
    if not task.groups:
        return "the family has no groups"
    named = {name for names in task.groups.values() for name in names}
    if missing := sorted(named - set(_problem(task, 1).params)):
        raise ContractBroken(f"groups name parameters that there are not: {', '.join(missing)}")
    return None


REQUIREMENTS: dict[str, Callable[[Task], str | None]] = {
    requirement.__name__.replace("_", " "): requirement
    for requirement in (
        identity_leads_back,
        sources_are_plain,
        samples_fit,
        samples_come_from_the_generator,
        horizon_changes_no_function,
        minibatches_come_from_the_generator,
        minibatches_fit,
        loss_is_a_pure_scalar,
        gradients_fit,
        gradients_are_those_of_the_loss,
        neighbours_do_not_matter,
        evaluation_fits,
        final_loss_fits,
        groups_name_parameters,
    )
}
"""Requirements by their names, in the order in which `l2obench test-plugin` asks for them."""


@torch.no_grad()
def require_of_task(task: Task, name: str) -> str | None:
    """Hold a task to one requirement.

    Args:
        task: the family.
        name: one of `REQUIREMENTS`, or of those of its kind of task.

    Returns:
        None where the requirement is met; why it does not apply, where it does not.

    Raises:
        ContractBroken: it is not met.
        Exception: what the task raised.
    """
    return {**requirements_of(task), **REQUIREMENTS}[name](task)


def _problem(task: Task, seed: int) -> Problem:
    problem = task.sample(generator(seed))
    if not isinstance(problem, Problem):
        raise ContractBroken(f"sample must return a Problem, got {type(problem).__name__}")
    return problem


def _stacked(task: Task) -> tuple[Tensors, Tensors]:
    """Parameters `[seeds, settings, ...]`, each setting's its own, and a minibatch."""
    problems, random = Problems(task, SEEDS), generator(3)
    params = {}
    for name, value in problems.start.items():
        noise = torch.randn(len(SEEDS), SETTINGS, *value.shape[1:], generator=random)
        params[name] = value.unsqueeze(1) + 0.01 * noise
    return params, problems.minibatch()


def _of(tensors: Tensors, k: int) -> Tensors:
    return {name: tensor[k : k + 1, :1] for name, tensor in tensors.items()}


def _require_same(what: str, found: Tensors, expected: Tensors) -> None:
    require_like(what, found, expected)
    for name, tensor in expected.items():
        if not same(found[name], tensor):
            raise ContractBroken(f"{what}: {name!r} differs")


def _require_close(what: str, found: Tensors, expected: Tensors) -> None:
    for name, tensor in expected.items():
        gap: Tensor = (found[name] - tensor).abs()
        if not (gap <= RELATIVE * tensor.abs() + ABSOLUTE * (1 + tensor.abs().max())).all():
            raise ContractBroken(f"{what}: {name!r} by up to {gap.max().item():.3g}")
